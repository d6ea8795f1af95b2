package nodetest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// serving forms a cluster on the first n of all hosts, and marks it as formed.
func serving(t *testing.T, witness nodetest.TB, hosts, n int) *driver {
	t.Helper()
	d := driveFor(t, witness, hosts)
	all := d.addresses
	d.addresses = all[:n]
	d.form()
	for i := range n {
		d.handOver(i)
	}
	d.addresses = all
	return d
}

// peerURL returns the peer URL of the ith member.
func (d *driver) peerURL(i int) string { return "https://" + d.addresses[i] + ":2380" }

// handOver marks the host of the ith member as formed, with the members that the running cluster lists.
func (d *driver) handOver(i int) {
	d.Helper()
	o := d.observe(i)
	marker := *o.Marker
	marker.Phase, marker.ClusterID, marker.MemberID = api.PhaseFormed, o.Member.ClusterID, o.Member.MemberID
	d.configureAs(i, marker, "existing", o.Store.Selected)
}

// join configures the ith host to join a cluster of these members. It knows only its own name, and uses placeholders
// for the others.
func (d *driver) join(i int, members ...int) {
	d.Helper()
	marker := d.marker(i, "t1")
	var entries []string
	for _, j := range members {
		name := fmt.Sprintf("other%d", j)
		if j == i {
			name = marker.Member
		}
		entries = append(entries, name+"="+d.peerURL(j))
	}
	marker.Phase, marker.InitialCluster = api.PhaseJoining, strings.Join(entries, ",")
	d.configureAs(i, marker, "existing", d.store())
}

// ask makes one call to the host of the ith member that has to succeed.
func (d *driver) ask(i int, op api.Operation, body, result any) {
	d.Helper()
	if err := d.call(d.addresses[i], op, body, result); err != nil {
		d.Fatalf("%s of member %d: %v", op, i, err)
	}
}

// refused makes one call to the host of the ith member that has to fail for this reason.
func (d *driver) refused(i int, op api.Operation, body any, why string) {
	d.Helper()
	if err := d.call(d.addresses[i], op, body, nil); err == nil || !strings.Contains(err.Error(), why) {
		d.Errorf("%s of member %d: %v, want %q", op, i, err, why)
	}
}

// leader returns the member that leads, and another voter.
func (d *driver) leader(members int) (leader, other int) {
	d.Helper()
	for i := range members {
		if m := d.observe(i).Member; m.Leader != "" && m.Leader == m.MemberID {
			return i, (i + 1) % members
		}
	}
	d.Fatal("nobody leads")
	return 0, 0
}

// id returns the ID of the ith member.
func (d *driver) id(i int) string {
	d.Helper()
	return d.observe(i).Member.MemberID
}

// TestReplaceTheDead replaces a dead member of three in the only order that etcd permits.
func TestReplaceTheDead(t *testing.T) {
	d := serving(t, t, 4, 3)
	leader, other := d.leader(3)
	dead := 3 - leader - other
	gone := d.id(dead)
	d.world.Host(d.addresses[leader]).Write("prod")
	d.world.Host(d.addresses[dead]).PowerCut()
	add := api.AddLearnerRequest{Owner: "us", PeerURL: d.peerURL(3), Timeout: time.Second}
	d.refused(other, api.OpAddLearner, add, "unhealthy cluster")
	if added := d.observe(other).Marker.Added; len(added) != 1 || added[0] != add.PeerURL {
		t.Errorf("the marker tells of %v", added)
	}
	d.refused(other, api.OpRemoveMember, api.RemoveMemberRequest{Owner: "us", ID: d.id(leader), Timeout: time.Second}, "unhealthy cluster")
	d.ask(other, api.OpRemoveMember, api.RemoveMemberRequest{Owner: "us", ID: gone, Timeout: time.Second}, nil)
	d.ask(other, api.OpRemoveMember, api.RemoveMemberRequest{Owner: "us", ID: gone, Timeout: time.Second}, nil)
	var learner, again api.AddedLearner
	d.ask(other, api.OpAddLearner, add, &learner)
	d.ask(leader, api.OpAddLearner, add, &again)
	if learner.ID != again.ID || len(learner.Members) != 3 {
		t.Errorf("the learner is %+v, and then %+v", learner, again)
	}

	d.join(3, leader, other, 3)
	d.start(3)
	o := d.observe(3)
	ahead := d.observe(leader).Member
	if !o.Member.Learner || o.Member.Ready || o.Member.Healthy || o.Member.Leader == "" || o.Member.RaftIndex >= ahead.RaftIndex {
		t.Errorf("the learner says %+v, its leader has entry %d", o.Member, ahead.RaftIndex)
	}
	for _, m := range ahead.Members {
		if m.Name == "" || m.Learner != (m.ID == learner.ID) {
			t.Errorf("the list has %+v", m)
		}
	}
	d.ask(3, api.OpAwait, api.AwaitRequest{Learner: true, Timeout: time.Second}, &o)
	if ahead = d.observe(leader).Member; o.Member.RaftIndex != ahead.RaftIndex {
		t.Errorf("a moment later the learner has entry %d of %d", o.Member.RaftIndex, ahead.RaftIndex)
	}
	d.handOver(3)
	d.ask(leader, api.OpPromote, api.PromoteRequest{Owner: "us", ID: learner.ID, Timeout: time.Second}, nil)
	if m := d.observe(3).Member; m.Learner || !m.Healthy || m.Ready {
		t.Errorf("right after its promotion: %+v", m)
	}
	d.ask(3, api.OpAwait, api.AwaitRequest{Members: 3, Timeout: time.Second}, &o)
	if !o.Member.Ready || o.Unit.ActiveState != "active" {
		t.Errorf("after its promotion: %+v", o.Member)
	}
	var theirs, ours api.Hash
	d.ask(leader, api.OpHash, api.HashRequest{}, &theirs)
	d.ask(3, api.OpHash, api.HashRequest{Revision: theirs.Revision}, &ours)
	if theirs != ours {
		t.Errorf("hashes %+v and %+v", theirs, ours)
	}

	// The dead member keeps its view until it is back, and learns then that it was removed.
	d.world.Host(d.addresses[dead]).PowerOn()
	if log := d.observe(dead).Data.Log; log == nil || log.MemberID != gone {
		t.Errorf("a unit that is started tells of its log %+v", log)
	}
	d.world.Tick()
	if o := d.observe(dead); o.Unit.ActiveState != "inactive" || o.Unit.Result != "success" || o.Data.Log == nil || o.Data.Log.MemberID != gone {
		t.Errorf("the removed one: %+v, %+v", o.Unit, o.Data)
	}
	if lost := d.world.Lost("prod"); len(lost) > 0 || d.world.Acknowledged("prod") != 1 {
		t.Errorf("lost %v of %d", lost, d.world.Acknowledged("prod"))
	}
}

// TestJoinFails: a member that its cluster does not expect ends.
func TestJoinFails(t *testing.T) {
	add := func(d *driver) {
		d.ask(0, api.OpAddLearner, api.AddLearnerRequest{Owner: "us", PeerURL: d.peerURL(3), Timeout: time.Second}, nil)
	}
	for name, test := range map[string]struct {
		arrange func(*driver)
		members []int
		want    string
	}{
		"not added":        {func(*driver) {}, []int{0, 1, 2, 3}, "member count is unequal"},
		"not in its place": {func(*driver) {}, []int{1, 2, 3}, "no match found for existing member"},
		"one left out":     {add, []int{0, 1, 3}, "member count is unequal"},
		"itself left out":  {add, []int{0, 1, 2}, "couldn't find local name"},
		"nobody answers":   {func(d *driver) { add(d); d.world.Host(d.addresses[3]).CutOff = true }, []int{0, 1, 2, 3}, "could not retrieve cluster information"},
		"it was there once": {func(d *driver) {
			add(d)
			d.join(3, 0, 1, 2, 3)
			d.start(3)
			d.world.Host(d.addresses[3]).LoseData(dataDir)
			d.lock(d.addresses[3])
		}, []int{0, 1, 2, 3}, "tocommit(9) is out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			d := serving(t, t, 4, 3)
			test.arrange(d)
			d.join(3, test.members...)
			var o api.Observation
			d.ask(3, api.OpStart, api.StartRequest{}, nil)
			d.ask(3, api.OpAwait, api.AwaitRequest{Learner: true, Timeout: time.Minute}, &o)
			if o.Unit.SubState != "auto-restart" || o.Unit.Restarts < 3 || !strings.Contains(strings.Join(o.Unit.Journal, "\n"), test.want) {
				t.Errorf("its unit: %+v", o.Unit)
			}
		})
	}
}

// TestRules breaks each of the world's rules once.
func TestRules(t *testing.T) {
	learner := func(d *driver, leader int) api.AddedLearner {
		var added api.AddedLearner
		d.ask(leader, api.OpAddLearner, api.AddLearnerRequest{Owner: "us", PeerURL: d.peerURL(3), Timeout: time.Second}, &added)
		d.join(3, 0, 1, 2, 3)
		d.start(3)
		d.world.Tick()
		return added
	}
	for name, test := range map[string]struct {
		rule   nodetest.Rule
		breach func(d *driver, leader, other int)
	}{
		"stop the leader":    {nodetest.LeaderMoves, func(d *driver, leader, _ int) { d.ask(leader, api.OpStop, api.StopRequest{Owner: "us"}, nil) }},
		"restart the leader": {nodetest.LeaderMoves, func(d *driver, leader, _ int) { d.ask(leader, api.OpRestart, api.RestartRequest{Owner: "us"}, nil) }},
		"remove the leader": {nodetest.LeaderMoves, func(d *driver, leader, other int) {
			d.ask(other, api.OpRemoveMember, api.RemoveMemberRequest{Owner: "us", ID: d.id(leader), Timeout: time.Second}, nil)
		}},
		"stop the second of three": {nodetest.KeepQuorum, func(d *driver, leader, other int) {
			d.world.Host(d.addresses[3-leader-other]).PowerCut()
			d.ask(other, api.OpRestart, api.RestartRequest{Owner: "us"}, nil)
		}},
		"set the second of three aside": {nodetest.KeepQuorum, func(d *driver, leader, other int) {
			d.world.Host(d.addresses[3-leader-other]).PowerCut()
			d.ask(other, api.OpSetAside, api.SetAsideRequest{Owner: "us", Why: "replaced"}, nil)
		}},
		"a second learner": {nodetest.OneChange, func(d *driver, leader, other int) {
			learner(d, leader)
			d.refused(other, api.OpAddLearner, api.AddLearnerRequest{Owner: "us", PeerURL: "https://192.0.2.99:2380", Timeout: time.Second}, "takes one at a time")
		}},
		"remove a voter beside a learner": {nodetest.OneChange, func(d *driver, leader, other int) {
			learner(d, leader)
			d.ask(leader, api.OpRemoveMember, api.RemoveMemberRequest{Owner: "us", ID: d.id(other), Timeout: time.Second}, nil)
		}},
		"promote one that etcd would": {nodetest.CaughtUp, func(d *driver, leader, _ int) {
			added := learner(d, leader)
			d.handOver(3)
			d.world.Host(d.addresses[leader]).WriteMany("prod", 100_000)
			d.world.Host(d.addresses[3]).Lag = 5_000
			d.world.Host(d.addresses[leader]).WriteMany("prod", 5_000)
			d.ask(leader, api.OpPromote, api.PromoteRequest{Owner: "us", ID: added.ID, Timeout: time.Second}, nil)
		}},
		"promote one that does not run": {nodetest.CaughtUp, func(d *driver, leader, other int) {
			added := learner(d, leader)
			d.world.Host(d.addresses[3]).PowerCut()
			d.refused(other, api.OpPromote, api.PromoteRequest{Owner: "us", ID: added.ID, Timeout: time.Second}, "in sync with leader")
		}},
		"promote one whose host says joining": {nodetest.GuardedVoter, func(d *driver, leader, _ int) {
			d.ask(leader, api.OpPromote, api.PromoteRequest{Owner: "us", ID: learner(d, leader).ID, Timeout: time.Second}, nil)
		}},
		"retire one that is listed": {nodetest.NothingListed, func(d *driver, leader, _ int) {
			d.world.Lasting = true
			d.ask(leader, api.OpRetire, api.RetireRequest{Owner: "us"}, nil)
		}},
	} {
		for _, waived := range []bool{false, true} {
			t.Run(fmt.Sprint(name, waived), func(t *testing.T) {
				witness := &recorder{}
				d := serving(t, witness, 4, 3)
				leader, other := d.leader(3)
				want := 1
				if waived {
					d.world.Waive(test.rule)
					want = 0
				}
				if test.breach(d, leader, other); witness.errors != want {
					t.Errorf("%d failures, want %d", witness.errors, want)
				}
			})
		}
	}
}

// TestRulesAreKept stops, restarts and removes members without breaking a rule.
func TestRulesAreKept(t *testing.T) {
	d := serving(t, t, 3, 3)
	leader, other := d.leader(3)
	term := d.observe(leader).Member.RaftTerm
	d.ask(other, api.OpMoveLeader, api.MoveLeaderRequest{Owner: "us", To: d.id(3 - leader - other)}, nil)
	if now, _ := d.leader(3); now != leader {
		t.Fatalf("moved by one that does not lead: %d", now)
	}
	d.ask(leader, api.OpMoveLeader, api.MoveLeaderRequest{Owner: "us", To: d.id(other)}, nil)
	if now, _ := d.leader(3); now != other || d.observe(other).Member.RaftTerm <= term {
		t.Fatalf("%d leads, and %d should", now, other)
	}
	before := d.observe(leader).Unit
	d.ask(leader, api.OpRestart, api.RestartRequest{Owner: "us"}, nil)
	d.world.Tick()
	if after := d.observe(leader).Unit; after.ActiveState != "active" || after.MainPID == before.MainPID {
		t.Errorf("restarted: %+v", after)
	}
	if now, _ := d.leader(3); now != other {
		t.Errorf("leadership has gone back to %d by itself", now)
	}
	d.ask(other, api.OpRemoveMember, api.RemoveMemberRequest{Owner: "us", ID: d.id(leader), Timeout: time.Second}, nil)
	if o := d.observe(leader); o.Unit.ActiveState != "inactive" || o.Unit.Result != "success" || o.Unit.FileState != "enabled" {
		t.Errorf("removed: %+v", o.Unit)
	}
	d.ask(leader, api.OpSetAside, api.SetAsideRequest{Owner: "us", Why: "removed"}, nil)
	if o := d.observe(leader); o.Unit.FileState != "disabled" || o.Guard == "" || len(o.Data.Aside) != 1 {
		t.Errorf("set aside: %+v, guard %q, %+v", o.Unit, o.Guard, o.Data)
	}

	one := serving(t, t, 1, 1)
	one.ask(0, api.OpRestart, api.RestartRequest{Owner: "us"}, nil)
}

// TestCutOff cuts one member off from the others.
func TestCutOff(t *testing.T) {
	d := serving(t, t, 3, 3)
	leader, other := d.leader(3)
	d.world.Host(d.addresses[leader]).CutOff = true
	d.world.Tick()
	if m := d.observe(leader).Member; !m.Responding || m.Healthy || m.Leader != "" {
		t.Errorf("the one that is cut off: %+v", m)
	}
	third := 3 - leader - other
	d.world.RemoveBehindOurBack("prod", fmt.Sprintf("m%d", leader))
	if err := d.world.Put("prod"); err != nil {
		t.Error(err)
	}
	if left := len(d.observe(leader).Member.Members); left != 3 || len(d.observe(third).Member.Members) != 2 {
		t.Errorf("the one that is cut off lists %d", left)
	}
	d.world.Host(d.addresses[leader]).CutOff = false
	d.world.Tick()
	if o := d.observe(leader); o.Unit.ActiveState != "inactive" {
		t.Errorf("back again: %+v", o.Unit)
	}
}

// TestRecovery makes one of three members the cluster, with all of its data, after the two others were lost.
func TestRecovery(t *testing.T) {
	d := serving(t, t, 3, 3)
	d.world.Host(d.addresses[0]).Write("prod")
	cluster := d.observe(0).Member.ClusterID
	ask := api.RecoverRequest{Owner: "us", ClusterID: cluster, Timeout: time.Second}
	d.refused(2, api.OpRecover, ask, "nothing to recover")
	d.world.Host(d.addresses[2]).Lag = 10
	d.world.Host(d.addresses[0]).Write("prod")
	d.world.Host(d.addresses[0]).PowerCut()
	d.world.Host(d.addresses[1]).PowerCut()
	if lost := d.world.Lost("prod"); len(lost) != 2 {
		t.Errorf("without a quorum there are lost %v", lost)
	}
	d.refused(2, api.OpRecover, api.RecoverRequest{Owner: "us", ClusterID: "5", Timeout: time.Second}, "is to be recovered")
	d.ask(2, api.OpRecover, ask, nil)
	if m := d.observe(2).Member; !m.Healthy || len(m.Members) != 1 || m.ClusterID != cluster {
		t.Errorf("the survivor: %+v", m)
	}
	if lost := d.world.Lost("prod"); len(lost) != 1 || !strings.Contains(lost[0], "revision 3") {
		t.Errorf("lost %v", lost)
	}
	d.world.Host(d.addresses[0]).PowerOn()
	d.world.Tick()
	if o := d.observe(0); o.Unit.ActiveState != "inactive" {
		t.Errorf("one of those that were forgotten: %+v", o.Unit)
	}
}

// TestDamagedData has two of three members end on their data at each start. Their logs are ranked as far as they can be
// read, and no recovery starts from them.
func TestDamagedData(t *testing.T) {
	d := serving(t, t, 3, 3)
	d.world.Host(d.addresses[0]).Write("prod")
	cluster := d.observe(0).Member.ClusterID
	d.world.Host(d.addresses[0]).Damage("prod", nodetest.Log)
	d.world.Host(d.addresses[1]).Damage("prod", nodetest.Database)
	for range 3 {
		d.world.Tick()
	}
	whole := d.observe(2)
	if l := whole.Data.Log; whole.Unit.Looping || l == nil || l.Error != "" || l.Index == 0 || l.Applied != 0 {
		t.Errorf("the one that runs on: %+v", l)
	}
	for i, says := range []string{"a record does not have the checksum", "it is damaged"} {
		o := d.observe(i)
		if !o.Unit.Looping || !strings.Contains(o.Data.Log.Error+o.Data.Log.DatabaseError, says) {
			t.Errorf("%d: %+v, %+v", i, o.Unit, o.Data.Log)
		}
		if readable := o.Data.Log.Error == ""; readable != (o.Data.Log.Index == whole.Data.Log.Index) {
			t.Errorf("%d ends with %+v, and the one that runs on with %+v", i, o.Data.Log, whole.Data.Log)
		}
		d.refused(i, api.OpRecover, api.RecoverRequest{Owner: "us", ClusterID: cluster, Timeout: time.Second}, "cannot be recovered from")
	}
	ask := api.RecoverRequest{Owner: "us", ClusterID: cluster, Timeout: time.Second, Term: whole.Data.Log.Term, Index: whole.Data.Log.Index + 1}
	d.refused(2, api.OpRecover, ask, "when it was chosen")
	ask.Index--
	d.ask(2, api.OpRecover, ask, nil)
}

// TestEveryFault has each of the new operations not arrive, and lose its answer.
func TestEveryFault(t *testing.T) {
	for op, body := range map[api.Operation]any{
		api.OpRestart: api.RestartRequest{Owner: "us"}, api.OpSnapshot: api.SnapshotRequest{Owner: "us", Keep: 2},
		api.OpMoveLeader: api.MoveLeaderRequest{Owner: "us", To: "1"}, api.OpDisarm: api.DisarmRequest{Owner: "us"},
		api.OpRemoveMember: api.RemoveMemberRequest{Owner: "us", ID: "1", Timeout: time.Second}, api.OpProbe: api.ProbeRequest{}, api.OpHash: api.HashRequest{},
		api.OpDowngrade: api.DowngradeRequest{Owner: "us"}, api.OpAddLearner: api.AddLearnerRequest{Owner: "us", PeerURL: "https://192.0.2.99:2380", Timeout: time.Second},
		api.OpTry: api.TryRequest{}, api.OpPromote: api.PromoteRequest{Owner: "us", Timeout: time.Second}, api.OpRecover: api.RecoverRequest{Owner: "us", Timeout: time.Second},
	} {
		for _, after := range []bool{false, true} {
			d := serving(t, t, 3, 3)
			_, other := d.leader(3)
			d.world.Forget()
			d.world.Inject(nodetest.Fault{Operation: op, After: after, Extent: nodetest.Run})
			if err := d.call(d.addresses[other], op, body, nil); !errors.Is(err, nodetest.ErrCut) {
				t.Errorf("%s: %v", op, err)
			}
			if arrived := len(d.world.Calls()) == 1; arrived != after {
				t.Errorf("%s arrived: %t", op, arrived)
			}
		}
	}
}
