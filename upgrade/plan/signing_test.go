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
		e.ended = membership.Authorities{} // the signer alone is away
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
		renews := func(s membership.Step) bool { // which lays down the chain too
			return s.Kind == membership.RenewCertificates && (s.Why == due || strings.HasPrefix(s.Why, membership.OldChain))
		}
		// A member that is configured gets new certificates too.
		waits := slices.ContainsFunc(whole.Steps, func(s membership.Step) bool {
			m := some.Member(s.Subject())
			return s.Signs() && m != nil && m.Due != ""
		})
		if (nothingIsSigned(whole.Steps) != nil) != (got.Unsigned != nil) || waits != (len(got.Waiting) > 0) {
			t.Fatalf("it leaves %v, since %v, of %v", got.Waiting, got.Unsigned, whole.Steps)
		}
		rest, without := slices.DeleteFunc(whole.Steps, renews), slices.DeleteFunc(slices.Clone(got.Steps), renews)
		for i := range min(len(rest), len(without)) {
			if rest[i].Kind == membership.Configure && without[i].Keeps {
				rest[i].Keeps, rest[i].Signers, rest[i].Named = true, membership.Authorities{}, ""
			}
		}
		if !slices.Equal(rest, without) {
			t.Fatalf("with a signer it does more than the renewals (-without +with):\n%s\nin %s", cmp.Diff(without, rest), show(some))
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
