package units

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestExec(t *testing.T) {
	if out, err := Exec(t.Context(), "sh", "-c", "echo out; echo err >&2; echo $LC_ALL"); err != nil || string(out) != "out\nC\n" {
		t.Errorf("it printed %q, %v", out, err)
	}
	_, err := Exec(t.Context(), "sh", "-c", "echo why >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "exit status 3: why") {
		t.Errorf("the error is %v", err)
	}
}

// TestExecDoesNotWaitForChildren has a program leave a child that holds its output open. Neither the end of the program
// nor that of the context ends the child.
func TestExecDoesNotWaitForChildren(t *testing.T) {
	for name, program := range map[string]string{"ends": `cat "$0" & echo out`, "is ended": `cat "$0" & wait`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pipe := filepath.Join(t.TempDir(), "pipe")
			if err := unix.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, end := context.WithCancel(t.Context())
			defer end()
			ended := make(chan error, 1)
			go func() {
				_, err := execute(ctx, 50*time.Millisecond, "sh", "-c", program, pipe)
				ended <- err
			}()
			// Opening the pipe waits for the child to read it.
			child, err := os.OpenFile(pipe, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer child.Close()
			if name == "is ended" {
				end()
			}
			select {
			case err := <-ended:
				if err == nil {
					t.Error("it succeeded, though the child may be writing still")
				}
			case <-time.After(time.Minute):
				t.Error("it waits for the child")
			}
		})
	}
}
