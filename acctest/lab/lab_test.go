package lab

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// machine skips a test on a machine that cannot boot labs, unless ETCD_LAB_REQUIRED says that it has to.
func machine(t *testing.T) {
	t.Helper()
	if err := CheckMachine(); err != nil {
		if os.Getenv("ETCD_LAB_REQUIRED") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// labName is a name that no other test, here or in another process, has at this time.
func labName(suffix string) string { return fmt.Sprintf("l%d%s", os.Getpid(), suffix) }

// up boots a lab that ends with its test, and leaves nothing.
func up(t *testing.T, config Config) *Lab {
	t.Helper()
	machine(t)
	l, err := Up(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gone(t, l) })
	return l
}

// gone ends a lab, of which nothing is left then.
func gone(t *testing.T, l *Lab) {
	t.Helper()
	if err := l.Down(); err != nil {
		t.Error(err)
	}
	for _, trace := range traces(t, l.Name) {
		t.Errorf("lab %s has left %s", l.Name, trace)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// on runs a program on a host, where it has to succeed.
func on(t *testing.T, h *Host, args ...string) string {
	t.Helper()
	text, err := h.Run(t.Context(), args...)
	must(t, err)
	return strings.TrimSpace(text)
}

// reaches tells whether one host reads the greeting of the other's sshd. A busy machine takes its time to give it.
func reaches(t *testing.T, from, to *Host) bool { t.Helper(); return greeted(t, from, to, "30") }

// cutOff tells whether one host hears nothing of the other's sshd in a time in which the firewall of a lab lets it
// wait.
func cutOff(t *testing.T, from, to *Host) bool { t.Helper(); return !greeted(t, from, to, "2") }

func greeted(t *testing.T, from, to *Host, seconds string) bool {
	t.Helper()
	answers := map[bool]int{}
	for _, address := range []string{to.Address(), to.Address6()} {
		_, err := from.Run(t.Context(), "timeout", seconds, "bash", "-c",
			fmt.Sprintf("exec 3<>/dev/tcp/%s/%d && head -c 4 <&3", address, to.Config.Port))
		answers[err == nil]++
	}
	if len(answers) != 1 {
		t.Fatalf("%s reaches %s over one of IPv4 and IPv6 alone", from.Config.Name, to.Config.Name)
	}
	return answers[true] > 0
}

// becomes waits for what happens soon.
func becomes(t *testing.T, what string, true func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !true() {
		select {
		case <-ctx.Done():
			t.Fatalf("still not so after %s: %s", patience, what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
