package units

import (
	"strings"
	"testing"
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
