package node

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh/sshtest"
)

// upload is an upload to this machine that is under way.
type upload struct {
	*exec.Cmd
	stdin io.WriteCloser
	says  *bytes.Buffer
	has   int // bytes that the host had at first
}

// begin begins an upload, and reads how much the host has.
func begin(t *testing.T, root, hash string, packed []byte) *upload {
	t.Helper()
	u := &upload{Cmd: unpacking(root, hash, packed), says: &bytes.Buffer{}}
	u.Stderr = u.says
	stdin, err := u.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := u.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Process.Kill(); _ = u.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("it says %q: %v: %s", line, err, u.says)
	}
	if _, err := fmt.Sscanf(line, fmt.Sprintf("%x has %%d\n", sha256.Sum256(packed)), &u.has); err != nil {
		t.Fatalf("it says %q: %v", line, err)
	}
	u.stdin = stdin
	return u
}

// send sends the archive up to a byte, and ends the upload.
func (u *upload) send(packed []byte, to int) error {
	_, err := u.stdin.Write(packed[min(u.has, to):to])
	return errors.Join(err, u.stdin.Close(), u.Wait())
}

// mustArrive waits until a part holds this many bytes.
func mustArrive(t *testing.T, parts []string, bytes int) {
	t.Helper()
	if len(parts) != 1 {
		t.Fatalf("there are %q", parts)
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if info, err := os.Stat(parts[0]); err == nil && info.Size() == int64(bytes) {
			return
		}
	}
	t.Fatalf("%s does not hold %d bytes", parts[0], bytes)
}

// TestInstallGoesOn holds that an upload goes on where an earlier one of the same archive was cut off, however that
// was, and that it never builds on what may not be the archive's beginning.
func TestInstallGoesOn(t *testing.T) {
	hash, packed := archive(t)
	half := len(packed) / 2
	// left are the parts below a root.
	left := func(root string) []string {
		found, err := filepath.Glob(filepath.Join(root, ".incoming.*", fmt.Sprintf("%x", sha256.Sum256(packed))))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for name, test := range map[string]struct {
		cut   func(t *testing.T, root string) // what happens before
		has   int
		fails bool // the upload that goes on, and leaves nothing
	}{
		"nothing came": {func(t *testing.T, root string) {}, 0, false},
		"its end comes": {func(t *testing.T, root string) {
			u := begin(t, root, hash, packed)
			if err := u.send(packed, half); err == nil || !strings.Contains(u.says.String(), "cut off on its way") {
				t.Errorf("half of it was taken: %v, %s", err, u.says)
			}
		}, half, false},
		"twice": {func(t *testing.T, root string) {
			for _, to := range []int{half / 2, half} {
				_ = begin(t, root, hash, packed).send(packed, to)
			}
			if parts := left(root); len(parts) != 1 {
				t.Errorf("two uploads leave %q", parts)
			}
		}, half, false},
		"of another archive": {func(t *testing.T, root string) {
			other, text := archive(t)
			_ = begin(t, root, other, text).send(text, half)
		}, 0, false},
		"it was killed": {func(t *testing.T, root string) {
			u := begin(t, root, hash, packed)
			if _, err := u.stdin.Write(packed[:half]); err != nil {
				t.Fatal(err)
			}
			mustArrive(t, left(root), half)
			if err := u.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = u.stdin.Close()
			_ = u.Wait()
		}, half, false},
		"all of it came": {func(t *testing.T, root string) {
			_ = begin(t, root, hash, packed).send(packed, half)
			if err := os.WriteFile(left(root)[0], packed, 0o600); err != nil {
				t.Fatal(err)
			}
		}, len(packed), false},
		"more than all": {func(t *testing.T, root string) {
			_ = begin(t, root, hash, packed).send(packed, half)
			if err := os.WriteFile(left(root)[0], append(packed[:len(packed):len(packed)], 'x'), 0o600); err != nil {
				t.Fatal(err)
			}
		}, 0, false},
		"before the host was booted": {func(t *testing.T, root string) {
			_ = begin(t, root, hash, packed).send(packed, half)
			dir := filepath.Dir(left(root)[0])
			of := strings.SplitN(filepath.Base(dir), ".", 4)
			if err := os.Rename(dir, filepath.Join(root, ".incoming.11111111-2222-3333-4444-555555555555."+of[3])); err != nil {
				t.Fatal(err)
			}
		}, 0, false},
		"what came was damaged": {func(t *testing.T, root string) {
			_ = begin(t, root, hash, packed).send(packed, half)
			damaged := bytes.Clone(packed[:half])
			damaged[half/2] ^= 1
			if err := os.WriteFile(left(root)[0], damaged, 0o600); err != nil {
				t.Fatal(err)
			}
		}, half, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := filepath.Join(t.TempDir(), "etcd-store")
			test.cut(t, root)
			u := begin(t, root, hash, packed)
			if u.has != test.has {
				t.Errorf("it has %d bytes of %d", u.has, len(packed))
			}
			err := u.send(packed, len(packed))
			if (err != nil) != test.fails {
				t.Errorf("%v: %s", err, u.says)
			}
			if parts := left(root); len(parts) > 0 {
				t.Errorf("it has left %q", parts)
			}
			if test.fails { // the next one begins anew
				err = unpack(root, hash, packed)
			}
			store, _ := os.ReadFile(filepath.Join(root, hash, "store"))
			if err != nil || fmt.Sprintf("%x", sha256.Sum256(store)) != hash {
				t.Errorf("the store has %d bytes: %v", len(store), err)
			}
		})
	}
}

// TestInstallTakesWhatIsArriving holds that an upload begins with what another one, which may be stuck, has brought of
// the same archive, and leaves that one alone.
func TestInstallTakesWhatIsArriving(t *testing.T) {
	root := filepath.Join(t.TempDir(), "etcd-store")
	hash, packed := archive(t)
	first := begin(t, root, hash, packed)
	if _, err := first.stdin.Write(packed[:len(packed)/2]); err != nil {
		t.Fatal(err)
	}
	parts, _ := filepath.Glob(filepath.Join(root, ".incoming.*", "*"))
	mustArrive(t, parts, len(packed)/2)
	second := begin(t, root, hash, packed)
	if second.has != len(packed)/2 {
		t.Errorf("it has %d bytes", second.has)
	}
	if err := second.send(packed, len(packed)); err != nil {
		t.Errorf("%v: %s", err, second.says)
	}
	first.has = len(packed) / 2
	if err := first.send(packed, len(packed)); err != nil {
		t.Errorf("the first: %v: %s", err, first.says)
	}
	if names := entries(t, root); len(names) != 1 {
		t.Errorf("there are %q", names)
	}
}

// archives is one archive.
type archives []byte

func (a archives) Archive(string) ([]byte, error) { return a, nil }

// TestInstallSendsTheRest holds that what a host has is not sent, and that nothing is before the host has said what
// that is, in whatever pieces it says so.
func TestInstallSendsTheRest(t *testing.T) {
	hash, packed := archive(t)
	named := fmt.Sprintf("%x", sha256.Sum256(packed))
	for name, test := range map[string]struct {
		says []string
		from int    // the first byte that is sent; -1: none is
		want string // of the error
	}{
		"it has nothing":   {[]string{named + " has 0\n"}, 0, ""},
		"in pieces":        {[]string{"Welcome!\n" + named, " has 10", "00\n"}, 1000, ""},
		"all":              {[]string{fmt.Sprintf("%s has %d\n", named, len(packed))}, len(packed), ""},
		"more than all":    {[]string{fmt.Sprintf("%s has %d\n", named, len(packed)+1)}, -1, "the host says that it has"},
		"no number":        {[]string{named + " has it\n"}, -1, "the host says that it has"},
		"the store itself": {nil, -1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := sshtest.Start(t, sshtest.Config{Handler: func(_ context.Context, s *sshtest.Session) sshtest.Exit {
				for _, piece := range test.says {
					_, _ = io.WriteString(s.Stdout, piece)
				}
				if test.from < 0 && test.want == "" {
					return sshtest.Exit{}
				}
				got, err := io.ReadAll(s.Stdin)
				if test.from >= 0 && (err != nil || !bytes.Equal(got, packed[test.from:])) {
					t.Errorf("%d bytes came, of %d: %v", len(got), len(packed)-test.from, err)
				}
				return sshtest.Exit{}
			}})
			pool := ssh.NewPool(ssh.Options{})
			defer pool.Close()
			err := New(pool, server.Target(), secret.Text{}, archives(packed)).Install(t.Context(), "main", hash, api.Target{})
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("it ends with %v", err)
			}
		})
	}
}
