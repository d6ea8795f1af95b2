package resources_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// later is an attribute whose value is known after apply: the output of a resource that the same apply makes.
type later struct {
	attribute string // attribute of the cluster, from the output of terraform_data.later
	value     string
	serving   string // words by which a plan of a cluster that is there is refused; empty: it is not
}

// laters are the attributes of a cluster, and of the objects in it.
var laters = map[string]later{
	"all settings":        {"settings = jsondecode(terraform_data.later.output)", `jsonencode({ snapshot_count = 5000 })`, ""},
	"a setting":           {"settings = { snapshot_count = terraform_data.later.output }", `5000`, ""},
	"all extra flags":     {"extra_flags = jsondecode(terraform_data.later.output)", `jsonencode({ "max-wals" = "7" })`, ""},
	"an extra flag":       {"extra_flags = { \"max-wals\" = terraform_data.later.output }", `"7"`, ""},
	"backups":             {"backup = jsondecode(terraform_data.later.output)", `jsonencode({ directory = "/srv/b", schedule = "daily", keep = { last = 3 } })`, ""},
	"which backups stay":  {"backup = {\n directory = \"/srv/b\"\n keep = jsondecode(terraform_data.later.output)\n}", `jsonencode({ last = 3 })`, ""},
	"recipients":          {"backup = {\n directory = \"/srv/b\"\n recipients = jsondecode(terraform_data.later.output)\n}", `jsonencode(["age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"])`, ""},
	"rehearsals":          {"backup = {\n directory = \"/srv/b\"\n rehearsal = jsondecode(terraform_data.later.output)\n}", `jsonencode({ max_age = "200h" })`, ""},
	"a secret of backups": {"backup = { s3 = { endpoint = \"https://s3.example.com\", bucket = \"b\", prefix = \"etcd\", access_key_id = \"a\", secret_access_key = terraform_data.later.output } }", `"secret"`, ""},
	"time limits":         {"timeouts = jsondecode(terraform_data.later.output)", `jsonencode({ create = "10m" })`, ""},
	"a time limit":        {"timeouts = { create = terraform_data.later.output }", `"10m"`, ""},
	"all server names":    {"extra_server_names = jsondecode(terraform_data.later.output)", `jsonencode(["etcd.example.com"])`, ""},
	"a server name":       {"extra_server_names = [terraform_data.later.output]", `"etcd.example.com"`, ""},
	"hosts to abandon":    {"abandon_on_destroy = jsondecode(terraform_data.later.output)", `jsonencode([])`, ""},
	"version":             {"version = terraform_data.later.output", `"3.7"`, ""},
	"purge_data":          {"purge_data = terraform_data.later.output", `false`, ""},
	"preflight_at_plan":   {"preflight_at_plan = terraform_data.later.output", `true`, ""},
	"preflight":           {"preflight = jsondecode(terraform_data.later.output)", `jsonencode({ waive = ["swap"] })`, ""},
	"hold_restarts":       {"hold_restarts = terraform_data.later.output", `true`, ""},
	"client_port":         {"client_port = terraform_data.later.output", `12379`, ""},
	"peer_common_name":    {"peer_common_name = terraform_data.later.output", `"prod peers"`, ""},
	"a firewall":          {"firewall = jsondecode(terraform_data.later.output)", `jsonencode({ client_cidrs = ["10.0.1.0/24"] })`, ""},
	"a client's network":  {"firewall = { client_cidrs = [terraform_data.later.output] }", `"10.0.1.0/24"`, ""},
	"peer_port":           {"peer_port = terraform_data.later.output", `12380`, ""},
	"metrics_port":        {"metrics_port = terraform_data.later.output", `12381`, ""},
	"data_dir":            {"data_dir = terraform_data.later.output", `"/var/lib/etcd/prod"`, ""},
	"certificates":        {"certificates = jsondecode(terraform_data.later.output)", `jsonencode({ renew_before = "480h" })`, ""},
	"a certificate's end": {"certificates = { validity = terraform_data.later.output }", `"8000h"`, ""},
	"a recovery":          {"recover_from = jsondecode(terraform_data.later.output)", `jsonencode(null)`, "says what a running cluster gives up"},
	"a restore":           {"restore = jsondecode(terraform_data.later.output)", `jsonencode(null)`, "says what a running cluster gives up"},
}

// TestLatersAreAll holds that laters has every attribute of a cluster that a configuration sets.
func TestLatersAreAll(t *testing.T) {
	// TestFixedValuesMayBeKnownLater, TestAuthoritiesAreNotExchangedUnseen, TestClientsAreRevoked, TestUnknownAddresses
	// and TestObjectsThatAreNotKnown have these, and every configuration in tests has the last.
	elsewhere := []string{"name", "pki", "client_crl", "members", "deletion_protection"}
	var has resource.SchemaResponse
	for _, make := range resources.Managed() {
		var named resource.MetadataResponse
		if make().Metadata(t.Context(), resource.MetadataRequest{ProviderTypeName: "etcd"}, &named); named.TypeName == "etcd_cluster" {
			make().Schema(t.Context(), resource.SchemaRequest{}, &has)
		}
	}
	var missing []string
	for name, attribute := range has.Schema.Attributes {
		held := func(one later) bool { return strings.HasPrefix(one.attribute, name+" ") }
		if (attribute.IsOptional() || attribute.IsRequired()) && !slices.Contains(elsewhere, name) && !slices.ContainsFunc(slices.Collect(maps.Values(laters)), held) {
			missing = append(missing, name)
		}
	}
	if len(has.Schema.Attributes) == 0 || len(missing) > 0 {
		t.Errorf("of %d attributes no value is known later: %q", len(has.Schema.Attributes), missing)
	}
}

// TestEveryAttributeMayBeKnownLater forms a cluster, and changes one, by a value that the plan does not know. The apply
// keeps to its plan and leaves nothing to do, or the plan is refused if whoever approves it has to see the value.
func TestEveryAttributeMayBeKnownLater(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(laters)) {
		one := laters[name]
		config := three(unprotected+one.attribute+"\n") + fmt.Sprintf("\nresource \"terraform_data\" \"later\" { input = %s }\n", one.value)
		settled := tftest.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
		t.Run(name+", of a new cluster", func(t *testing.T) {
			newWorld(t).run(t, tftest.TestStep{Config: config, ConfigPlanChecks: settled})
		})
		t.Run(name+", of a cluster that is there", func(t *testing.T) {
			w := newWorld(t)
			then := tftest.TestStep{Config: config, PreConfig: w.Forget, ConfigPlanChecks: settled}
			if one.serving != "" {
				then = tftest.TestStep{Config: config, PreConfig: w.Forget, ExpectError: says(one.serving)}
			}
			w.run(t, w.begun(t, three(unprotected)), then)
		})
	}
}

// TestFixedValuesMayBeKnownLater has values that a cluster cannot change come from a resource that the same apply
// replaces. If they turn out to be the same, the plan shows them as they were; if not, the apply is refused before it
// begins.
func TestFixedValuesMayBeKnownLater(t *testing.T) {
	for _, what := range []string{"name", "data_dir", "the authorities' name"} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			of := func(trigger, is string) string {
				authority, cluster := `name = "prod"`, `name = "prod"`
				switch what {
				case "name":
					cluster = "name = terraform_data.later.output"
				case "data_dir":
					cluster += "\n data_dir = \"/var/lib/etcd/${terraform_data.later.output}\""
				default:
					authority = "name = terraform_data.later.output"
				}
				return fmt.Sprintf(`
					resource "terraform_data" "later" {
						input            = %q
						triggers_replace = %q
					}
					resource "etcd_pki" "prod" { %s }
					resource "etcd_cluster" "prod" {
						%s
						pki     = etcd_pki.prod.authority
						members = { a = { address = "192.0.2.11" }, b = { address = "192.0.2.12" }, c = { address = "192.0.2.13" } }
						deletion_protection = false
					}
				`, is, trigger, authority, cluster)
			}
			w.run(t, w.begun(t, of("1", "prod")),
				tftest.TestStep{Config: of("2", "prod"), Check: func(*terraform.State) error {
					if did := w.steps(); len(did) > 0 {
						return fmt.Errorf("it was not left alone: %v", did)
					}
					return nil
				}},
				tftest.TestStep{Config: of("3", "other"), ExpectError: says("cannot be changed")},
				tftest.TestStep{Config: of("4", "prod")},
			)
		})
	}
}

// TestRestoreKnownLater restores by values that are known after apply: they can form a new cluster. To give up an
// existing cluster, the configuration names it, so that the restore can be planned.
func TestRestoreKnownLater(t *testing.T) {
	p, steps := saved(t)
	restored := func(restore, input string) string {
		return three(unprotected+restore) + fmt.Sprintf("\nresource \"terraform_data\" \"later\" { input = %s }\n", input)
	}
	file := strconv.Quote(p.file)
	config := restored(fmt.Sprintf("restore = {\n file = terraform_data.later.output\n overwrite_cluster_id = file(%q)\n}\n", p.id), file)
	p.run(t, append(steps, tftest.TestStep{Config: config, PreConfig: p.Forget, ConfigPlanChecks: tftest.ConfigPlanChecks{
		PreApply: []plancheck.PlanCheck{purpose("")}, PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}})...)
	for name, config := range map[string]string{
		"its file":  restored("restore = { file = terraform_data.later.output }\n", file),
		"all of it": restored("restore = jsondecode(terraform_data.later.output)\n", "jsonencode({ file = "+file+" })"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.run(t, tftest.TestStep{Config: config, ConfigPlanChecks: tftest.ConfigPlanChecks{
				PreApply: []plancheck.PlanCheck{purpose("")}, PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}})
		})
	}
}

// TestSecretsAreNoRepair holds that another secret of backups is a change, though no state holds the secret. Hosts that
// have drifted from the settings of the others are repaired.
func TestSecretsAreNoRepair(t *testing.T) {
	w := newWorld(t)
	const recipient = `recipients = ["age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"]` + "\n"
	step := func(secret, more string, want plan.Purpose, happen func()) tftest.TestStep {
		return tftest.TestStep{Config: three(unprotected + backedUp(secret, more)), PreConfig: func() {
			w.Forget()
			if happen != nil {
				happen()
			}
		}, ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{purpose(want)}, PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}}
	}
	const identity = recipient + `rehearsal = { identity = "AGE-SECRET-KEY-1AAA" }`
	w.run(t, w.begun(t, three(unprotected+backedUp("one", identity))),
		step("two", identity, plan.PurposeChange, nil),
		step("two", recipient+`rehearsal = { identity = "AGE-SECRET-KEY-1BBB" }`, plan.PurposeChange, nil),
		step("two", recipient+`rehearsal = {}`, plan.PurposeChange, nil),
		step("two", recipient+`rehearsal = {}`, plan.PurposeRepair, func() { w.host(12).StopBackups("prod") }),
	)
}

// TestEphemeralSecrets has a secret differ between the plan and its apply, as a vault may give out a new one each time:
// the steps are the same.
func TestEphemeralSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.terminal(t)
	config := `variable "secret" {
		type      = string
		ephemeral = true
	}
	` + three(unprotected+`backup = { s3 = { endpoint = "https://s3.example.com", bucket = "b", prefix = "etcd", access_key_id = "a", secret_access_key = var.secret } }`)
	x.plan(config, "-var=secret=one")
	x.must("apply", "-no-color", "-var=secret=two", "saved.tfplan")
}

// TestRevertedUpgradeIsNoRepair holds that a repair job neither continues a failed upgrade nor undoes it.
func TestRevertedUpgradeIsNoRepair(t *testing.T) {
	for name, nth := range map[string]int{"after one member": 2, "after two": 3} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.carry(newest, older)
			w.run(t, w.begun(t, three(unprotected+`version = "3.6"`)),
				tftest.TestStep{PreConfig: func() {
					w.Inject(nodetest.Fault{Operation: api.OpRestart, Nth: nth, Err: &api.Error{Code: api.CodeFailed, Message: "its unit is masked"}})
				}, Config: three(unprotected + `version = "3.7"`), ExpectError: says("its unit is masked")},
				tftest.TestStep{PreConfig: func() { w.Heal(); w.Forget() }, Config: three(unprotected + `version = "3.6"`),
					ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{purpose(plan.PurposeChange)}}},
			)
		})
	}
}
