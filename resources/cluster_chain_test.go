package resources_test

import (
	"crypto/x509"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/pkitest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// chained are two intermediates of a company, one for peers and one for clients, with the authorities above both.
type chained struct {
	peers, clients pkitest.CA
	above          []pkitest.CA
}

func newChained(t *testing.T, now time.Time) (chained, pkitest.Company) {
	t.Helper()
	c := pkitest.New(t, now, nil)
	return chained{c.Signs, pkitest.Certify(t, "company clients", &c.Middle, now, nil), []pkitest.CA{c.Middle, c.Root}}, c
}

// hcl returns the authorities, with their keys, as a configuration gives them.
func (c chained) hcl(t *testing.T, more string) string {
	pair := func(ca pkitest.CA) string {
		return fmt.Sprintf("{\n certificate = %q\n private_key = %q\n}", ca.PEM(c.above...), ca.KeyPEM(t))
	}
	return fmt.Sprintf("{\n peer = %s\n client = %s\n%s\n}", pair(c.peers), pair(c.clients), more)
}

// trusted returns authorities that are trusted beside others, without their keys.
func (c chained) trusted() string {
	return fmt.Sprintf("trusted = {\n peer = { certificate = %q }\n client = { certificate = %q }\n}", c.peers.PEM(c.above...), c.clients.PEM(c.above...))
}

// shown checks what follows the certificates of all members, and that members and clients are to trust only these
// authorities.
func (w *world) shown(c chained, follow ...pkitest.CA) tftest.TestCheckFunc {
	return func(state *terraform.State) error {
		for last := 11; last <= 13; last++ {
			for key, text := range w.host(last).Certificates("prod") {
				by := api.ForKey(key, c.peers, c.clients)
				all, err := cert.Parse([]byte(text))
				if err != nil {
					return err
				}
				want := []*x509.Certificate{by.Certificate}
				for _, above := range follow {
					want = append(want, above.Certificate)
				}
				if !slices.EqualFunc(all[1:], want, (*x509.Certificate).Equal) {
					return fmt.Errorf("%d certificates follow the %s certificate of 192.0.2.%d, not %d, or others", len(all)-1, key, last, len(want))
				}
			}
		}
		attributes := state.RootModule().Resources["etcd_cluster.prod"].Primary.Attributes
		for attribute, ca := range map[string]pkitest.CA{"peer_ca_certificate": c.peers, "client_ca_certificate": c.clients} {
			if got := attributes[attribute]; got != ca.PEM() {
				return fmt.Errorf("%s is\n%s\nand not\n%s", attribute, got, ca.PEM())
			}
		}
		return nil
	}
}

// TestClusterOfIntermediates has intermediates as the authorities of a cluster: members trust only these, and show the
// chain above them to clients that know only the root. Another chain changes files and restarts nobody. The
// intermediates are exchanged for roots and back.
func TestClusterOfIntermediates(t *testing.T) {
	w := newWorld(t)
	first, company := newChained(t, w.Clock)
	renewed := first
	renewed.above = []pkitest.CA{pkitest.Again(t, company.Middle, &company.Root, w.Clock, nil)}
	config := func(pki string) string { return strings.Replace(three(line), "etcd_pki.prod.authority", pki, 1) }
	prod := "{ peer = etcd_pki.prod.authority.peer, client = etcd_pki.prod.authority.client\n"
	whole, above := config(first.hcl(t, "")), config(renewed.hcl(t, ""))
	again := w.asPlanned(t, above, []string{"renew the chain on a (192.0.2.11): ", `"company etcd" (`, `, "company middle" (`, "without a restart"}, purpose(plan.PurposeChange))
	again.Check = tftest.ComposeAggregateTestCheckFunc(again.Check, w.shown(renewed, renewed.above...), w.restarts(false))
	drift := w.asPlanned(t, above, []string{"renew the chain on a (192.0.2.11): "}, purpose(plan.PurposeRepair))
	drift.PreConfig = func() { w.host(11).Unchain("prod"); w.Forget() }
	drift.Check = tftest.ComposeAggregateTestCheckFunc(drift.Check, w.shown(renewed, renewed.above...), w.restarts(false))
	// If the state does not know which chain was laid down last, the hosts tell: a host with the desired chain has it
	// from an apply.
	forgotten := w.asPlanned(t, above, []string{"renew the chain on b (192.0.2.12): "}, purpose(plan.PurposeRepair))
	forgotten.PreConfig = func() { w.forgets = "chains"; w.host(12).Unchain("prod"); w.Forget() }
	// A member that is down is started with its present files, and gets the others once it serves.
	back := w.asPlanned(t, whole, []string{"start b (192.0.2.12)", "renew the chain on a (192.0.2.11): ", "renew the chain on b (192.0.2.12): "}, purpose(plan.PurposeChange))
	back.PreConfig = func() { w.host(12).StopUnit("prod"); w.Forget() }
	back.Check = tftest.ComposeAggregateTestCheckFunc(back.Check, w.shown(first, company.Middle))
	changes := func(config string, check tftest.TestCheckFunc, says ...string) tftest.TestStep {
		step := w.asPlanned(t, config, says, purpose(plan.PurposeChange))
		step.Check = tftest.ComposeAggregateTestCheckFunc(step.Check, check)
		return step
	}
	w.run(t,
		w.begun(t, whole),
		tftest.TestStep{Config: whole, PlanOnly: true},
		tftest.TestStep{Config: whole, Check: w.shown(first, company.Middle)},
		// The same chain with the root left out.
		tftest.TestStep{Config: config(strings.ReplaceAll(first.hcl(t, ""), company.Root.PEM(), "")), PlanOnly: true},
		again,
		tftest.TestStep{Config: above, PlanOnly: true},
		drift,
		forgotten,
		back, // no host has this chain
		tftest.TestStep{PreConfig: func() { w.forgets = "" }, Config: whole, PlanOnly: true},
		changes(config(prod+renewed.trusted()+"}"), func(*terraform.State) error { return nil }, "comes to trust authority ", "they are of authority "),
		changes(config("etcd_pki.prod.authority"), w.issuedBy("prod", "prod"), "no longer trusts authority "),
		changes(whole, w.shown(first, company.Middle), "comes to trust authority ", "they are of authority ", "no longer trusts authority "),
		tftest.TestStep{Config: whole, PlanOnly: true},
	)
}

// TestConstrainedAuthorities holds that a plan refuses what an authority's name constraints do not permit, and names
// the host and the constraint.
func TestConstrainedAuthorities(t *testing.T) {
	w := newWorld(t)
	of, company := newChained(t, w.Clock)
	network := func(text string) *net.IPNet {
		_, parsed, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	below := func(networks ...*net.IPNet) string {
		of.above = []pkitest.CA{pkitest.Again(t, company.Middle, &company.Root, w.Clock, func(x *x509.Certificate) { x.PermittedIPRanges = networks }), company.Root}
		return strings.Replace(three(line), "etcd_pki.prod.authority", of.hcl(t, ""), 1)
	}
	loopback := []*net.IPNet{network("127.0.0.0/8"), network("::1/128")}
	w.run(t,
		tftest.TestStep{Config: below(append(loopback, network("192.0.2.8/30"))...), ExpectError: saysInOrder("The authority may not certify this member", "c (192.0.2.13)", "pki.peer", "192.0.2.13 is outside the name constraints", `"company middle" (certificate 2`, "permits only addresses in", "192.0.2.8/30")},
		tftest.TestStep{Config: below(network("192.0.2.0/24")), ExpectError: saysInOrder("its server certificate, by pki.client", "127.0.0.1 is outside the name constraints")},
		w.begun(t, below(append(loopback, network("192.0.2.0/24"))...)),
	)
}

// TestCertificateOfAnIntermediate holds that the chain of its authority follows a client's certificate, in its files
// too, and that another chain signs no other certificate.
func TestCertificateOfAnIntermediate(t *testing.T) {
	w, file := newWorld(t), filepath.Join(t.TempDir(), "client.key")
	first, company := newChained(t, w.Clock)
	renewed := first
	renewed.above = []pkitest.CA{pkitest.Again(t, company.Middle, &company.Root, w.Clock, nil)}
	config := func(c chained, key string) string {
		return strings.Replace(keyFile(file), "etcd_pki.prod.client_authority", fmt.Sprintf("{ client = {\n certificate = %q\n%s\n} }", c.clients.PEM(c.above...), key), 1)
	}
	key := fmt.Sprintf("private_key = %q", first.clients.KeyPEM(t))
	var serial string
	holds := func(follow ...pkitest.CA) tftest.TestCheckFunc {
		return func(state *terraform.State) error {
			attributes := state.RootModule().Resources["etcd_certificate.client"].Primary.Attributes
			text := string(mustRead(t, file+".crt"))
			if text != attributes["certificate"] || string(mustRead(t, file+".ca")) != first.clients.PEM() || attributes["ca_certificate"] != first.clients.PEM() {
				return fmt.Errorf("the files do not hold what the state says, or what is trusted is another: %s", attributes["ca_certificate"])
			}
			var want []*x509.Certificate
			for _, ca := range follow {
				want = append(want, ca.Certificate)
			}
			if !slices.EqualFunc(cert.Following(text), want, (*x509.Certificate).Equal) {
				return fmt.Errorf("what follows it is not as it should be: %s", text)
			}
			return nil
		}
	}
	over, soon := first, first
	over.above = []pkitest.CA{pkitest.Again(t, company.Middle, &company.Root, w.Clock, func(x *x509.Certificate) { x.NotAfter = w.Clock.Add(-time.Minute) })}
	soon.above = []pkitest.CA{pkitest.Again(t, company.Middle, &company.Root, w.Clock, func(x *x509.Certificate) { x.NotAfter = w.Clock.Add(1000 * time.Hour) })}
	w.run(t,
		tftest.TestStep{Config: config(over, key), ExpectError: saysInOrder("The authority's chain has expired", "pki.client", `"company middle" (certificate 2 of its chain)`)},
		tftest.TestStep{Config: config(soon, key), PlanOnly: true, ExpectNonEmptyPlan: true},
		tftest.TestStep{PreConfig: func() {
			if said := w.warned(); !strings.Contains(said, "ends with its authority") || !strings.Contains(said, `"company middle"`) {
				t.Errorf("the plan warns of %q", said)
			}
		}, Config: config(first, key), Check: tftest.ComposeAggregateTestCheckFunc(holds(first.clients, company.Middle), serials(&serial, true))},
		tftest.TestStep{Config: config(first, ""), PlanOnly: true},
		tftest.TestStep{Config: config(over, ""), ExpectError: saysInOrder("The authority's chain has expired")},
		tftest.TestStep{Config: config(renewed, ""), ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(certificate, plancheck.ResourceActionUpdate)}}},
		tftest.TestStep{Config: config(renewed, ""), Check: tftest.ComposeAggregateTestCheckFunc(holds(first.clients, renewed.above[0]), serials(&serial, false)),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}},
		// A renewal together with another chain is a change, since somebody has to approve the chain.
		tftest.TestStep{PreConfig: func() { w.Clock = w.Clock.Add(8700 * time.Hour) }, Config: config(first, key), Check: tftest.ComposeAggregateTestCheckFunc(holds(first.clients, company.Middle), serials(&serial, true)),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{purposeOf{certificate, "change"}}}},
	)
}

// TestAChainExpires has an authority above those of a cluster expire, and all certificates with it: plans warn before
// that, a plan that needs certificates is refused, and one apply with the renewed chain repairs the cluster.
func TestAChainExpires(t *testing.T) {
	w := newWorld(t)
	first, company := newChained(t, w.Clock)
	short := first
	short.above = []pkitest.CA{pkitest.Again(t, company.Middle, &company.Root, w.Clock, func(x *x509.Certificate) { x.NotAfter = w.Clock.Add(1000 * time.Hour).Truncate(time.Second) }), company.Root}
	config := func(c chained) string {
		return strings.Replace(three(line), "etcd_pki.prod.authority", c.hcl(t, ""), 1)
	}
	end := w.Clock.Add(1000 * time.Hour).UTC().Truncate(time.Second)
	ends := func(state *terraform.State) error {
		for name, text := range state.RootModule().Resources["etcd_cluster.prod"].Primary.Attributes {
			if strings.HasSuffix(name, ".certificate_expires_at") && text != end.Format(time.RFC3339) {
				return fmt.Errorf("%s is %s, and not the end of the chain, %s", name, text, end.Format(time.RFC3339))
			}
		}
		if text := w.warned(); !strings.Contains(text, "The authorities are about to expire") || !strings.Contains(text, `"company middle"`) {
			return fmt.Errorf("the warnings are %q", text)
		}
		return nil
	}
	lastWeek := w.waiting(config(short), planned(func(_, _ map[string]any) error {
		if text := w.warned(); !strings.Contains(text, "Certificates expire within a week, or have expired") || !strings.Contains(text, "its peer certificate expires at "+end.Format(time.RFC3339)+", with its authority or one above: renewing it gains nothing") {
			return fmt.Errorf("it says %q", text)
		}
		return nil
	}), leavesRenewals("a", "b", "c"))
	lastWeek.PreConfig = func() { w.Clock = w.Clock.Add(100 * time.Hour); w.Forget(); w.warned() }
	w.run(t,
		w.begun(t, config(short)),
		// A certificate that ends with the chain is not due: another one would end at the same time.
		tftest.TestStep{PreConfig: func() { w.Clock = w.Clock.Add(800 * time.Hour); w.warned() }, Config: config(short), PlanOnly: true},
		tftest.TestStep{Config: config(short), Check: ends},
		lastWeek,
		tftest.TestStep{PreConfig: func() { w.Clock = w.Clock.Add(200 * time.Hour) }, Config: config(short), ExpectError: saysInOrder("The authorities have expired", "or one above it, has expired", "the chain that was renewed above this one")},
		tftest.TestStep{Config: config(first), Check: tftest.ComposeAggregateTestCheckFunc(w.allWell, w.shown(first, company.Middle))},
		tftest.TestStep{Config: config(first), PlanOnly: true},
	)
}

// TestImportOfIntermediates imports intermediates with their chains into etcd_pki: members trust only the
// intermediates, and the chain follows what these sign. They last as long as their chains.
func TestImportOfIntermediates(t *testing.T) {
	w, directory := newWorld(t), t.TempDir()
	of, company := newChained(t, w.Clock)
	end := w.Clock.Add(5000 * time.Hour).UTC().Truncate(time.Second)
	middle := pkitest.Again(t, company.Middle, &company.Root, w.Clock, func(x *x509.Certificate) { x.NotAfter = end })
	of.above = []pkitest.CA{middle, company.Root}
	for file, ca := range map[string]pkitest.CA{"peer-ca": of.peers, "client-ca": of.clients} {
		write(t, filepath.Join(directory, file+".crt"), ca.PEM(of.above...), 0o644)
		write(t, filepath.Join(directory, file+".key"), ca.KeyPEM(t), 0o600)
	}
	const authorities = "resource \"etcd_pki\" \"prod\" { name = \"prod\" }\n"
	rotated := func(rotation string) string {
		return strings.Replace(three(line), `{ name = "prod" }`, "{\n name = \"prod\"\n rotation = { "+rotation+" }\n}", 1)
	}
	chained := func(peers, clients string) string {
		return strings.Replace(three(line), `{ name = "prod" }`, fmt.Sprintf("{\n name = \"prod\"\n chain = { peers = %q, clients = %q }\n}", peers, clients), 1)
	}
	// The company renews the chain above both. The file may hold the chain alone, or begin with the intermediate.
	renewed := of
	renewed.above = []pkitest.CA{company.Middle, company.Root}
	given := chained(company.Middle.PEM(company.Root), of.clients.PEM(company.Middle))
	rechained := w.asPlanned(t, given, []string{"renew the chain on a (192.0.2.11): ", "renew the chain on c (192.0.2.13): "}, purpose(plan.PurposeChange))
	rechained.Check = tftest.ComposeAggregateTestCheckFunc(rechained.Check, w.shown(renewed, company.Middle), w.restarts(false), tftest.TestCheckResourceAttrWith(ownPKI, "expires_at", func(at string) error {
		if at == end.Format(time.RFC3339) {
			return fmt.Errorf("expires_at is still that of the old chain")
		}
		return nil
	}))
	w.run(t,
		tftest.TestStep{Config: given, ExpectError: saysInOrder("The authorities have no chain")},
		tftest.TestStep{Config: authorities, ResourceName: ownPKI, ImportState: true, ImportStatePersist: true, ImportStateId: "prod@" + directory, ImportStateCheck: func(states []*terraform.InstanceState) error {
			for name, want := range map[string]string{"peer_ca_certificate": of.peers.PEM(), "client_ca_certificate": of.clients.PEM(),
				"authority.peer.certificate": of.peers.PEM(of.above...), "client_authority.client.certificate": of.clients.PEM(of.above...), "expires_at": end.Format(time.RFC3339)} {
				if got := states[0].Attributes[name]; got != want {
					return fmt.Errorf("%s is %q, not %q", name, got, want)
				}
			}
			return nil
		}},
		tftest.TestStep{Config: authorities, PlanOnly: true},
		tftest.TestStep{Config: three(line), Check: w.shown(of, middle)},
		tftest.TestStep{Config: three(line), PlanOnly: true},
		tftest.TestStep{Config: chained(company.Root.PEM(), company.Middle.PEM()), ExpectError: saysInOrder("This chain cannot be used", `its first certificate, "company root"`, "has signed none of the authorities", `"company etcd" (`)},
		tftest.TestStep{Config: chained(company.Middle.PEM(company.Sibling), company.Middle.PEM()), ExpectError: saysInOrder("This chain cannot be used", `"company others", has not signed the one before it`)},
		rechained,
		tftest.TestStep{Config: given, PlanOnly: true},
		tftest.TestStep{Config: three(line), Check: w.shown(renewed, company.Middle)}, // a chain that is left out stays
		// They are rotated like authorities of etcd_pki's own, and their chains go with them.
		tftest.TestStep{Config: rotated(`peers = "1", clients = "1", phase = "retire"`)},
		tftest.TestStep{Config: rotated(`peers = "2", clients = "2"`)},
		tftest.TestStep{Config: rotated(`peers = "2", clients = "2", phase = "sign"`)},
		tftest.TestStep{Config: rotated(`peers = "2", clients = "2", phase = "retire"`), Check: w.issuedBy("prod", "prod")},
	)
}

// TestPlanRefusesAChainThatDoesNotHold gives pki a chain above an authority that members trust already, and the chain
// has expired or is not valid yet. No apply could sign with it, so the plan is refused, for repairs too. Without hosts
// to change, the plan is not refused.
func TestPlanRefusesAChainThatDoesNotHold(t *testing.T) {
	for name, test := range map[string]struct {
		from, until time.Duration // validity of the middle of the chain, from the time at which the cluster was formed
		says        []string
		holdsAfter  time.Duration // 0: never
	}{
		"expired":       {0, time.Hour, []string{"The authority's chain has expired", "pki.peer", `"company middle" (certificate 2 of its chain)`, "which expired at"}, 0},
		"not valid yet": {48 * time.Hour, 10000 * time.Hour, []string{"The authority's chain is not valid yet", "pki.peer", `"company middle" (certificate 2 of its chain)`, "which is valid from"}, 49 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			bare, company := newChained(t, w.Clock)
			bare.above = nil
			below := bare
			below.above = []pkitest.CA{pkitest.Again(t, company.Middle, &company.Root, w.Clock, func(x *x509.Certificate) {
				x.NotBefore, x.NotAfter = w.Clock.Add(test.from).Truncate(time.Second), w.Clock.Add(test.until).Truncate(time.Second)
			}), company.Root}
			config := func(c chained) string {
				return strings.Replace(three(line), "etcd_pki.prod.authority", c.hcl(t, ""), 1)
			}
			steps := []tftest.TestStep{
				w.begun(t, config(bare)),
				{PreConfig: func() { w.Clock = w.Clock.Add(2 * time.Hour) }, Config: config(below), ExpectError: saysInOrder(test.says...)},
				{PreConfig: func() { w.host(13).StopUnit("prod") }, Config: config(below), ExpectError: saysInOrder(test.says...)},
				{Config: config(bare), Check: w.allWell},
			}
			if test.holdsAfter > 0 {
				steps = append(steps, tftest.TestStep{PreConfig: func() { w.Clock = w.Clock.Add(test.holdsAfter) }, Config: config(below),
					Check: tftest.ComposeAggregateTestCheckFunc(w.allWell, w.shown(below, below.above[0]))})
			}
			w.run(t, steps...)
		})
	}
}

// TestAChainThatWasLaidDownExpires has a chain expire under a running cluster that was given later and ends before the
// certificates that it follows. Members' own certificates are valid: a stopped member is started, and a plan that signs
// others is refused.
func TestAChainThatWasLaidDownExpires(t *testing.T) {
	w := newWorld(t)
	bare, company := newChained(t, w.Clock)
	bare.above = nil
	short, renewed := bare, bare
	short.above = []pkitest.CA{pkitest.Again(t, company.Middle, &company.Root, w.Clock, func(x *x509.Certificate) { x.NotAfter = w.Clock.Add(100 * time.Hour).Truncate(time.Second) }), company.Root}
	renewed.above = []pkitest.CA{company.Middle, company.Root}
	const purge = "\npurge_data = true\n"
	config := func(c chained, more string) string {
		return strings.Replace(three(line+more), "etcd_pki.prod.authority", c.hcl(t, ""), 1)
	}
	w.run(t,
		w.begun(t, config(bare, "")),
		tftest.TestStep{Config: config(short, ""), Check: tftest.ComposeAggregateTestCheckFunc(w.allWell, w.shown(short, short.above[0]))},
		tftest.TestStep{PreConfig: func() { w.Clock = w.Clock.Add(101 * time.Hour) }, Config: config(short, purge)},
		tftest.TestStep{PreConfig: func() { w.host(13).StopUnit("prod") }, Config: config(short, purge), Check: w.allWell},
		tftest.TestStep{Config: config(short, purge+"extra_server_names = [\"etcd.example.com\"]"), ExpectError: saysInOrder("The authority's chain has expired", "pki.peer")},
		tftest.TestStep{Config: config(renewed, ""), Check: tftest.ComposeAggregateTestCheckFunc(w.allWell, w.shown(renewed, company.Middle))},
	)
}
