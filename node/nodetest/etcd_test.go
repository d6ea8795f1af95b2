package nodetest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestReadyNeedsQuorum starts members one by one.
func TestReadyNeedsQuorum(t *testing.T) {
	d := drive(t, 3)
	for i := range 3 {
		d.configure(i, "t1")
	}
	d.start(0)
	if o := d.observe(0); o.Unit.ActiveState != "activating" || o.Member.Responding || !o.Data.HasMember || !o.Listeners[0].Ours {
		t.Errorf("alone: unit %s, member %+v, data %+v", o.Unit.ActiveState, o.Member, o.Data)
	}
	d.start(1)
	o := d.observe(0)
	if o.Unit.ActiveState != "active" || !o.Member.Healthy || !o.Member.Ready || o.Member.Leader == "" {
		t.Errorf("two of three: unit %s, member %+v", o.Unit.ActiveState, o.Member)
	}
	for _, m := range o.Member.Members {
		if joined := len(m.ClientURLs) > 0; m.Name == "" || joined == (m.Name == "m2") {
			t.Errorf("two of three list %+v", m)
		}
	}
	d.start(2)
	if why := d.world.Unhealthy("prod", d.addresses...); len(why) > 0 {
		t.Error(why)
	}
	if first, last := d.observe(0).Member, d.observe(2).Member; first.ClusterID != last.ClusterID || first.MemberID == last.MemberID || first.Leader != last.Leader {
		t.Errorf("they are not one cluster: %+v, %+v", first, last)
	}
}

// TestTheFirstLeaderIsTheSameInWhateverOrderMembersStart: a run starts the members of a new cluster at once, and the
// order in which they start has no effect on what follows.
func TestTheFirstLeaderIsTheSameInWhateverOrderMembersStart(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {1, 2, 0}, {2, 1, 0}, {1, 2}} {
		d := drive(t, 3)
		d.world.Instant = true
		for i := range d.addresses {
			d.configure(i, "t1")
		}
		for _, i := range order {
			if err := d.call(d.addresses[i], api.OpStart, api.StartRequest{}, nil); err != nil {
				t.Fatal(err)
			}
		}
		var o api.Observation
		d.ask(1, api.OpAwait, api.AwaitRequest{Timeout: time.Minute}, &o)
		if first := d.observe(min(order[0], order[len(order)-1])).Member; !o.Member.Healthy || first.Leader != first.MemberID {
			t.Errorf("started in the order %v, member %s is led by %s: %+v", order, first.MemberID, first.Leader, o.Member)
		}
	}
}

// TestQuorumIsLostAndFound stops members until too few run.
func TestQuorumIsLostAndFound(t *testing.T) {
	d := drive(t, 3)
	d.form()
	leader := d.observe(0).Member.Leader
	d.world.Host(d.addresses[0]).PowerCut()
	if m := d.observe(1).Member; !m.Healthy || m.Leader == leader {
		t.Errorf("after the leader was cut off: %+v", m)
	}
	d.world.Host(d.addresses[1]).StopUnit("prod")
	if m := d.observe(2).Member; !m.Responding || m.Healthy || m.Ready || m.Leader != "" || len(m.Members) != 3 {
		t.Errorf("the last of three: %+v", m)
	}
	d.world.Host(d.addresses[0]).PowerOn()
	d.world.Tick()
	if m := d.observe(2).Member; !m.Healthy {
		t.Errorf("with two of three again: %+v", m)
	}
}

// TestTokensKeepClustersApart has one member start with another token.
func TestTokensKeepClustersApart(t *testing.T) {
	d := drive(t, 3)
	d.configure(0, "t1")
	d.configure(1, "t1")
	d.configure(2, "t2")
	d.start(0, 1, 2)
	if o := d.observe(2); o.Unit.ActiveState != "activating" || o.Member.Responding {
		t.Errorf("the one with another token: %s, %+v", o.Unit.ActiveState, o.Member)
	}
	if !d.observe(0).Member.Healthy {
		t.Error("the two with the same token are no cluster")
	}
}

// TestALostMemberCannotBeNew has a member lose its data and start as new.
func TestALostMemberCannotBeNew(t *testing.T) {
	d := drive(t, 3)
	d.form()
	d.world.Host(d.addresses[2]).LoseData(dataDir)
	for restarts := 1; restarts <= 2; restarts++ {
		d.world.Tick()
		o := d.observe(2)
		if o.Unit.SubState != "auto-restart" || o.Unit.Restarts != restarts || len(o.Unit.Journal) != 1 || !strings.Contains(o.Unit.Journal[0], "has already been bootstrapped") {
			t.Errorf("the lost member: %+v", o.Unit)
		}
		if o.Data.HasMember || o.Data.Empty {
			t.Errorf("its data: %+v", o.Data)
		}
	}
}

// TestAnEmptyMajorityContradictsTheRest has two of three lose their data while the third is away.
func TestAnEmptyMajorityContradictsTheRest(t *testing.T) {
	d := drive(t, 3)
	d.form()
	d.world.Host(d.addresses[2]).PowerCut()
	d.world.Host(d.addresses[0]).PowerCut()
	d.world.Host(d.addresses[1]).LoseData(dataDir)
	d.world.Host(d.addresses[0]).LoseData(dataDir)
	d.world.Tick()
	d.world.Host(d.addresses[2]).PowerOn()
	d.world.Tick()
	if o := d.observe(2); len(o.Unit.Journal) != 1 || !strings.Contains(o.Unit.Journal[0], "contradicts") {
		t.Errorf("the one that kept its data: %+v", o.Unit)
	}
	if !d.observe(0).Member.Healthy || !d.observe(1).Member.Healthy {
		t.Error("the two that began anew are no cluster")
	}
}

// TestRebootsBringTheClusterBack switches all hosts off and on.
func TestRebootsBringTheClusterBack(t *testing.T) {
	d := drive(t, 3)
	d.form()
	id := d.observe(0).Member.ClusterID
	d.world.Host(d.addresses[0]).Write("prod")
	for _, address := range d.addresses {
		d.world.Host(address).PowerCut()
	}
	for _, address := range d.addresses {
		d.world.Host(address).PowerOn()
	}
	d.world.Tick()
	for i := range 3 {
		if m := d.observe(i).Member; !m.Healthy || m.ClusterID != id || m.Revision != 2 {
			t.Errorf("member %d: %+v", i, m)
		}
	}
}

// TestPortsAreTakenOnce has another program listen on the member's port.
func TestPortsAreTakenOnce(t *testing.T) {
	d := drive(t, 1)
	d.world.Host(d.addresses[0]).Listeners = []api.Listener{{Port: 2380, Process: "nginx", PID: 7}}
	d.form()
	if o := d.observe(0); len(o.Unit.Journal) != 1 || !strings.Contains(o.Unit.Journal[0], "address already in use") || len(o.Listeners) != 1 || o.Listeners[0].Ours {
		t.Errorf("unit %+v, listeners %+v", o.Unit, o.Listeners)
	}
}
