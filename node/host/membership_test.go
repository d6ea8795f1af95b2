package host

import (
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// TestMembershipOfARunningCluster replaces a member of three by the calls that the provider makes: a learner
// comes, is promoted, the leadership moves, and the old leader goes.
func TestMembershipOfARunningCluster(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	members := fleetOf(t, ca, "a", "b", "c")
	leader, others := split(t, members)
	follower := others[0]

	d := newcomer(t, ca, "d")
	add := api.AddLearnerRequest{Owner: fleetOwner, PeerURL: d.peerURL(), Timeout: patience}
	added, err := follower.AddLearner(t.Context(), "main", add)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ids(added.Members, true), []string{added.ID}) || len(added.Members) != 4 {
		t.Errorf("it was added as %+v", added)
	}
	if marker, err := follower.Machine.records().Marker("main"); err != nil || !slices.Equal(marker.Added, []string{d.peerURL()}) {
		t.Errorf("the marker is %+v, %v", marker, err)
	}
	// Again, through another member too: it is the same learner.
	for _, through := range []*fleetMember{follower, leader} {
		if again, err := through.AddLearner(t.Context(), "main", add); err != nil || again.ID != added.ID {
			t.Errorf("added again: %+v, %v", again, err)
		}
	}
	_, err = follower.AddLearner(t.Context(), "main", api.AddLearnerRequest{Owner: fleetOwner, PeerURL: "https://127.0.0.1:1", Timeout: patience})
	mustRefuse(t, err, "one at a time")
	_, err = follower.AddLearner(t.Context(), "main", api.AddLearnerRequest{Owner: fleetOwner, PeerURL: leader.peerURL(), Timeout: patience})
	mustRefuse(t, err, "voter "+leader.marker.Member)
	_, err = follower.AddLearner(t.Context(), "main", api.AddLearnerRequest{Owner: "another", PeerURL: d.peerURL(), Timeout: patience})
	mustRefuse(t, err, "another Terraform object")
	mustRefuse(t, follower.MoveLeader(t.Context(), "main", api.MoveLeaderRequest{Owner: fleetOwner, To: added.ID}), "no voter")
	update := api.UpdateMemberRequest{Owner: fleetOwner, ID: added.ID, PeerURL: "https://127.0.0.1:1", Timeout: patience}
	mustRefuse(t, follower.UpdateMember(t.Context(), "main", update), "it is a learner")

	d.marker.Phase = api.PhaseJoining
	d.configure(t, append(slices.Clone(members), d), "existing")
	d.start(t)
	o := d.await(t, api.AwaitRequest{Learner: true})
	if d.id = added.ID; o.Member.MemberID != d.id || o.Member.Leader != leader.id {
		t.Errorf("the learner reads %+v", o.Member)
	}
	// Until it has the list of members from the leader, it takes itself for a voter.
	eventually(t, "the learner is not ready", func() bool { return !d.probe(t).Ready })
	_, err = d.AddLearner(t.Context(), "main", add)
	mustRefuse(t, err, "is a learner")

	promote := api.PromoteRequest{Owner: fleetOwner, ID: d.id, Timeout: patience}
	eventually(t, "the learner has caught up", func() bool { return d.probe(t).AppliedIndex >= leader.probe(t).AppliedIndex })
	for range 2 { // the second finds a voter
		if err := follower.Promote(t.Context(), "main", promote); err != nil {
			t.Fatal(err)
		}
		if list := follower.probe(t).Members; !slices.Contains(ids(list, false), d.id) {
			t.Errorf("promoted, and the list is %+v", list)
		}
	}
	d.await(t, api.AwaitRequest{Members: 4})

	// A follower moves nothing. The second time the leader has nothing to move.
	for _, asked := range []*fleetMember{follower, leader, leader} {
		if err := asked.MoveLeader(t.Context(), "main", api.MoveLeaderRequest{Owner: fleetOwner, To: d.id}); err != nil {
			t.Fatal(err)
		}
		if asked == leader && leader.probe(t).Leader == leader.id {
			t.Error("it still leads")
		}
	}
	remove := api.RemoveMemberRequest{Owner: fleetOwner, ID: leader.id, Timeout: patience}
	mustRefuse(t, leader.RemoveMember(t.Context(), "main", remove), "ask another voter")
	for range 2 { // the second finds it gone
		if err := follower.RemoveMember(t.Context(), "main", remove); err != nil {
			t.Fatal(err)
		}
		if list := follower.probe(t).Members; len(list) != 3 || slices.Contains(ids(list, false), leader.id) {
			t.Errorf("removed, and the list is %+v", list)
		}
	}

	// The peer URL that has just become free is taken again.
	again, err := follower.AddLearner(t.Context(), "main", api.AddLearnerRequest{Owner: fleetOwner, PeerURL: leader.peerURL(), Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, follower.Promote(t.Context(), "main", api.PromoteRequest{Owner: fleetOwner, ID: again.ID, Timeout: patience}), "has not caught up")
}

// TestMembershipOfAMemberThatDoesNotRun holds that what cannot be asked is an error at once.
func TestMembershipOfAMemberThatDoesNotRun(t *testing.T) {
	m, _ := newMachine(t)
	configured(t, m, prepareOf("main"))
	start := time.Now()
	_, err := m.AddLearner(t.Context(), "main", api.AddLearnerRequest{Owner: fleetOwner, PeerURL: "https://127.0.0.1:1", Timeout: api.LongestWait})
	mustFail(t, err, api.CodeFailed, "connect to the local member")
	if took := time.Since(start); took > patience {
		t.Errorf("it took %s", took)
	}
	mustRefuse(t, m.Promote(t.Context(), "main", api.PromoteRequest{Owner: fleetOwner, ID: "g", Timeout: patience}), `"g"`)
	mustRefuse(t, m.RemoveMember(t.Context(), "main", api.RemoveMemberRequest{Owner: fleetOwner, ID: "1", Timeout: -1}), "-1ns")
	if view, err := m.Probe(t.Context(), "main", api.ProbeRequest{}); err != nil || view.Responding || view.Error == "" || view.Healthy {
		t.Errorf("it reads %+v, %v", view, err)
	}
	if view, err := m.Probe(t.Context(), "events", api.ProbeRequest{}); err != nil || view.Error != records.NoCluster {
		t.Errorf("a cluster that is not there reads %+v, %v", view, err)
	}
}

// TestChangesOutlastAStall has the other members stand still for longer than etcd itself waits, as busy disks make
// them: a change of the member list that was asked for before is made once they go on.
func TestChangesOutlastAStall(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "each gives requests up after the same time")
	ca := newAuthority(t)
	members := fleetOf(t, ca, "a", "b", "c")
	through, others := split(t, members)
	signal := func(signal syscall.Signal) {
		for _, f := range others {
			if err := f.units.process.Process.Signal(signal); err != nil {
				t.Error(err)
			}
		}
	}
	learner := ""
	for _, change := range []struct {
		name string
		make func() error
	}{
		{"add", func() error {
			added, err := through.AddLearner(t.Context(), "main", api.AddLearnerRequest{Owner: fleetOwner, PeerURL: "https://127.0.0.1:1", Timeout: patience})
			learner = added.ID
			return err
		}},
		{"remove", func() error {
			return through.RemoveMember(t.Context(), "main", api.RemoveMemberRequest{Owner: fleetOwner, ID: learner, Timeout: patience})
		}},
		{"update", func() error {
			return through.UpdateMember(t.Context(), "main", api.UpdateMemberRequest{Owner: fleetOwner, ID: others[0].id, PeerURL: "https://localhost:" + strconv.Itoa(others[0].marker.PeerPort), Timeout: patience})
		}},
	} {
		signal(syscall.SIGSTOP)
		goOn := make(chan struct{})
		go func() {
			defer close(goOn)
			time.Sleep(etcdGivesUp + 2*time.Second)
			signal(syscall.SIGCONT)
		}()
		began := time.Now()
		if err := change.make(); err != nil {
			t.Errorf("%s: %v", change.name, err)
		}
		if time.Since(began) < etcdGivesUp {
			t.Errorf("%s was made by one member of three", change.name)
		}
		<-goOn
		eventually(t, "there is a leader", func() bool { return through.probe(t).Healthy })
	}
}

// etcdGivesUp is how long etcd itself waits until members have agreed on a request.
const etcdGivesUp = 7 * time.Second
