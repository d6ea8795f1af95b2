package plan_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestChange holds the plans in testdata/change.
func TestChange(t *testing.T) {
	files, err := filepath.Glob("testdata/change/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			golden(t, file, answer)
		})
	}
}

// golden holds the answers to the scripts of a file.
func golden(t *testing.T, file string, answer func(testing.TB, string) string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !(*update && errors.Is(err, os.ErrNotExist)) {
		t.Fatal(err)
	}
	var scripts []string
	for script := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		asked, _, _ := strings.Cut(script, "\n----")
		scripts = append(scripts, asked+"\n----\n"+answer(t, asked))
	}
	got := strings.Join(scripts, "\n\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), got); diff != "" {
		t.Errorf("%s differs; go test -update writes it anew (-want +got):\n%s", file, diff)
	}
}

// texts are steps as a plan shows them.
func texts(steps []membership.Step) string {
	var b strings.Builder
	for _, step := range steps {
		fmt.Fprintln(&b, step)
	}
	return b.String()
}
