package host

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// fullWriter takes so many bytes, and then none.
type fullWriter struct{ left int }

var errFull = errors.New("nobody listens any more")

func (w *fullWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestSaveSendsAVerifiedSnapshot(t *testing.T) {
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.put(t, 30)
	view := f.probe(t)
	writeFile(t, f.Machine, snapshotDir+"/"+sending+"123", "what a killed call has left")
	saved, content := f.saved(t)
	if saved.SHA256 != sha256Of(content) || saved.SizeBytes != int64(len(content)) || saved.Revision != 31 || saved.Keys != 30 || saved.Path != "" {
		t.Errorf("saved is %+v, and sent were %d bytes", saved, len(content))
	}
	if saved.ClusterID != view.ClusterID || saved.MemberID != view.MemberID || saved.Etcd != view.Version || !saved.TakenAt.Equal(f.Now()) {
		t.Errorf("saved is %+v of %+v", saved, view)
	}
	if h, err := f.Hash(t.Context(), "main", api.HashRequest{Revision: 31, CountAt: 31}); err != nil || h.Hash != saved.Hash || h.Keys != 30 {
		t.Errorf("the member's hash is %+v, %v, and the snapshot's %d", h, err, saved.Hash)
	}
	// It says how far the member has compacted, by being another. At the revision of its last compaction, a member
	// gives the hash from before that: of that nothing is said.
	f.client(t, func(c *clientv3.Client) {
		if _, err := c.Put(t.Context(), "key-0", "new"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Compact(t.Context(), 20, clientv3.WithCompactPhysical()); err != nil {
			t.Fatal(err)
		}
	})
	if compacted, _ := f.saved(t); compacted.Hash == saved.Hash || compacted.Hash == 0 {
		t.Errorf("compacted, its hash is %d, and was %d", compacted.Hash, saved.Hash)
	}

	f.client(t, func(c *clientv3.Client) {
		if _, err := c.Compact(t.Context(), 32, clientv3.WithCompactPhysical()); err != nil {
			t.Fatal(err)
		}
	})
	if compacted, _ := f.saved(t); compacted.Hash != 0 {
		t.Errorf("compacted up to its end, its hash is %d", compacted.Hash)
	}

	var all sync.WaitGroup
	for range 4 { // without a lock
		all.Go(func() {
			var content bytes.Buffer
			if s, err := f.Save(t.Context(), "main", api.SaveRequest{Owner: fleetOwner}, &content); err != nil || s.SHA256 != sha256Of(content.Bytes()) {
				t.Errorf("several at a time: %+v, %v", s, err)
			}
		})
	}
	all.Wait()
	if _, err := f.Save(t.Context(), "main", api.SaveRequest{Owner: fleetOwner}, &fullWriter{left: 10_000}); !errors.Is(err, errFull) {
		t.Errorf("to nobody: %v", err)
	}
	_, err := f.Save(t.Context(), "main", api.SaveRequest{Owner: "another"}, &bytes.Buffer{})
	mustRefuse(t, err)
	mustHaveFetched(t, f.Machine)
}

// TestSaveRefusesWhoMayBeBehind holds that a learner, and a voter without the others, send nothing.
func TestSaveRefusesWhoMayBeBehind(t *testing.T) {
	f := survivor(t)
	var content bytes.Buffer
	_, err := f.Save(t.Context(), "main", api.SaveRequest{Owner: fleetOwner}, &content)
	mustRefuse(t, err, "cannot reach a majority")
	if content.Len() > 0 {
		t.Errorf("%d bytes were sent", content.Len())
	}
}

func TestReadSendsSnapshotsAlone(t *testing.T) {
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.put(t, 3)
	s, err := f.Snapshot(t.Context(), "main", api.SnapshotRequest{Owner: fleetOwner, Keep: 1})
	if err != nil {
		t.Fatal(err)
	}
	var content bytes.Buffer
	read, err := f.Read("main", api.ReadRequest{Path: s.Path}, &content)
	if err != nil || read.SHA256 != s.SHA256 || read.SizeBytes != s.SizeBytes || sha256Of(content.Bytes()) != s.SHA256 {
		t.Errorf("read is %+v, %v, of %+v", read, err, s)
	}
	writeFile(t, f.Machine, "/etc/shadow", "secret")
	for link, target := range map[string]string{"/link.db": f.path("/etc/shadow"), "/near.db": s.Path[len(snapshotDir)+1:], "/dir": f.path("/etc")} {
		if err := os.Symlink(target, f.path(snapshotDir+link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(f.path(snapshotDir+"/pipe.db"), 0o600); err != nil {
		t.Fatal(err)
	}
	content.Reset()
	for _, path := range []string{
		"/etc/shadow", snapshotDir, snapshotDir + "/", snapshotDir + "/../main/member/snap/db", snapshotDir + "/./" + s.Path[len(snapshotDir)+1:], snapshotDir + "-2/x.db",
		snapshotDir + "/link.db", snapshotDir + "/near.db", snapshotDir + "/dir/shadow", snapshotDir + "/pipe.db", snapshotDir + "/nothing.db", "", "../x",
		f.marker.DataDir + "/member/snap/db", api.KeyFile("main", api.KeyAdmin),
	} {
		_, err := f.Read("main", api.ReadRequest{Path: path}, &content)
		mustRefuse(t, err)
		if err == nil || content.Len() > 0 {
			t.Errorf("%s: %v, %q", path, err, content.String())
		}
	}
	bare, _ := newMachine(t)
	_, err = bare.Read("main", api.ReadRequest{Path: s.Path}, &content)
	mustRefuse(t, err, "carries no such cluster")
}

// TestContentOfCalls holds what a call says on the wire: content in pieces, all of them before the line that ends it,
// and none behind an error.
func TestContentOfCalls(t *testing.T) {
	m, _ := newMachine(t)
	prepared(t, m, prepareOf("main"))
	text := strings.Repeat("0123456789abcdef", 40_000) // more than two pieces
	writeFile(t, m, snapshotDir+"/1-20260304T050607Z.db", text)
	var out bytes.Buffer
	if !m.Call(t.Context(), strings.NewReader(`{"version":1,"operation":"read","cluster":"main","body":{"path":"`+snapshotDir+`/1-20260304T050607Z.db"}}`), &out) {
		t.Fatalf("it answers %.200q", out.String())
	}
	content, lines := "", []api.Line{}
	for out.Len() > 0 {
		line := mustParse(t, out.Next(bytes.IndexByte(out.Bytes(), '\n')+1))
		lines, content = append(lines, line), content+string(out.Next(line.Content))
	}
	if content != text || lines[len(lines)-1].Result == nil || len(lines) != 4 || slices.ContainsFunc(lines, func(l api.Line) bool { return l.Content > contentFrame }) {
		t.Errorf("sent were %d bytes in %+v", len(content), lines)
	}
	lines, ok := say(t, m, `{"version":1,"operation":"read","cluster":"main","body":{"path":"/etc/shadow"}}`)
	if ok || len(lines) != 1 || lines[0].Error == nil {
		t.Errorf("what may not be read: %+v", lines)
	}
	lines, ok = say(t, m, `{"version":1,"operation":"save","cluster":"main","body":{"owner":"owner-of-main","more":true}}`)
	if ok || lines[0].Error.Code != api.CodeUnsupported {
		t.Errorf("a save of more than this store knows: %+v", lines[0].Error)
	}
}
