package upgrade_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// stoppers are the calls that stop a member, or change who is in the list or leads, and those that drive an older
// snapshot out.
var stoppers = []api.Operation{api.OpSnapshot, api.OpMoveLeader, api.OpRestart, api.OpStop, api.OpRemoveMember, api.OpAddLearner, api.OpPromote, api.OpUpdateMember}

// mustHaveStoppedNobody fails the test if a run has called a host to stop its member, or to change the list.
func (l *life) mustHaveStoppedNobody() {
	l.Helper()
	for _, c := range l.world.Calls() {
		if slices.Contains(stoppers, c.Operation) {
			l.Errorf("%s of %s", c.Operation, c.Address)
		}
	}
}

// TestVotersAreComparedFirst has the data of one member diverge unseen, in two ways, before each kind of step that
// stops or removes a member, or leads to another one. The run refuses it before it touches anybody, and names whose
// data is right. Following its remedy works.
func TestVotersAreComparedFirst(t *testing.T) {
	quota := func(l *life) { l.set("quota-backend-bytes", "8589934592") }
	for name, test := range map[string]struct {
		n      int
		wrong  string
		change func(*life)
		right  string
	}{
		"roll":                    {3, "c", quota, "(a, b)"},
		"roll, the leader":        {3, "a", quota, "(b, c)"},
		"rebuild of a right one":  {3, "c", func(l *life) { l.rebuild("b") }, "(a, b)"},
		"rebuild of the leader":   {3, "c", func(l *life) { l.rebuild("a") }, "(a, b)"},
		"replacement":             {3, "c", func(l *life) { l.want("a", "b@22", "c") }, "(a, b)"},
		"moved address":           {3, "c", func(l *life) { l.readdress("b", "52", false) }, "(a, b)"},
		"fewer":                   {5, "b", func(l *life) { l.want("a", "b", "c") }, "(a, c, d, e)"},
		"fewer, one that leaves":  {5, "e", func(l *life) { l.want("a", "b", "c") }, "(a, b, c, d)"},
		"rebuild of both":         {3, "c", func(l *life) { l.rebuild("b"); l.rebuildAlso("c", "again") }, "(a, b)"},
		"rebuild of two of five":  {5, "e", func(l *life) { l.rebuild("d"); l.rebuildAlso("e", "again") }, "(a, b, c, d)"},
		"alone":                   {5, "a", func(l *life) { l.want("a") }, "(b, c, d, e)"},
		"more":                    {3, "a", func(l *life) { l.want("a", "b", "c", "d", "e") }, "(b, c)"},
		"an older version":        {3, "b", func(l *life) { l.run(older) }, "(a, c)"},
		"removal of the dead one": {5, "b", func(l *life) { l.host("e").StopUnit(cluster); l.want("a", "b", "c", "d", "f") }, "(a, c, d)"},
	} {
		for how, diverge := range map[string]func(*nodetest.Host){
			"other data":   func(h *nodetest.Host) { h.Corrupt(cluster) },
			"missed write": func(h *nodetest.Host) { h.MissWrite(cluster) },
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					l := serving(t, test.n, nodetest.EtcdVersion)
					at := l.host(test.wrong).Address
					diverge(l.host(test.wrong))
					test.change(l)
					l.world.Forget()
					_, err := l.change(context.Background(), nil)
					if err == nil {
						t.Fatalf("it was not refused:\n%s", strings.Join(l.progress, "\n"))
					}
					for _, says := range []string{"voters that serve hold different data", "a quorum of the voters holds the same " + test.right, "stop " + test.wrong + " (" + at + ") (systemctl stop etcd@prod on its host)"} {
						if !strings.Contains(err.Error(), says) {
							t.Errorf("%q is not said: %v", says, err)
						}
					}
					l.mustHaveStoppedNobody()
					l.decide(err.Error())
					l.mustConverge(3)
				})
			})
		}
	}
}

// TestTieIsNotDecided has one of three members be dead, and the two others differ: the dead one is not removed, since
// nobody else tells whose data is right.
func TestTieIsNotDecided(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.host("b").Corrupt(cluster)
		l.host("c").StopUnit(cluster)
		l.want("a", "b", "d")
		l.world.Forget()
		_, err := l.change(context.Background(), nil)
		if err == nil || !strings.Contains(err.Error(), "voters that serve hold different data") || !strings.Contains(err.Error(), "no quorum of the voters is seen to hold the same") || !strings.Contains(err.Error(), "c (192.0.2.13) is stopped") || !strings.Contains(err.Error(), "if they are gone for good, only you can say whose data is right") {
			t.Fatalf("%v\n%s", err, strings.Join(l.progress, "\n"))
		}
		l.mustHaveStoppedNobody()
	})
}

// TestStoreOfAThirdComesFirst has the store of one of three be gone, with which the member starts, and the two others
// differ: the store is put back before they are compared, and the third then tells whose data is right.
func TestStoreOfAThirdComesFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.host("b").Corrupt(cluster)
		l.host("c").LoseStores()
		l.world.Tick()
		l.set("quota-backend-bytes", "8589934592")
		_, err := l.change(context.Background(), nil)
		if err == nil || !strings.Contains(err.Error(), "a quorum of the voters holds the same (a, c)") {
			t.Fatalf("%v\n%s", err, strings.Join(l.progress, "\n"))
		}
		l.decide(err.Error())
		l.mustConverge(3)
	})
}

// TestMemberThatDiffersLeaves has the configuration no longer have a member whose data has diverged unseen: it goes,
// and nothing is in the way of the rest.
func TestMemberThatDiffersLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 5, nodetest.EtcdVersion)
		l.host("d").Corrupt(cluster)
		l.want("a", "b", "c")
		l.mustChange()
	})
}

// TestVotersAreComparedOnce counts the hashes of a change that restarts nobody, and of one that replaces a member: the
// leader is asked last.
func TestVotersAreComparedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		hashes := func() (at []string) {
			for _, c := range l.world.Calls() {
				if c.Operation == api.OpHash {
					at = append(at, c.Address)
				}
			}
			return at
		}
		l.host("b").ExpireCertificates(cluster, l.authority)
		l.world.Forget()
		if _, err := l.change(t.Context(), nil); err != nil || len(hashes()) > 0 {
			t.Errorf("a renewal: %v: %v", hashes(), err)
		}
		l.want("a", "b", "c@21")
		l.world.Forget()
		if _, err := l.change(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if at := hashes(); len(at) != 5 || at[2] != l.host("a").Address { // before the learner, and before its vote
			t.Errorf("a replacement has asked %v", at)
		}
		l.mustBeAsDesired()
	})
}

// TestVoterThatCannotBeCompared has a voter that serves not tell its hash: nobody is removed. Once it tells, the change
// is done.
func TestVoterThatCannotBeCompared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		for range 100 {
			l.world.Inject(nodetest.Fault{Address: l.host("c").Address, Operation: api.OpHash, Err: &api.Error{Code: api.CodeFailed, Message: "it does not tell"}})
		}
		l.want("a", "b@22", "c")
		l.world.Forget()
		_, err := l.change(context.Background(), nil)
		for _, says := range []string{"c (192.0.2.13) (it does not tell)", "a quorum of the voters holds the same (a, b); apply again, and if it stays so, stop c (192.0.2.13)"} {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%q is not said: %v", says, err)
			}
		}
		l.mustHaveStoppedNobody()
		l.world.Heal()
		l.mustConverge(1)
	})
}

// TestVoterThatStopsServing has a voter no longer serve once the voters are compared: nobody is removed, and the next
// change does what it can without the voter.
func TestVoterThatStopsServing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.want("a", "b@22", "c")
		l.atStep = func(line string) {
			if strings.Contains(line, "is compared") {
				l.host("c").Unreachable = errors.New("connection refused")
			}
		}
		l.world.Forget()
		_, err := l.change(context.Background(), nil)
		for _, says := range []string{"c (192.0.2.13) (connection refused)", "a quorum of the voters holds the same (a, b); apply again: a voter whose host does not answer, or that does not serve, is not compared"} {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%q is not said: %v", says, err)
			}
		}
		l.mustHaveStoppedNobody()
		l.atStep, l.host("c").Unreachable = nil, nil
		l.mustConverge(1)
	})
}

// TestOlderStoreIsNotCompared has the store of a voter not know the call: the voter is left out, which is said.
func TestOlderStoreIsNotCompared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.world.Inject(nodetest.Fault{Address: l.host("c").Address, Operation: api.OpHash, Err: &api.Error{Code: api.CodeUnsupported, Message: `this store knows no operation "hash"`}})
		l.want("a", "b@22", "c")
		if _, err := l.change(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(l.progress, "\n"), "c (192.0.2.13) (its store, of an earlier release, cannot tell)") {
			t.Errorf("it is not said:\n%s", strings.Join(l.progress, "\n"))
		}
		l.mustBeAsDesired()
	})
}
