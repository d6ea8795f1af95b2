package host

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/api/v3/version"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// formAll has the machines of a fleet know that their members are formed.
func formAll(t *testing.T, members []*fleetMember) {
	t.Helper()
	for _, f := range members {
		view := f.probe(t)
		f.formed(t, view)
	}
}

// saved returns a snapshot that the member has sent. On a busy machine it may not reach its majority, itself, for some
// time.
func (f *fleetMember) saved(t *testing.T) (api.Saved, []byte) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		var content bytes.Buffer
		s, err := f.Save(t.Context(), "main", api.SaveRequest{Owner: fleetOwner}, &content)
		if err == nil {
			return s, content.Bytes()
		}
		if !strings.Contains(err.Error(), "cannot reach a majority of the voters") || time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// upload returns a request to fetch a content that is sent.
func upload(content []byte) api.FetchRequest {
	return api.FetchRequest{
		Owner: fleetOwner, DataDir: dataDir, MinorVersion: version.Cluster(version.Version),
		Source: api.Source{Upload: &api.Upload{SizeBytes: int64(len(content)), SHA256: sha256Of(content)}},
	}
}

func (f *fleetMember) fetched(t *testing.T, content []byte) api.Snapshot {
	t.Helper()
	s, err := f.arrivals().Fetch(t.Context(), "main", upload(content), bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// restoreOf returns the request that makes the member one of these, of a new cluster.
func (f *fleetMember) restoreOf(members []*fleetMember, s api.Snapshot, token string, bump int64) api.RestoreRequest {
	var initial []string
	for _, other := range members {
		initial = append(initial, other.marker.Member+"="+other.peerURL())
	}
	marker := f.marker
	marker.Token, marker.InitialCluster, marker.ClusterID, marker.MemberID = token, strings.Join(initial, ","), "", ""
	return api.RestoreRequest{Marker: marker, Source: "file:///backup.db", Snapshot: s.SHA256, PeerURL: f.peerURL(), Bump: bump}
}

func (f *fleetMember) advance(t *testing.T, stages ...api.Stage) {
	t.Helper()
	for _, stage := range stages {
		if err := f.Advance("main", api.AdvanceRequest{Owner: fleetOwner, Stage: stage}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRestoreAFleet restores three members of a cluster that serves, and holds what clients of the old one go by:
// no revision comes again, no watch misses anything, and no member of the old cluster joins.
func TestRestoreAFleet(t *testing.T) {
	t.Parallel()
	members := fleetOf(t, newAuthority(t), "a", "b", "c")
	formAll(t, members)
	leader, _ := split(t, members)
	leader.put(t, 30)
	saved, content := leader.saved(t)
	leader.put(t, 40) // clients go on, and lose this
	seen := leader.probe(t).Revision
	if saved.Revision != 31 || saved.Keys != 30 || seen != 71 {
		t.Fatalf("the snapshot reads %+v, and clients have seen revision %d", saved, seen)
	}

	var snapshot api.Snapshot
	highest := int64(0)
	for _, f := range members {
		snapshot = f.fetched(t, content)
		if snapshot.SHA256 != saved.SHA256 || snapshot.Keys != 30 || snapshot.Revision != 31 {
			t.Fatalf("fetched is %+v, and saved was %+v", snapshot, saved)
		}
	}
	for _, f := range members {
		under, err := f.Fence(t.Context(), "main", api.FenceRequest{Owner: fleetOwner, Source: "file:///backup.db", Snapshot: snapshot.SHA256})
		if err != nil {
			t.Fatal(err)
		}
		if under.Stage != api.StageFenced || under.ClusterID != saved.ClusterID || !under.Enabled || under.Marker == nil || under.Revision < seen {
			t.Errorf("member %s is fenced as %+v, and clients have seen revision %d", f.marker.Member, under, seen)
		}
		highest = max(highest, under.Revision)
		mustBeFenced(t, f)
	}
	bump := highest + 2 - snapshot.Revision
	for i, f := range members {
		short := f.restoreOf(members, snapshot, "token-2", seen+1-snapshot.Revision)
		_, err := f.Restore(t.Context(), "main", short)
		mustRefuse(t, err, "raise revisions")
		request := f.restoreOf(members, snapshot, "token-2", bump)
		made, err := f.Restore(t.Context(), "main", request)
		if err != nil {
			t.Fatal(err)
		}
		again, err := f.Restore(t.Context(), "main", request)
		if err != nil || again != made {
			t.Errorf("the second call: %+v, %v, after %+v", again, err, made)
		}
		members[i].marker = request.Marker
		members[i].id = made.MemberID
		if made.ClusterID == saved.ClusterID || !f.etcd(made.Aside).HasMember() {
			t.Errorf("made was %+v, and the old cluster was %s", made, saved.ClusterID)
		}
	}
	for _, f := range members {
		f.configure(t, members, "existing")
		if o, err := f.Observe(t.Context(), "main", api.ObserveRequest{}); err != nil || o.Guard != "" || o.Restore.Stage != api.StageRestored || o.Marker.ClusterID == "" {
			t.Errorf("restored it reads %v, %q, %+v, %+v", err, o.Guard, o.Restore, o.Marker)
		}
		f.start(t)
	}
	for _, f := range members {
		f.await(t, api.AwaitRequest{Members: 3})
		h, err := f.Hash(t.Context(), "main", api.HashRequest{CountAt: snapshot.Revision + bump})
		if err != nil || h.Keys != 30 || h.Revision <= seen {
			t.Errorf("member %s hashes %+v, %v", f.marker.Member, h, err)
		}
	}
	mustHaveMovedOn(t, members[0], seen)

	for _, f := range members {
		f.advance(t, api.StageChecked, api.StageOpened, api.StageOpened)
		mustRefuse(t, f.RollBack(t.Context(), "main", api.RollBackRequest{Owner: fleetOwner}), "clients may have written")
		f.advance(t, "", "")
		o, err := f.Observe(t.Context(), "main", api.ObserveRequest{})
		if err != nil || o.Restore != nil || o.Guard != "" {
			t.Errorf("when it is over it reads %+v, %v, %q", o.Restore, err, o.Guard)
		}
		if _, err := os.Stat(f.path(api.FetchedSnapshot(dataDir, snapshot.SHA256))); !os.IsNotExist(err) {
			t.Errorf("the fetched snapshot is left: %v", err)
		}
	}
	mustStayOut(t, members, saved.ClusterID)
	mustCountAgain(t, members[0])
}

// mustBeFenced wants a member to be down, and nobody to be let to start it.
func mustBeFenced(t *testing.T, f *fleetMember) {
	t.Helper()
	o, err := f.Observe(t.Context(), "main", api.ObserveRequest{})
	if err != nil || o.Unit.ActiveState != "inactive" || o.Unit.FileState != "disabled" || o.GuardCheck != api.GuardRestore || !strings.Contains(o.Guard, "file:///backup.db") || !strings.Contains(o.Guard, "roll_back") {
		t.Errorf("fenced it reads %v, %+v, %s: %q", err, o.Unit, o.GuardCheck, o.Guard)
	}
	if err := f.Guard("main"); err == nil {
		t.Error("the guard lets it start")
	}
	mustRefuse(t, f.Start(t.Context(), "main"), "under way")
	mustRefuse(t, f.Restart(t.Context(), "main", api.RestartRequest{Owner: fleetOwner}), "under way")
	_, err = f.SetAside(t.Context(), "main", api.SetAsideRequest{Owner: fleetOwner, Why: "lost"})
	mustRefuse(t, err, "under way")
	mustHave(t, f.Machine, api.RestoreFile("main"), files.Owner{UID: 0, GID: etcdOwner.GID}, 0o640)
}

// mustHaveMovedOn wants all that clients have seen to be compacted, and what is written to be new.
func mustHaveMovedOn(t *testing.T, f *fleetMember, seen int64) {
	t.Helper()
	f.client(t, func(c *clientv3.Client) {
		for _, from := range []int64{2, 31, seen, seen + 1} {
			answer, open := <-c.Watch(t.Context(), "key-", clientv3.WithPrefix(), clientv3.WithRev(from))
			if !open || !errors.Is(answer.Err(), rpctypes.ErrCompacted) {
				t.Errorf("a watch resumed at revision %d says %+v, %v", from, answer, answer.Err())
			}
		}
		written, err := c.Put(t.Context(), "key-0", "new")
		if err != nil || written.Header.Revision <= seen+1 {
			t.Errorf("a write comes at %+v, %v", written, err)
		}
		all, err := c.Get(t.Context(), "", clientv3.WithFromKey())
		if err != nil || all.Count != 30 {
			t.Fatalf("there are %+v, %v", all, err)
		}
		for _, kv := range all.Kvs {
			if string(kv.Key) != "key-0" && string(kv.Value) != "value" {
				t.Errorf("%s is %q", kv.Key, kv.Value)
			}
		}
	})
}

// mustStayOut starts the old data of one member, past the guard, and wants it to stay outside.
func mustStayOut(t *testing.T, members []*fleetMember, old string) {
	t.Helper()
	out, serving := members[2], members[0]
	if err := out.Stop(t.Context(), "main", api.StopRequest{Owner: fleetOwner}); err != nil {
		t.Fatal(err)
	}
	aside, err := out.dataDir(dataDir).Aside()
	if err != nil || len(aside) != 1 {
		t.Fatalf("there are %q, %v", aside, err)
	}
	if err := os.Rename(out.path(dataDir+"/member"), out.path("/restored")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(out.path(aside[0]+"/member"), out.path(dataDir+"/member")); err != nil {
		t.Fatal(err)
	}
	if err := out.Guard("main"); err == nil || !strings.Contains(err.Error(), "holds the data of member") {
		t.Errorf("the guard says of the old data: %v", err)
	}
	out.start(t)
	health := func(path string) (answered int) {
		// answered stays 0 if the member does not answer.
		_ = out.local(out.marker).AskMetrics(t.Context(), path, func(status int, _ io.Reader) { answered = status })
		return answered
	}
	eventually(t, "the old member runs", func() bool { return health("/livez") == http.StatusOK })
	eventually(t, "the old member says that it is not healthy", func() bool { return health("/health") == http.StatusServiceUnavailable })
	var view api.Member
	eventually(t, "the running ones serve", func() bool {
		view = serving.probe(t)
		return view.Healthy && len(view.Members) == 3
	})
	if view.ClusterID == old {
		t.Errorf("the running ones say %+v, and the old one is of cluster %s", view, old)
	}
	out.units.end(syscall.SIGKILL)
}

// mustCountAgain takes a snapshot of a restored cluster: the mark that the restore has left in it is no key.
func mustCountAgain(t *testing.T, f *fleetMember) {
	t.Helper()
	s, _ := f.saved(t)
	if s.Keys != 30 || s.Hash == 0 {
		t.Errorf("a snapshot of the restored cluster reads %+v", s)
	}
}

func sha256Of(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
