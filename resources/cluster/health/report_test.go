package health

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// TestWhatAnApplySays holds the texts in which an apply reports what it did, and how it found a member.
func TestWhatAnApplySays(t *testing.T) {
	c := membership.Member{Name: "c", Address: "192.0.2.21"}
	steps := []membership.Step{{Kind: membership.Start, Member: "a", At: "192.0.2.11"}, {Kind: membership.Start, Member: "b", At: "192.0.2.12"}}
	away := bootstrap.Reports{c: {Err: errors.New("no route to host")}}
	var said []string
	for n := range 3 {
		said = append(said, Did(steps[:n]))
	}
	for _, s := range []membership.MemberStatus{
		{Member: c, State: membership.Unreachable, Why: "its host cannot be reached"},
		{Member: c, State: membership.Unreachable, Why: "its host answers, and refuses the login", Barred: "set ssh.user"},
		{Member: c, State: membership.Foreign, Unfit: true, Why: "40 MiB are free"},
		{Member: c, State: membership.Foreign, Why: "something else listens on port 2380"},
		{Member: c, State: membership.Healthy, Role: membership.Voter, Outdated: []string{"flags --snapshot-count"}},
		{Member: c, State: membership.Healthy, Role: membership.Learner},
	} {
		seen := bootstrap.Reports{}
		if s.State == membership.Unreachable {
			seen = away
		}
		said = append(said, Found(&s, seen))
	}
	said = append(said, Found(nil, nil), LeftUndone(upgrade.Outcome{Reports: away, Done: steps,
		Deferred: []*membership.Refusal{{Member: "c", At: "192.0.2.21", Rule: "its host cannot be reached", Remedy: "fix that"}}}).Error())
	want := []string{
		"No step was done, and no host was changed.",
		"One step was done: start a (192.0.2.11).",
		"2 steps were done, the last of them: start b (192.0.2.12).",
		"It is unreachable now: its host cannot be reached; no route to host.",
		"It is barred now: its host answers, and refuses the login; no route to host.",
		"It is blocked now: 40 MiB are free.",
		"It is foreign now: something else listens on port 2380.",
		"It is healthy now: flags --snapshot-count.",
		"It is a learner now.",
		"Its host has no part in the cluster now.",
		"c (192.0.2.21): its host cannot be reached (no route to host); fix that\n2 steps were done, the last of them: start b (192.0.2.12).",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
	if err := LeftUndone(upgrade.Outcome{Done: steps}); err != nil {
		t.Errorf("nothing is left undone, and it says %s", strings.TrimSpace(err.Error()))
	}
}
