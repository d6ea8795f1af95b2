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

// TestPlansWithoutSigner has certificates be due, and nobody sign: a plan is refused only if it has to sign all the same, and what
// it does else is what it would do if none were due, and what it would do beside the renewals if they could be signed.
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
		got, err := plan.ChangeSigning(some, e.want, plan.Signing{Refuse: nothingIsSigned})
		if fmt.Sprint(err) != fmt.Sprint(refused) {
			t.Fatalf("refused by %v, want %v\nin %s", err, refused, show(some))
		}
		if err != nil {
			return
		}
		if !slices.Equal(got.Steps, want.Steps) || len(got.Deferred) != len(want.Deferred) {
			t.Fatalf("without a signer it does something else (-none is due +some are):\n%s\nin %s", cmp.Diff(want, got), show(some))
		}
		whole, err := plan.Change(some, e.want)
		if err != nil {
			t.Fatal(err)
		}
		renews := func(s membership.Step) bool { return s.Kind == membership.RenewCertificates && s.Why == due }
		if slices.ContainsFunc(whole.Steps, renews) != (got.Unsigned != nil) || got.Unsigned != nil && len(got.Waiting) == 0 {
			t.Fatalf("it leaves %v, since %v, of %v", got.Waiting, got.Unsigned, whole.Steps)
		}
		if rest := slices.DeleteFunc(whole.Steps, renews); !slices.Equal(rest, got.Steps) {
			t.Fatalf("with a signer it does more than the renewals (-without +with):\n%s\nin %s", cmp.Diff(got.Steps, rest), show(some))
		}
	})
}

// TestRenewalsThatMayWait: a certificate that is due waits, also where its member is given another list of revoked ones; and where
// one does not hold, or the configuration asks for its renewal, the plan is refused.
func TestRenewalsThatMayWait(t *testing.T) {
	asked := func(membership.MemberStatus) bool { return true }
	for script, test := range map[string]struct {
		asked func(membership.MemberStatus) bool
		want  string // refused: none of the steps
	}{
		"observed a*/due b c/stopped\n":         {nil, "start c (192.0.2.13)"},
		"observed a*/due,oldlist b c\n":         {nil, "revoke on a (192.0.2.11)"},
		"observed a*/due b c/settings\n":        {nil, "roll c (192.0.2.13)"},
		"observed a*/due b c/invalid\n":         {nil, ""},
		"observed a*/due,invalid b c/stopped\n": {nil, ""},
		"observed a*/due b c/stopped,due\n":     {asked, ""},
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
