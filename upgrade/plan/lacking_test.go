package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// harmless are the kinds of steps by which no voter comes, goes or is out of service for a while, and bringing those
// that bring members up.
var (
	harmless = []membership.Kind{membership.Stage, membership.Snapshot, membership.Start, membership.Stop, membership.Configure, membership.Agree, membership.RenewCertificates,
		membership.SyncConfiguration, membership.Firewall, membership.Disarm, membership.SetAside, membership.Retire}
	bringing = []membership.Kind{membership.Start, membership.Configure, membership.Agree}
)

// running are the addresses of the members that run and stay.
func (e *etcd) running() (addresses []string) {
	for _, m := range e.want.Members {
		if e.entry(m.Address) != nil && e.at(m.Address).running {
			addresses = append(addresses, m.Address)
		}
	}
	return addresses
}

// TestPlansBesideMembersThatLackCertificates has members need certificates while nobody signs: what a plan does for the
// others is safe by etcd's rules, keeps all voters, leaves alone who needs certificates and says so; and once they can
// be signed, the configuration is met as if all had been done at once.
func TestPlansBesideMembersThatLackCertificates(t *testing.T) {
	sample.Check(t, clusters, func(t *rapid.T) {
		e := draw(t, hopeful)
		size := len(e.voters())
		if len(e.known) < size || len(e.list) != size || !slices.Contains(membership.Sizes(), size) {
			return
		}
		e.want.Members, e.want.Rebuild, e.want.Zones = slices.Clone(e.known[:size]), nil, nil
		began := e.status()
		planned, err := plan.ChangeSigning(began, e.want, plan.Signing{Refuse: nothingIsSigned, Mends: true})
		if err != nil || planned.Unsigned == nil {
			return
		}
		if slices.ContainsFunc(planned.Steps, func(s membership.Step) bool { return s.Kind == membership.Recover }) {
			return // a cluster that was renumbered as a whole: its other voters join once somebody can sign
		}
		voters, run := e.names(), e.running()
		unsigned := began.Clone()
		unsigned.Unsigned = true
		if whole, err := plan.Change(unsigned, e.want); err == nil {
			for _, step := range whole.Steps {
				if step.Signs() || !slices.Contains(harmless, step.Kind) {
					break
				}
				if brings := slices.Contains(bringing, step.Kind); brings && !slices.Contains(planned.Steps, step) {
					t.Fatalf("it leaves out %s, before which nothing needs certificates: %v\nof %v\nin %s", step, planned.Steps, whole.Steps, show(began))
				}
			}
		}
		e.left = map[string]bool{}
		for _, m := range planned.Lacking {
			e.left[m.Address] = true
		}
		for _, step := range planned.Steps {
			if step.Signs() || step.Kind != membership.Snapshot && slices.Contains(planned.Lacking, step.Subject()) {
				t.Fatalf("it does %s, and leaves %v alone\nin %s", step, planned.Lacking, show(began))
			}
			e.must(t, step)
		}
		if now := e.names(); now != voters {
			t.Fatalf("the voters are %s, and were %s", now, voters)
		}
		for _, address := range run {
			if !e.at(address).running {
				t.Fatalf("%s was stopped by %v\nin %s", address, planned.Steps, show(began))
			}
		}
		for _, m := range planned.Lacking {
			if !slices.ContainsFunc(planned.Deferred, func(r *membership.Refusal) bool {
				return r.Member == m.Name && r.At == m.Address
			}) {
				t.Fatalf("nothing is said of %s: %v", m, planned.Deferred)
			}
		}
		again, err := plan.ChangeSigning(e.status(), e.want, plan.Signing{Refuse: nothingIsSigned, Mends: true, Begun: len(planned.Lacking) == 0})
		// A member on which a step had to wait comes up by itself in the meantime, or by the next plan.
		waited := slices.ContainsFunc(planned.Deferred, func(r *membership.Refusal) bool {
			return r.Summary != membership.LacksCertificate && e.left[r.At]
		})
		if !waited && (err != nil || len(again.Steps) > 0) {
			t.Fatalf("after\n%v\nit goes on with %v, %v\nin %s", planned.Steps, again.Steps, err, show(began))
		}
		e.left = map[string]bool{}
		for _, m := range again.Lacking {
			e.left[m.Address] = true
		}
		for _, step := range again.Steps {
			if step.Signs() {
				t.Fatalf("it does %s\nin %s", step, show(began))
			}
			e.must(t, step)
		}
		e.left = nil
		whole, err := e.planned(t)
		if err != nil {
			t.Fatalf("then it is refused: %v\nin %s", err, show(e.status()))
		}
		e.run(t, whole.Steps)
	})
}

// TestMembersThatLackCertificates: a repair of one member does not wait for certificates of another one, as long as the
// voters stay as they are and there is something to do; a change does.
func TestMembersThatLackCertificates(t *testing.T) {
	for script, want := range map[string]string{ // the steps; empty: it is refused, or there is none
		"observed a* b/invalid c/stopped\n":                     "start c (192.0.2.13); agree: 3 voters, one cluster ID, one leader, quorum 2",
		"observed a*/unhealthy b/unhealthy,invalid c/stopped\n": "start c (192.0.2.13); agree: 3 voters, one cluster ID, one leader, quorum 2",
		"observed a*/unhealthy b/unhealthy,invalid c/lost\n":    "",
		"observed a* b/lost c/stopped\n":                        "start c (192.0.2.13); agree: 3 voters, one cluster ID, one leader, quorum 2",
		// An earlier run has left the learner x.
		"observed a* b/invalid c/stopped ?~!x@192.0.2.99\n":         "start c (192.0.2.13); agree: 3 voters, one cluster ID, one leader, quorum 2",
		"observed a* b/lost c/stopped ?~!x@192.0.2.99\n":            "start c (192.0.2.13); agree: 3 voters, one cluster ID, one leader, quorum 2",
		"observed a*/oldlist b/invalid c\n":                         "revoke on a (192.0.2.11)",
		"observed a* b/invalid c\n":                                 "",
		"observed a* b/invalid c/settings\n":                        "", // no voter is out of service for a while
		"observed a* b/lost c\n":                                    "", // none goes whose place nobody could take
		"observed a* b/stopped,invalid c/disabled\n":                "start c (192.0.2.13): its unit is disabled",
		"observed a*/stopped,invalid b/stopped,invalid c/stopped\n": "",
		"observed a*/stopped,settings b/stopped,settings,invalid c/stopped,settings\n": "stage a (192.0.2.11): store for etcd 3.7.3, flags tried against it; stage c (192.0.2.13): store for etcd 3.7.3, flags tried against it; " +
			"configure a",
	} {
		p, spec := parse(t, script+"desired a b c trusts:old signs:old\n")
		expired := p.Clone()
		expired.Ended = authorities("old")
		for _, mends := range []bool{true, false} {
			planned, err := plan.ChangeSigning(p, spec, plan.Signing{Refuse: nothingIsSigned, Mends: mends})
			if same, refused := plan.ChangeSigning(expired, spec, plan.Signing{Refuse: func([]membership.Step) error { return nil }, Mends: mends}); (refused == nil) != (err == nil) || !slices.Equal(same.Steps, planned.Steps) {
				t.Errorf("%s (mends: %t): where the authority has expired: %v, %q, and not %v, %q", strings.TrimSpace(script), mends, refused, same.Steps, err, planned.Steps)
			}
			var steps []string
			for _, step := range planned.Steps {
				steps = append(steps, step.String())
			}
			if refused := want == "" || !mends; !mends && err == nil || refused != (len(steps) == 0) || !refused && !strings.HasPrefix(strings.Join(steps, "; "), want) {
				t.Errorf("%s (mends: %t): %v, %q", strings.TrimSpace(script), mends, err, steps)
			}
		}
	}
}

// TestMembersComeUpBeforeWhatWaits: a step that waits while certificates cannot be signed is left out alone: its member
// is brought up before it, is given another list of revoked certificates, and keeps what it has. Nothing stops a member
// for a step that waits.
func TestMembersComeUpBeforeWhatWaits(t *testing.T) {
	const agreed = " agree: 3 voters, one cluster ID, one leader, quorum 2]"
	for script, want := range map[string]struct{ steps, waits, left string }{
		// b comes up, and is rolled later.
		"observed a/unhealthy,active,of:new,trusts:new b/stopped c/stopped\ndesired a b c trusts:new signs:new\n": {"[start b (192.0.2.12) start c (192.0.2.13)" + agreed, "b", ""},
		// The others refuse the certificate of b, and c comes up without it.
		"observed a* b/unhealthy,trusts:old+new,of:new c/stopped d e\ndesired a b c d e trusts:old signs:old\n": {"[stage c", "b", "b"},
		// The certificates of b hold, and are exchanged later.
		"observed a* b/trusts:old+new,oldlist c\ndesired a b c trusts:new signs:new\n":                                               {"[revoke on b", "c", "c"},
		"observed a*/trusts:old+new b/trusts:old+new,oldlist c/trusts:old+new\ndesired a b c trusts:new+old signs:new+old\n":         {"[revoke on b", "a b c", ""},
		"observed a*/trusts:old+new b/trusts:old+new,stopped c/trusts:old+new,invalid\ndesired a b c trusts:new+old signs:new+old\n": {"[start b (192.0.2.12)" + agreed, "a b c", "c"},
		// c is started, and moves later.
		"observed a* b c/disabled,from:19\ndesired a b c trusts:old signs:old\n": {"[start c (192.0.2.13): its unit is disabled, and would not start at boot]", "c", ""},
		// The certificates of b have expired: its unit is enabled all the same.
		"observed a* b/invalid,disabled c/stopped\ndesired a b c trusts:old signs:old\n": {"[start b (192.0.2.12): its unit is disabled, and would not start at boot start c (192.0.2.13)" + agreed, "b", ""},
		// What the host of b carries is not set aside while b cannot join.
		"observed a* b-/stopped c/stopped\ndesired a b c trusts:old signs:old\n": {"[start c (192.0.2.13) agree: 2 voters, one cluster ID, one leader, quorum 2]", "b", "b"},
		// b is not stopped for a configuration that it cannot be given.
		"observed a* b/unhealthy,settings,invalid c/stopped\ndesired a b c trusts:old signs:old\n": {"[start c (192.0.2.13)" + agreed, "b", "b"},
	} {
		p, spec := parse(t, script)
		planned, err := plan.ChangeSigning(p, spec, plan.Signing{Refuse: nothingIsSigned, Mends: true})
		var waits, left []string
		for _, d := range planned.Deferred {
			waits = append(waits, d.Member)
		}
		slices.Sort(waits)
		for _, m := range planned.Lacking {
			left = append(left, m.Name)
		}
		if err != nil || !strings.HasPrefix(fmt.Sprint(planned.Steps), want.steps) || strings.Join(waits, " ") != want.waits || strings.Join(left, " ") != want.left {
			t.Errorf("%s: %v, %v, these wait: %v, and these are left alone: %v", script, err, planned.Steps, waits, left)
		}
	}
}

// TestBackupsDoNotWaitForCertificates: members that serve are told how to back the cluster up, and to renew nothing any
// more, while others wait for certificates. What a recovered member is to renew by waits for the joins, and a plan says
// so beside all else that waits.
func TestBackupsDoNotWaitForCertificates(t *testing.T) {
	const backUp, ends = "back up: hourly, by a", "renew on hosts: disabled on a; certificates are renewed by applies alone"
	for script, recovers := range map[string]bool{
		"observed a/stopped,4.812 b/lost c/lost\ndesired a b c trusts:old signs:old recover:a,b,c\n":         true,
		"observed a/stopped,4.812 b/lost c/lost\ndesired a b c trusts:new+old signs:new+old recover:a,b,c\n": true,
		"observed a/stopped,4.812 b-/missing c-/missing\ndesired a b c trusts:old signs:old recover:a,b,c\n": true,
		"observed a* b/stopped,invalid c\ndesired a b c trusts:old signs:old\n":                              false,
		"observed a* b/lost c\ndesired a b c trusts:old signs:old\n":                                         false,
		"observed a* b/trusts:old+new c/stopped,invalid\ndesired a b c trusts:new signs:new\n":               false,
	} {
		for _, renewals := range []string{"", "by https://192.0.2.8"} {
			p, spec := parse(t, script)
			spec.Backups, spec.Renewals = "hourly", renewals
			p.Members[0].Unbacked, p.Members[0].Unrenewed = bootstrap.NoBackups, bootstrap.NoRenewals
			planned, err := plan.ChangeSigning(p, spec, plan.Signing{Refuse: nothingIsSigned, Mends: true})
			var steps []string
			for _, step := range planned.Steps {
				steps = append(steps, step.String())
			}
			waits := slices.ContainsFunc(planned.Deferred, func(d *membership.Refusal) bool {
				return d.Member == "" && strings.Contains(d.Rule, "renew on hosts: by https://192.0.2.8, on a")
			})
			if err != nil || !slices.Contains(steps, backUp) || slices.Contains(steps, ends) != (renewals == "") || waits != (recovers && renewals != "") {
				t.Errorf("%s (renewals: %q): %v, %q, and these wait: %v", script, renewals, err, steps, planned.Deferred)
			}
		}
	}
}

// TestWhatWaitsForCertificates: a step that is not safe beside members that lack certificates waits, and the plan says
// for what, once for each member.
func TestWhatWaitsForCertificates(t *testing.T) {
	p, spec := parse(t, "observed a* b/invalid c/unreachable d/stopped e\ndesired a b d trusts:old signs:old\n")
	planned, err := plan.ChangeSigning(p, spec, plan.Signing{Refuse: nothingIsSigned, Mends: true})
	var deferred []string
	for _, d := range planned.Deferred {
		deferred = append(deferred, fmt.Sprintf("%s: %s", d.Summary, d))
	}
	want := []string{
		membership.LacksCertificate + ": b (192.0.2.12): this waits while certificates cannot be signed: renew certificates of b (192.0.2.12): its certificates have expired; with new keys, loaded without a restart; plan again once they can be",
		membership.BeforeCertificates + ": c (192.0.2.13): this is not done while certificates of other members cannot be signed: remove c (192.0.2.13): dead, its host cannot be reached; voters 5 -> 4, quorum 3, healthy 4; plan again once they can be",
	}
	if err != nil || !strings.HasPrefix(fmt.Sprint(planned.Steps), "[start d (192.0.2.14)") || !slices.Equal(deferred, want) {
		t.Errorf("%v, %v, and these wait (-want +is):\n%s", err, planned.Steps, cmp.Diff(want, deferred))
	}
}
