package host

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
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
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.put(t, 30)
	view := f.probe(t)
	writeFile(t, f.Machine, snapshotDir+"/"+files.NamelessPrefix+"123", "what a killed call has left")
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
	t.Parallel()
	f := survivor(t)
	var content bytes.Buffer
	_, err := f.Save(t.Context(), "main", api.SaveRequest{Owner: fleetOwner}, &content)
	mustRefuse(t, err, "cannot reach a majority")
	if content.Len() > 0 {
		t.Errorf("%d bytes were sent", content.Len())
	}
}

// TestContentOfCalls holds what a call says on the wire: content in pieces, all of them before the line that ends it,
// and none behind an error.
func TestContentOfCalls(t *testing.T) {
	m, _ := newMachine(t)
	r := prepareOf("main")
	prepared(t, m, r)
	text := strings.Repeat("0123456789abcdef", 40_000) // more than two pieces
	name := keep(t, m, r.Marker, text)
	var out bytes.Buffer
	if !m.Call(t.Context(), strings.NewReader(`{"version":1,"operation":"send-backup","cluster":"main","body":{"name":"`+name+`"}}`), &out) {
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
	lines, ok := say(t, m, `{"version":1,"operation":"send-backup","cluster":"main","body":{"name":"../../../etc/shadow"}}`)
	if ok || len(lines) != 1 || lines[0].Error == nil {
		t.Errorf("what is no backup: %+v", lines)
	}
	lines, ok = say(t, m, `{"version":1,"operation":"save","cluster":"main","body":{"owner":"owner-of-main","more":true}}`)
	if ok || lines[0].Error.Code != api.CodeUnsupported {
		t.Errorf("a save of more than this store knows: %+v", lines[0].Error)
	}
}

// keep keeps a text as a backup in a directory of a prepared machine, and returns its name.
func keep(t *testing.T, m *Machine, marker api.Marker, text string) string {
	t.Helper()
	b := backupOf()
	if err := m.Backups().Put(marker, b); err != nil {
		t.Fatal(err)
	}
	at, err := backup.NewDirectory(m.path(b.Directory))
	if err != nil {
		t.Fatal(err)
	}
	about := backup.Snapshot{Cluster: marker.Cluster, Member: marker.Member, TakenAt: m.Now(), Revision: 2, SizeBytes: int64(len(text)), SHA256: sha256Of([]byte(text))}
	kept, err := backup.Store(t.Context(), at, about, strings.NewReader(text), backup.Recipients{})
	if err != nil {
		t.Fatal(err)
	}
	return kept.Name
}

// TestAPipeInPlaceOfTheDatabase: neither a snapshot that is sent nor a backup waits for somebody to write to what the
// system user has put where the member's database was.
func TestAPipeInPlaceOfTheDatabase(t *testing.T) {
	f := fleetOf(t, newAuthority(t), "a")[0]
	backedUp(t, backupOf(), f)
	path := f.path(etcdfs.Database(f.marker.DataDir))
	mustNotFail(t, os.Rename(path, path+".x"))
	mustNotFail(t, unix.Mkfifo(path, 0o600))
	done := make(chan error, 2)
	go func() {
		_, err := f.Save(t.Context(), "main", api.SaveRequest{Owner: fleetOwner}, io.Discard)
		done <- err
		done <- f.Backups().RunBackup(t.Context(), "main", true, func(string) {})
	}()
	for range 2 {
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "is no file") {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("it waits")
			return
		}
	}
}

// TestASnapshotGoesOn has a caller vanish while a snapshot is sent to it: its next call gets the rest of the very same
// one, though the member has other data by then, and is restarted. A call whose snapshot is gone is refused.
func TestASnapshotGoesOn(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.client(t, func(c *clientv3.Client) {
		for i := range 3 {
			if _, err := c.Put(t.Context(), fmt.Sprintf("big-%d", i), strings.Repeat("x", 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
	})
	const id = oneRun
	// call makes one that is cut off after so many bytes of content, if there are more, and returns what came.
	call := func(id string, from int64, cutAfter int) (came []byte, last api.Line, ended <-chan bool) {
		beats, speak := io.Pipe()
		hear, said := io.Pipe()
		done := make(chan bool, 1)
		go func() {
			done <- f.Call(context.Background(), beats, said)
			_ = said.Close()
		}()
		_, _ = fmt.Fprintf(speak, `{"version":1,"operation":"save","cluster":"main","beats":true,"body":{"owner":%q,"id":%q,"from":%d}}`+"\n", fleetOwner, id, from)
		for lines := bufio.NewReader(hear); ; {
			text, err := lines.ReadBytes('\n')
			if err != nil {
				t.Fatal(err)
			}
			last = mustParse(t, text)
			if last.Result != nil || last.Error != nil {
				_ = speak.Close()
				return came, last, done
			}
			content := make([]byte, min(last.Content, cutAfter-len(came)))
			if _, err := io.ReadFull(lines, content); err != nil {
				t.Fatal(err)
			}
			if came = append(came, content...); len(came) == cutAfter {
				_ = speak.Close()
				_ = hear.Close()
				return came, api.Line{}, done
			}
		}
	}
	const enough = 1 << 30
	first, _, one := call(id, 0, 100_000)
	f.put(t, 30)
	mustNotFail(t, f.Stop(t.Context(), "main", api.StopRequest{Owner: fleetOwner}))
	second, _, two := call(id, int64(len(first)), 1_000_000)
	third, last, _ := call(id, int64(len(first)+len(second)), enough)
	var saved api.Saved
	if err := json.Unmarshal(last.Result, &saved); err != nil || last.Error != nil {
		t.Fatalf("it ends with %+v, %v", last.Error, err)
	}
	whole := slices.Concat(first, second, third)
	if saved.SHA256 != sha256Of(whole) || saved.SizeBytes != int64(len(whole)) || saved.Keys != 3 || len(third) == 0 {
		t.Errorf("%d bytes came in %d, %d and %d, and %+v was sent", len(whole), len(first), len(second), len(third), saved)
	}
	if <-one || <-two {
		t.Error("calls that were cut off have succeeded")
	}
	if _, last, _ := call(id, 5, enough); last.Error == nil || last.Error.Code != api.CodeRefused || last.Error.Message != api.SnapshotGone {
		t.Errorf("one that is gone: %+v", last)
	}

	mustNotFail(t, f.Start(t.Context(), "main"))
	eventually(t, "it serves", func() bool { return f.probe(t).Healthy })
	_, _, gone := call(id, 0, 5)
	time.Sleep(100 * time.Millisecond)
	if _, last, _ := call(strings.Repeat("b", 32), 0, enough); last.Result == nil {
		t.Errorf("another run's: %+v", last.Error)
	}
	select { // the other run has had it go, if it was noticed by then that its caller had
	case <-gone:
	case <-time.After(time.Second):
		f.snapshots().LetGo("main")
		<-gone
	}
	mustHaveFetched(t, f.Machine)
}
