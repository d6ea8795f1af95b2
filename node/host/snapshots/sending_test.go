package snapshots

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// cut is a caller that is gone after so many bytes.
type cut struct {
	came  bytes.Buffer
	after int
	full  chan struct{} // is closed once it takes no more; nil: nobody waits for that
}

var errCut = errors.New("the caller has hung up")

func (c *cut) Write(p []byte) (int, error) {
	n, _ := c.came.Write(p[:min(len(p), c.after-c.came.Len())])
	if n < len(p) {
		if c.full != nil {
			close(c.full)
		}
		return n, errCut
	}
	return n, nil
}

// outcome is how a call that sends has ended.
type outcome struct {
	saved api.Saved
	err   error
}

// hostWith returns a host in a directory with a long name, and the content of a snapshot with its nameless file.
func hostWith(t *testing.T) (h Host, content []byte, file *os.File) {
	t.Helper()
	root := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	h = Host{Files: files.Tree{Root: root}, Keeps: time.Minute}
	content = make([]byte, 1<<20)
	_, _ = rand.Read(content)
	file, err := os.OpenFile(t.TempDir(), os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err == nil {
		_, err = file.Write(content)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h, content, file
}

const oneID = "0123456789abcdef0123456789abcdef"

// send sends a snapshot as a call does, to its end.
func send(t *testing.T, h Host, s *Sending, from int64, to io.Writer) <-chan outcome {
	t.Helper()
	offer, err := h.Offer("main", oneID)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan outcome, 1)
	go func() {
		saved, err := s.Send(t.Context(), from, to, offer)
		offer.Close()
		_ = s.Close()
		ended <- outcome{saved, err}
	}()
	return ended
}

// TestASnapshotIsTakenOver has calls cut off one after another: each next one sends the rest, and gets what the first
// has found. Nothing is left.
func TestASnapshotIsTakenOver(t *testing.T) {
	t.Parallel()
	h, content, file := hostWith(t)
	want := api.Saved{ClusterID: "1", Etcd: "3.7.3"}
	verified := make(chan struct{})
	first := &cut{after: 1000, full: make(chan struct{})}
	one := send(t, h, NewSending(file, int64(len(content)), func() (api.Saved, error) { <-verified; return want, nil }), 0, first)
	takeOver := func() *Sending {
		s, err := h.TakeOver("main", oneID)
		if err != nil || s.Size() != int64(len(content)) {
			t.Fatalf("taken over are %+v, %v", s, err)
		}
		return s
	}
	<-first.full // whoever asks for the rest has seen that much
	second := &cut{after: 500_000, full: make(chan struct{})}
	two := send(t, h, takeOver(), 1000, second)
	<-second.full
	third := &bytes.Buffer{}
	three := send(t, h, takeOver(), 501_000, third)
	h.LetGo("main") // of none that is being sent
	close(verified)
	if o := <-three; o.err != nil || o.saved != want {
		t.Errorf("it ends with %+v", o)
	}
	for _, o := range []outcome{<-one, <-two} {
		if !errors.Is(o.err, errTaken) {
			t.Errorf("an earlier call ends with %v", o.err)
		}
	}
	if came := bytes.Join([][]byte{first.came.Bytes(), second.came.Bytes(), third.Bytes()}, nil); !bytes.Equal(came, content) {
		t.Errorf("%d, %d and %d bytes came, and they are not the %d", first.came.Len(), second.came.Len(), third.Len(), len(content))
	}
	mustBeGone(t, h)
}

// TestASnapshotOfNobodyGoes holds that it goes at its time, for somebody who needs the space, and if it is none, and
// that a killed call leaves nothing for long.
func TestASnapshotOfNobodyGoes(t *testing.T) {
	t.Parallel()
	none := errors.New("it is none")
	for name, test := range map[string]struct {
		check error
		keeps time.Duration
		after func(Host)
		want  error
	}{
		"nobody comes back":       {keeps: 50 * time.Millisecond, want: errCut},
		"its space is needed":     {after: func(h Host) { h.LetGo("main") }, want: errCut},
		"it turns out to be none": {check: none, want: none},
		"a killed call left a name": {keeps: 50 * time.Millisecond, want: errCut, after: func(h Host) {
			path := filepath.Join(h.Files.Path(api.RunDir), offerPrefix("main")+strings.Repeat("a", 32))
			o, err := h.Offer("main", strings.Repeat("a", 32))
			if err == nil {
				o.listener.SetUnlinkOnClose(false)
				o.Close()
			}
			if _, err := os.Lstat(path); err != nil {
				t.Error(err)
			}
			h.LetGo("main")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h, content, file := hostWith(t)
			if test.keeps > 0 {
				h.Keeps = test.keeps
			}
			ended := send(t, h, NewSending(file, int64(len(content)), func() (api.Saved, error) { return api.Saved{}, test.check }), 0, &cut{after: 5})
			for wait := time.Now(); test.after != nil; time.Sleep(10 * time.Millisecond) {
				test.after(h)
				if len(ended) > 0 || time.Since(wait) > 20*time.Second {
					break
				}
			}
			select {
			case o := <-ended:
				if !errors.Is(o.err, test.want) {
					t.Errorf("it ends with %v", o.err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("it stays")
			}
			if _, err := file.Stat(); !errors.Is(err, fs.ErrClosed) {
				t.Errorf("its file: %v", err)
			}
			mustBeGone(t, h)
		})
	}
}

// TestWhoTakesOverHearsWhatWasFound holds that no snapshot passes for verified that is none, or whose verifying call
// is gone.
func TestWhoTakesOverHearsWhatWasFound(t *testing.T) {
	t.Parallel()
	h, content, file := hostWith(t)
	verified := make(chan struct{})
	one := send(t, h, NewSending(file, int64(len(content)), func() (api.Saved, error) { <-verified; return api.Saved{}, errors.New("page 7 is damaged") }), 0, &cut{after: 5})
	s, err := h.TakeOver("main", oneID)
	if err != nil {
		t.Fatal(err)
	}
	two := send(t, h, s, 5, io.Discard)
	close(verified)
	if o := <-two; o.err == nil || !strings.Contains(o.err.Error(), "page 7 is damaged") {
		t.Errorf("it ends with %v", o.err)
	}
	<-one
	mustBeGone(t, h)
}

// mustBeGone wants no snapshot to be taken over, and no socket.
func mustBeGone(t *testing.T, h Host) {
	t.Helper()
	if _, err := h.TakeOver("main", oneID); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("taken over: %v", err)
	}
	if left, err := os.ReadDir(h.Files.Path(api.RunDir)); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}
