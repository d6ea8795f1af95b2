package backup

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// asWatched has this test binary do what moves with each line of its stdin, in the way that the variable names.
const asWatched = "BACKUP_TEST_IS_WATCHED"

// pausedPatience is much more than a busy machine keeps this process from its work.
const pausedPatience = 10 * time.Second

func TestMain(m *testing.M) {
	how := os.Getenv(asWatched)
	if how == "" {
		os.Exit(m.Run())
	}
	reads := func(beat func()) error {
		fmt.Println("it begins")
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			beat()
		}
		return lines.Err()
	}
	fmt.Println(watched[how](reads))
}

// watched are the ways to wait for progress.
var watched = map[string]func(do func(beat func()) error) error{
	"a call": func(do func(func()) error) error {
		_, err := UnlessItHangs(pausedPatience, func(beat func()) (struct{}, error) { return struct{}{}, do(beat) })
		return err
	},
	"a run": func(do func(func()) error) error {
		return WhileItMoves(context.Background(), pausedPatience, "the run", func(ctx context.Context, moved func()) error {
			if err := do(moved); err != nil {
				return err
			}
			return context.Cause(ctx)
		})
	},
}

// TestWhatStandsStillWithTheMachineGoesOn holds that a machine that is paused for longer than a call, or a run, may
// make no progress, ends neither: what moves once the machine goes on is seen.
func TestWhatStandsStillWithTheMachineGoesOn(t *testing.T) {
	for how := range watched {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), asWatched+"="+how)
			child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			stdin, err := child.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
			says := bufio.NewScanner(stdout)
			if !says.Scan() {
				t.Fatal("it says nothing")
			}
			for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
				if err := child.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				if signal == syscall.SIGSTOP {
					time.Sleep(pausedPatience * 5 / 4)
				}
			}
			// What comes at once might be seen before the time is looked at.
			for range 5 {
				time.Sleep(pausedPatience / 50)
				_, _ = io.WriteString(stdin, "\n") // one that has ended says why
			}
			_ = stdin.Close()
			if says.Scan(); says.Text() != "<nil>" {
				t.Errorf("it ends with %q", says.Text())
			}
		})
	}
}
