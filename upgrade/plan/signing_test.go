package plan_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// errUnsigned is why nothing is signed.
var errUnsigned = errors.New("the signer is away")

// nothingIsSigned refuses steps of which any has certificates signed.
func nothingIsSigned(steps []membership.Step) error {
	if slices.ContainsFunc(steps, membership.Step.Signs) {
		return errUnsigned
	}
	return nil
}

// TestPlansWithoutSigner has certificates be due, and nobody sign: a plan is refused only if it has to sign all the
// same, and what it does else is what it would do if none were due, and what it would do beside the renewals if they
// could be signed.
func TestPlansWithoutSigner(t *testing.T) {
	const due = "its peer certificate expires at 2027-03-01T00:00:00Z"
	sample.Check(t, clusters, func(t *rapid.T) {
		e := draw(t, conditions)
		if size := len(e.voters()); len(e.known) >= size && len(e.list) == size && rapid.IntRange(0, 3).Draw(t, "stays as it is") > 0 && slices.Contains(membership.Sizes(), size) {
			e.want.Members, e.want.Rebuild, e.want.Zones = slices.Clone(e.known[:size]), nil, nil
			e.trusts, e.signers = membership.Authorities{Peers: "old", Clients: "old"}, signers("old")
			for _, h := range e.hosts {
				h.issued, h.expired, h.from = e.issuedAsDesired(), false, ""
			}
		}
		none := e.status()
		some := none.Clone()
		for i := range some.Members {
			if some.Members[i].Desired && rapid.Bool().Draw(t, "due") {
				some.Members[i].Due = due
			}
		}
		want, refused := plan.Change(none, e.want)
		if refused == nil {
			refused = nothingIsSigned(want.Steps)
		}
		if refused != nil {
			none.Unsigned = true // members that are down come up as they are
			if want, refused = plan.Change(none, e.want); refused == nil {
				refused = nothingIsSigned(want.Steps)
			}
		}
		got, err := plan.ChangeSigning(some, e.want, plan.Signing{Refuse: nothingIsSigned})
		if recovers := func(s membership.Step) bool { return s.Kind == membership.Recover }; refused != nil && slices.ContainsFunc(got.Steps, recovers) {
			if err := nothingIsSigned(got.Steps); err != nil || len(got.Steps) >= len(want.Steps) || !slices.Equal(got.Steps, want.Steps[:len(got.Steps)]) {
				t.Fatalf("before the first member joins it recovers otherwise, %v (-as far +whole):\n%s\nin %s", err, cmp.Diff(got.Steps, want.Steps), show(some))
			}
			return
		}
		if fmt.Sprint(err) != fmt.Sprint(refused) {
			t.Fatalf("refused by %v, want %v\nin %s", err, refused, show(some))
		}
		if err != nil {
			return
		}
		if want.Unsigned != nil {
			return // a member is left alone in the middle of an exchange
		}
		if !slices.Equal(got.Steps, want.Steps) || len(got.Deferred) != len(want.Deferred) {
			t.Fatalf("without a signer it does something else (-none is due +some are):\n%s\nin %s", cmp.Diff(want, got), show(some))
		}
		whole, err := plan.Change(some, e.want)
		if err != nil {
			t.Fatal(err)
		}
		renews := func(s membership.Step) bool { return s.Kind == membership.RenewCertificates && s.Why == due }
		// A member that is configured gets new certificates too.
		waits := slices.ContainsFunc(whole.Steps, func(s membership.Step) bool {
			m := some.Member(s.Subject())
			return s.Signs() && m != nil && m.Due != ""
		})
		if (nothingIsSigned(whole.Steps) != nil) != (got.Unsigned != nil) || waits != (len(got.Waiting) > 0) {
			t.Fatalf("it leaves %v, since %v, of %v", got.Waiting, got.Unsigned, whole.Steps)
		}
		rest := slices.DeleteFunc(whole.Steps, renews)
		for i := range min(len(rest), len(got.Steps)) {
			if rest[i].Kind == membership.Configure && got.Steps[i].Keeps {
				rest[i].Keeps, rest[i].Signers, rest[i].Named = true, membership.Authorities{}, ""
			}
		}
		if !slices.Equal(rest, got.Steps) {
			t.Fatalf("with a signer it does more than the renewals (-without +with):\n%s\nin %s", cmp.Diff(got.Steps, rest), show(some))
		}
	})
}

// TestRenewalsThatMayWait: a certificate that is due waits, also where its member is given another list of revoked
// ones; and where one does not hold, or the configuration asks for its renewal, the plan is refused.
func TestRenewalsThatMayWait(t *testing.T) {
	asked := func(membership.MemberStatus) bool { return true }
	for script, test := range map[string]struct {
		asked func(membership.MemberStatus) bool
		want  string // refused: none of the steps
	}{
		"observed a*/due b c/stopped\n":                                   {nil, "start c (192.0.2.13)"},
		"observed a*/due,oldlist b c\n":                                   {nil, "revoke on a (192.0.2.11)"},
		"observed a*/due b c/settings\n":                                  {nil, "roll c (192.0.2.13)"},
		"observed a*/stopped,due,settings b/stopped,settings c/stopped\n": {nil, "configure a (192.0.2.11)"},
		"observed a*/stopped,due,from:19,moved,settings b c\n":            {nil, ""},
		"observed a*/due b c/invalid\n":                                   {nil, ""},
		"observed a*/due,invalid b c/stopped\n":                           {nil, ""},
		"observed a*/due b c/stopped,due\n":                               {asked, ""},
	} {
		p, want := parse(t, script+"desired a b c trusts:old signs:old\n")
		planned, err := plan.ChangeSigning(p, want, plan.Signing{Refuse: nothingIsSigned, Asked: test.asked})
		if (err != nil) != (test.want == "") || err != nil && !errors.Is(err, errUnsigned) {
			t.Errorf("%s: %v, %v", script, err, planned.Steps)
		}
		if test.want == "" {
			continue
		}
		if !slices.ContainsFunc(planned.Steps, func(s membership.Step) bool { return strings.HasPrefix(s.String(), test.want) }) ||
			len(planned.Waiting) != 1 || planned.Waiting[0].Name != "a" || planned.Waiting[0].Due == "" {
			t.Errorf("%s: %v, and these wait: %v", script, planned.Steps, planned.Waiting)
		}
	}
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
		if err != nil || len(planned.Lacking) == 0 {
			return
		}
		if slices.ContainsFunc(planned.Steps, func(s membership.Step) bool { return s.Kind == membership.Recover }) {
			return // a cluster that was renumbered as a whole: its other voters join once somebody can sign
		}
		voters := e.names()
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
		for _, m := range planned.Lacking {
			if !slices.ContainsFunc(planned.Deferred, func(r *membership.Refusal) bool {
				return r.Member == m.Name && r.At == m.Address
			}) {
				t.Fatalf("nothing is said of %s: %v", m, planned.Deferred)
			}
		}
		again, err := plan.ChangeSigning(e.status(), e.want, plan.Signing{Refuse: nothingIsSigned, Mends: true})
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
		membership.LacksCertificate + ": b (192.0.2.12): it is left alone while certificates cannot be signed: renew certificates of b (192.0.2.12): its certificates have expired; with new keys, loaded without a restart; plan again once they can be",
		": c (192.0.2.13): this is not done while certificates of other members cannot be signed: remove c (192.0.2.13): dead, its host cannot be reached; voters 5 -> 4, quorum 3, healthy 4; plan again once they can be",
	}
	if err != nil || !strings.HasPrefix(fmt.Sprint(planned.Steps), "[start d (192.0.2.14)") || !slices.Equal(deferred, want) {
		t.Errorf("%v, %v, and these wait (-want +is):\n%s", err, planned.Steps, cmp.Diff(want, deferred))
	}
}

// TestUnsignableInAnExchange: while no authority that the members trust can sign, those that need a certificate are
// left alone. The others are started as they are, if they come to a quorum by that.
func TestUnsignableInAnExchange(t *testing.T) {
	for script, want := range map[string]struct{ steps, left string }{
		"observed a/stopped,invalid b/stopped c/stopped d/stopped e/unreachable\ndesired a b c d e trusts:new signs:new\n": {"start b, start c, start d, agree", "a"},
		"observed a/stopped,invalid b/unhealthy,active c/stopped\ndesired a b c trusts:new signs:new\n":                    {"start c, agree", "a"},
		"observed a*/trusts:old+new b/stopped c/lost\ndesired a b c trusts:new signs:new\n":                                {"start b, agree", "c"},
		"observed a*/oldlist b c/stopped,invalid\ndesired a b c trusts:new signs:new\n":                                    {"renew-certificates a", "c"},
		// No voter goes.
		"observed a* b c/unreachable\ndesired a b c@192.0.2.23 trusts:new signs:new\n": {"", "c"},
		"observed a* b c/settings\ndesired a b c d e trusts:new signs:new\n":           {"", "d e"},
		// The member c waits in vain.
		"observed a/stopped,invalid b/stopped,invalid c/unhealthy,active\ndesired a b c trusts:new signs:new\n": {"", "a b"},
	} {
		p, spec := parse(t, script)
		for _, mends := range []bool{true, false} {
			planned, err := plan.ChangeSigning(p, spec, plan.Signing{Refuse: nothingIsSigned, Mends: mends})
			var steps, left, deferred []string
			for _, step := range planned.Steps {
				steps = append(steps, strings.TrimSpace(string(step.Kind)+" "+step.Member))
			}
			for _, m := range planned.Lacking {
				left = append(left, m.Name)
			}
			for _, d := range planned.Deferred {
				if d.Summary == membership.NotExchangeable {
					deferred = append(deferred, d.Member)
				}
			}
			if err != nil || planned.Unsigned == nil || strings.Join(steps, ", ") != want.steps || strings.Join(left, " ") != want.left || strings.Join(deferred, " ") != want.left {
				t.Errorf("%s: %v, %q, since %v; left alone: %q, deferred: %q", script, err, steps, planned.Unsigned, left, deferred)
			}
		}
	}
}

// TestExchangeWaitsForSigner: members are brought up with the certificates that they have while nobody signs those that
// an exchange of authorities brings. A plan that would do nothing before these is refused.
func TestExchangeWaitsForSigner(t *testing.T) {
	for script, want := range map[string]string{ // the steps; empty: it is refused
		"observed a*/trusts:old+new b/trusts:old+new c/stopped,trusts:old+new\n":  "[start c (192.0.2.13) agree: 3 voters, one cluster ID, one leader, quorum 2]",
		"observed a*/trusts:old+new b/trusts:old+new c/disabled,trusts:old+new\n": "[start c (192.0.2.13): its unit is disabled, and would not start at boot]",
		"observed a*/trusts:old+new b/trusts:old+new c/trusts:old+new\n":          "",
	} {
		p, spec := parse(t, script+"desired a b c trusts:new+old signs:new+old\n")
		planned, err := plan.ChangeSigning(p, spec, plan.Signing{Refuse: nothingIsSigned, Mends: true})
		if want == "" {
			if !errors.Is(err, errUnsigned) {
				t.Errorf("%s: %v, %v", script, err, planned.Steps)
			}
			end, err := plan.ChangeSigning(p, spec, plan.Signing{Refuse: nothingIsSigned, Mends: true, Begun: true})
			if err != nil || len(end.Steps) > 0 || len(end.Deferred) != 3 {
				t.Errorf("%s: a run that has done what comes before ends with %v, %v, %v", script, err, end.Steps, end.Deferred)
			}
			continue
		}
		var waits []string
		for _, d := range planned.Deferred {
			if d.Summary == membership.LacksCertificate {
				waits = append(waits, d.Member)
			}
		}
		if err != nil || fmt.Sprint(planned.Steps) != want || strings.Join(waits, " ") != "a b c" || len(planned.Lacking) > 0 || !errors.Is(planned.Unsigned, errUnsigned) || !planned.End.HasQuorum() {
			t.Errorf("%s: %v, %v, and these wait: %v, since %v", script, err, planned.Steps, waits, planned.Unsigned)
		}
		if refused, err := plan.ChangeSigning(p, spec, plan.Signing{Refuse: nothingIsSigned}); !errors.Is(err, errUnsigned) {
			t.Errorf("%s: a change is not refused: %v, %v", script, err, refused.Steps)
		}
	}
}

// TestRecoveryWhileNothingIsSigned: a recovery goes as far as the first member that joins, unless anything else has to
// be signed before, and says what waits.
func TestRecoveryWhileNothingIsSigned(t *testing.T) {
	const recovers = "recover a (192.0.2.11)"
	for script, want := range map[string]struct{ begins, deferred string }{
		"observed a/stopped,4.812 b/lost c/lost\ndesired a b c trusts:old signs:old recover:a,b,c\n":            {recovers, "b c"},
		"observed a/stopped,4.812,settings b/lost c/lost\ndesired a b c trusts:old signs:old recover:a,b,c\n":   {"stage a (192.0.2.11)", "b c"},
		"observed a/stopped,4.812 b/unreachable c/lost\ndesired a b c trusts:old signs:old recover:a,b,c\n":     {recovers, "b c"},
		"observed a/stopped,4.812 b/lost c/lost\ndesired a b c trusts:new+old signs:new+old recover:a,b,c\n":    {recovers, "a b c"},
		"observed a=3.6.16/stopped,4.812 b/lost c/lost 3.6\ndesired a b c trusts:old signs:old recover:a,b,c\n": {recovers, "a b c"},
		// An earlier run has recovered it, and has failed at a join.
		"observed a/stopped,4.812 b-/missing c-/missing\ndesired a b c trusts:old signs:old recover:a,b,c\n": {"start a (192.0.2.11)", "b c"},
		"observed a/stopped,4.812 b~/missing c-/missing\ndesired a b c trusts:old signs:old recover:a,b,c\n": {"start a (192.0.2.11)", "b c"},
		"observed a/stopped,4.812 b-/missing c-/missing\ndesired a b c trusts:old signs:old\n":               {},
		// In the second move of an exchange, the survivor keeps the certificate that it has.
		"observed a/stopped,4.812,trusts:old+new b/lost c/lost\ndesired a b c trusts:new+old signs:new+old recover:a,b,c\n":         {recovers, "a b c"},
		"observed a/stopped,4.812,trusts:old+new b-/missing c-/missing\ndesired a b c trusts:new+old signs:new+old recover:a,b,c\n": {"start a (192.0.2.11)", "a b c"},
		// The state would say that the survivor has its new address.
		"observed a*/from:19,disabled b-/missing c-/missing\ndesired a b c trusts:old signs:old recover:a,b,c\n": {},
		"observed a/stopped,4.812,invalid b/lost c/lost\ndesired a b c trusts:old signs:old recover:a,b,c\n":     {},
		"observed a/stopped,4.812 b/lost c/lost\ndesired a trusts:new+old signs:new+old recover:a,b,c\n":         {},
		"observed a* b-/missing c-/missing\ndesired a b c trusts:old signs:old\n":                                {},
	} {
		p, spec := parse(t, script)
		planned, err := plan.ChangeSigning(p, spec, plan.Signing{Refuse: nothingIsSigned})
		if want.begins == "" {
			if !errors.Is(err, errUnsigned) {
				t.Errorf("%s: %v, %v", script, err, planned.Steps)
			}
			continue
		}
		var deferred []string
		for _, d := range planned.Deferred {
			deferred = append(deferred, d.Member)
		}
		slices.Sort(deferred)
		if err != nil || !strings.HasPrefix(fmt.Sprint(planned.Steps), "["+want.begins) || nothingIsSigned(planned.Steps) != nil || strings.Join(deferred, " ") != want.deferred || !planned.End.HasQuorum() ||
			slices.ContainsFunc(planned.Steps, func(s membership.Step) bool { return s.Kind == membership.AddLearner }) {
			t.Errorf("%s: %v, %v, and these wait: %v", script, err, planned.Steps, planned.Deferred)
		}
	}
}

// TestRestartBeforeRenewal: a member that goes on serving another certificate than its file has would not take up a new
// one either: it is restarted first, unless its file's does not hold, by which it would not come up.
func TestRestartBeforeRenewal(t *testing.T) {
	for words, want := range map[string]string{"due,serves-other": "roll renew-certificates", "invalid,serves-other": "renew-certificates roll"} {
		p, spec := parse(t, "observed a* b/"+words+" c\ndesired a b c trusts:old signs:old\n")
		planned, err := plan.Change(p, spec)
		var kinds []string
		for _, step := range planned.Steps {
			if step.Member == "b" && (step.Kind == membership.Roll || step.Kind == membership.RenewCertificates) {
				kinds = append(kinds, string(step.Kind))
			}
		}
		if err != nil || strings.Join(kinds, " ") != want {
			t.Errorf("%s: %v, %v", words, err, planned.Steps)
		}
	}
}
