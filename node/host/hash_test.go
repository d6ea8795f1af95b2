package host

import (
	"slices"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestHashesOfMembers holds that all members, a learner too, have one hash at one revision, and that it is
// another at another.
func TestHashesOfMembers(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	a := fleetOf(t, ca, "a")[0]
	a.put(t, 20)
	b := newcomer(t, ca, "b")
	if _, err := a.AddLearner(t.Context(), "main", api.AddLearnerRequest{Owner: fleetOwner, PeerURL: b.peerURL(), Timeout: patience}); err != nil {
		t.Fatal(err)
	}
	b.marker.Phase = api.PhaseJoining
	b.configure(t, []*fleetMember{a, b}, "existing")
	b.start(t)
	b.await(t, api.AwaitRequest{Learner: true})
	eventually(t, "the learner has caught up", func() bool { return b.probe(t).Revision >= a.probe(t).Revision })

	hash := func(f *fleetMember, revision int64) api.Hash {
		h, err := f.Hash(t.Context(), "main", api.HashRequest{Revision: revision})
		if err != nil {
			t.Fatalf("member %s: %v", f.marker.Member, err)
		}
		return h
	}
	latest := hash(a, 0)
	if latest.Hash == 0 || latest.HashRevision != 21 || latest.Revision != 21 {
		t.Errorf("the hash reads %+v", latest)
	}
	if got := hash(b, latest.HashRevision); got != latest {
		t.Errorf("the learner's hash reads %+v, the voter's %+v", got, latest)
	}
	if early := hash(b, 10); early.Hash == latest.Hash || early.HashRevision != 10 || early.Revision != 21 || early != hash(a, 10) {
		t.Errorf("the hash at revision 10 reads %+v", early)
	}
	// Keys are counted as they were: one that has gone since, with its lease say, was there.
	a.client(t, func(c *clientv3.Client) {
		if _, err := c.Delete(t.Context(), "key-0"); err != nil {
			t.Fatal(err)
		}
	})
	for revision, keys := range map[int64]int64{0: 0, 10: 9, 21: 20, 22: 19} {
		if h, err := a.Hash(t.Context(), "main", api.HashRequest{CountAt: revision}); err != nil || h.Keys != keys {
			t.Errorf("at revision %d it counts %d keys, %v; want %d", revision, h.Keys, err, keys)
		}
	}
	_, err := a.Hash(t.Context(), "main", api.HashRequest{Revision: 1000})
	mustFail(t, err, api.CodeFailed, "revision 1000", "future revision")

	a.config.Flags = slices.DeleteFunc(a.config.Flags, func(f string) bool { return f == "--initial-advertise-peer-urls="+a.peerURL() })
	a.apply(t)
	_, err = a.Hash(t.Context(), "main", api.HashRequest{})
	mustFail(t, err, api.CodeFailed, "--initial-advertise-peer-urls")
}

// TestHashOfTheLatestCompaction holds what runs rely on that compare members. A member that has compacted up to its
// latest revision answers for that revision with the compaction before, and does so no more once it was restarted. For
// all that it holds (revision 0) it answers alike.
func TestHashOfTheLatestCompaction(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.put(t, 20)
	f.client(t, func(c *clientv3.Client) {
		if err := persist(t, func() error { _, err := c.Compact(t.Context(), 21, clientv3.WithCompactPhysical()); return err }); err != nil {
			t.Fatal(err)
		}
	})
	hash := func(revision, compacted int64) (h api.Hash) {
		t.Helper()
		eventually(t, "the compaction is done", func() bool { // etcd keeps its hash at the end of that
			var err error
			if h, err = f.Hash(t.Context(), "main", api.HashRequest{Revision: revision}); err != nil {
				t.Fatal(err)
			}
			return h.CompactRevision == compacted && h.HashRevision == 21
		})
		return h
	}
	hash(21, -1)
	all := hash(0, 21)
	f.units.end(syscall.SIGTERM)
	f.start(t)
	f.await(t, api.AwaitRequest{Members: 1})
	hash(21, 21)
	if got := hash(0, 21); got != all {
		t.Errorf("it holds %+v, and held %+v", got, all)
	}
}
