package sshtest

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// signalNames are the signals that tests use.
var signalNames = map[syscall.Signal]string{
	syscall.SIGHUP: "HUP", syscall.SIGINT: "INT", syscall.SIGKILL: "KILL", syscall.SIGTERM: "TERM",
	syscall.SIGSEGV: "SEGV", syscall.SIGABRT: "ABRT", syscall.SIGPIPE: "PIPE",
}

// Shell runs the command with /bin/sh on this machine, as the user of the test, in a process group of its own. The
// group is sent TERM when the client signals or disconnects.
func Shell(ctx context.Context, session *Session) Exit {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", session.Command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Stdout, cmd.Stderr = session.Stdout, session.Stderr

	// cmd.Stdin is not used: waiting for the command would wait for the client to end its input, too.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		fmt.Fprintln(session.Stderr, err)
		return Exit{Status: 127}
	}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(session.Stderr, err)
		return Exit{Status: 127}
	}
	go func() {
		_, _ = io.Copy(stdin, session.Stdin)
		_ = stdin.Close()
	}()
	_ = cmd.Wait()

	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() {
		return Exit{Status: status.ExitStatus()}
	}
	if name, ok := signalNames[status.Signal()]; ok {
		return Exit{Signal: name}
	}
	return Exit{Signal: string(gossh.SIGABRT)}
}
