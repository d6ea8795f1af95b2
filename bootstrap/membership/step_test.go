package membership

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

var kinds = []Kind{Install, Stop, SetAside, Configure, Start, Agree, SyncConfiguration, Retire,
	Stage, Snapshot, RenewCertificates, Readdress, Roll, MoveLeader, AddLearner, Join, Promote, Remove, Downgrade, Cancel, Disarm, Recover}

// TestStepText holds what plan, progress and errors say.
func TestStepText(t *testing.T) {
	at := func(kind Kind, to string) Step { return Step{Kind: kind, Member: "a", At: "192.0.2.11", To: to} }
	for want, step := range map[string]Step{
		"install a (192.0.2.11): store for etcd 3.7.3":                               at(Install, "3.7.3"),
		"stop a (192.0.2.11): its configuration changes":                             at(Stop, "its configuration changes"),
		"set aside a (192.0.2.11): left by an unfinished create":                     at(SetAside, "left by an unfinished create"),
		"configure a (192.0.2.11): keys made on the host, certificates, flags, unit": at(Configure, ""),
		"start a (192.0.2.11)":                                                 at(Start, ""),
		"agree: 3 voters, one cluster ID, one leader, quorum 2":                {Kind: Agree, To: "3 voters, one cluster ID, one leader, quorum 2"},
		"sync configuration of a (192.0.2.11): initial-cluster-state existing": at(SyncConfiguration, ""),
		"retire a (192.0.2.11): unit stopped and disabled, data moved aside":   at(Retire, "data moved aside"),
		"start a (192.0.2.11): its unit is disabled":                           {Kind: Start, Member: "a", At: "192.0.2.11", Why: "its unit is disabled"},
		"recover a (192.0.2.11): it alone is the cluster, as cluster 1":        {Kind: Recover, Member: "a", At: "192.0.2.11", Why: "as cluster 1"},
		"remove a (192.0.2.11): dead; voters 3 -> 2":                           {Kind: Remove, Member: "a", At: "192.0.2.11", Why: "dead", Sum: "voters 3 -> 2"},
		"learner a (192.0.2.11): added without a vote":                         at(AddLearner, ""),
		"disarm: members defragmented one by one, alarm NOSPACE disarmed":      {Kind: Disarm},
		"cancel: the downgrade to etcd 3.6 is canceled":                        {Kind: Cancel, To: "3.6"},
		"sync configuration: every member's names a, b":                        {Kind: SyncConfiguration, To: "a, b"},
		"readdress a (192.0.2.11): from 192.0.2.9, with its data and its ID":   at(Readdress, "192.0.2.9"),
		"unheard-of a (192.0.2.11) that":                                       at("unheard-of", "that"),
	} {
		if got := step.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestBatch holds the rule of what may be done together: neighbours of one kind, which is a parallel
// one, on as many members, beginning with the first step, and as many as there are.
func TestBatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var steps []Step
		for _, kind := range rapid.SliceOfN(rapid.SampledFrom(kinds), 1, 12).Draw(t, "kinds") {
			member := rapid.IntRange(0, len(steps)).Draw(t, "member") // one that there was, or another
			steps = append(steps, Step{Kind: kind, Member: string(rune('a' + member))})
		}
		batch := Batch(steps)
		if len(batch) == 0 || !slices.Equal(batch, steps[:len(batch)]) {
			t.Fatalf("%v is not the head of %v", batch, steps)
		}
		in := func(steps []Step, member string) bool {
			return slices.ContainsFunc(steps, func(s Step) bool { return s.Member == member })
		}
		for i, step := range batch {
			if step.Kind != steps[0].Kind {
				t.Errorf("two kinds in %v", batch)
			}
			if in(batch[:i], step.Member) {
				t.Errorf("two steps on one member in %v", batch)
			}
		}
		if !steps[0].Kind.Parallel() && len(batch) > 1 {
			t.Errorf("%v are not to be done together", batch)
		}
		if rest := steps[len(batch):]; len(rest) > 0 && rest[0].Kind == steps[0].Kind && steps[0].Kind.Parallel() && !in(batch, rest[0].Member) {
			t.Errorf("%s could be done with %v", rest[0], batch)
		}
	})
	if got := Batch(nil); len(got) != 0 {
		t.Errorf("of no steps: %v", got)
	}
}

// TestKindsThatWaitAreAlone holds which kinds concern the whole cluster, or take a member from it: these are
// never done beside anything.
func TestKindsThatWaitAreAlone(t *testing.T) {
	alone := []Kind{Agree, Snapshot, RenewCertificates, Readdress, Roll, MoveLeader, AddLearner, Join, Promote, Remove, Downgrade, Cancel, Disarm, Recover}
	for _, kind := range kinds {
		if got, want := kind.Parallel(), !slices.Contains(alone, kind); got != want {
			t.Errorf("%s: parallel %t", kind, got)
		}
	}
	if Kind("").Parallel() || Kind("unheard-of").Parallel() {
		t.Error("a kind that nobody knows is done on several hosts at once")
	}
}
