package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Each lab has a keeper: a process that waits while the lab's maker lives, and ends the lab if its maker ended without
// doing so, e.g. in a test that timed out, panicked or was killed. The next lab ends those whose keeper was killed
// too.

// keeperOf is the environment variable that tells a keeper its lab.
const keeperOf = "ETCD_LAB_KEEPER_OF"

// canKeep tells whether this program has called Main, without which it cannot be a keeper.
var canKeep bool

// Main has to be called first by every program that boots labs. The program starts itself as the keeper of its labs,
// and Main does not return in the keeper.
func Main() {
	canKeep = true
	name := os.Getenv(keeperOf)
	if name == "" {
		return
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // ends with the maker, or when the maker has ended the lab
	if err := keep(name); err != nil {
		fmt.Fprintln(os.Stderr, "keeper of lab", name+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// keep ends a lab as soon as its maker has ended.
func keep(name string) error {
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		ended, err := endIfDead(name)
		if ended || err != nil {
			return err
		}
		if time.Since(start) > patience {
			return errors.New("its maker has closed the pipe to its keeper, and still runs")
		}
	}
}

// endIfDead ends a lab whose maker has ended. It tells whether the lab is gone.
func endIfDead(name string) (ended bool, err error) {
	held, err := lock(context.Background(), claims)
	if err != nil {
		return false, err
	}
	defer held.Close()
	l := newLab(name)
	if _, err := os.Stat(l.dir); errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if !l.dead() {
		_, err := os.Stat(l.detachedFile())
		return err == nil, nil
	}
	return true, l.reopened().Down()
}

// startKeeper starts the lab's keeper.
func (l *Lab) startKeeper() error {
	if !canKeep {
		return errors.New("this program does not call lab.Main: its labs would stay if it were killed")
	}
	line, end, err := os.Pipe()
	if err != nil {
		return err
	}
	defer line.Close()
	keeper := exec.Command("/proc/self/exe")
	keeper.Env = append(os.Environ(), keeperOf+"="+l.Name)
	keeper.Stdin = line
	// The keeper gets its own session, so that what ends the maker's process group, such as Ctrl-C, does not end the
	// keeper.
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := keeper.Start(); err != nil {
		return errors.Join(err, end.Close())
	}
	go func() { _ = keeper.Wait() }() // reap it
	l.line = end
	return nil
}

// dismissKeeper ends the keeper of a lab that has ended, or that is to outlive its maker.
func (l *Lab) dismissKeeper() {
	if l.line != nil {
		_ = l.line.Close()
		l.line = nil
	}
}
