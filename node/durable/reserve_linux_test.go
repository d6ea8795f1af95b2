package durable

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestReleaseGivesBackWhatWasSetAside holds that a file keeps its content and loses what was reserved beyond it. A file
// without a reservation is not touched: a kill between two changes of its length would leave a wrong length.
func TestReleaseGivesBackWhatWasSetAside(t *testing.T) {
	for name, test := range map[string]struct {
		content int
		aside   int64
	}{
		"nothing, in no whole block":     {5000, 0},
		"nothing, in whole blocks":       {8192, 0},
		"nothing, in an empty file":      {0, 0},
		"more than there is":             {5000, 8 << 20},
		"for a file that is empty still": {0, 8 << 20},
		"as much as there is":            {8192, 8192},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			content := bytes.Repeat([]byte("x"), test.content)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			file, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if err := Reserve(file, test.aside); err != nil {
				t.Fatal(err)
			}
			then := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			if err := os.Chtimes(path, then, then); err != nil {
				t.Fatal(err)
			}
			if err := Release(file); err != nil {
				t.Fatal(err)
			}
			info, err := file.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if excess := info.Sys().(*syscall.Stat_t).Blocks*512 - info.Size(); excess > 1<<20 {
				t.Errorf("%d bytes are set aside still", excess)
			}
			if touched := !info.ModTime().Equal(then); touched != (test.aside > int64(test.content)) {
				t.Errorf("it was touched: %v", touched)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
				t.Errorf("it holds %d bytes of %d, %v", len(got), len(content), err)
			}
		})
	}
}
