package resources_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

// hostsModule makes hosts whose routes are known once they are made.
const hostsModule = `
	variable "last" { type = number }
	resource "terraform_data" "host" { input = { address = "192.0.2.${var.last}" } }
	output "host" { value = terraform_data.host.output }
`

// TestObjectsThatAreNotKnown takes members, and the other objects of a cluster, from modules, variables and functions,
// whose values are unknown when the configuration is validated or before they are applied. Validate and plan accept
// them, and the apply forms the cluster. The plan of an existing cluster shows what it gives up, or is refused.
func TestObjectsThatAreNotKnown(t *testing.T) {
	t.Parallel()
	cluster := func(members, more string) string {
		return fmt.Sprintf("resource \"etcd_pki\" \"prod\" { name = \"prod\" }\nresource \"etcd_cluster\" \"prod\" {\n name = \"prod\"\n pki = etcd_pki.prod.authority\n deletion_protection = false\n members = %s\n %s\n}\n", members, more)
	}
	known := `{ a = { address = "192.0.2.11" }, b = { address = "192.0.2.12" }, c = { address = "192.0.2.13" } }`
	yaml := `variable "yaml" {
		type = string
		default = "{a: {address: 192.0.2.11}, b: {address: 192.0.2.12}, c: {address: 192.0.2.13}}"
	}
	resource "terraform_data" "yaml" { input = var.yaml }
	`
	later := func(name, value string) string {
		return fmt.Sprintf("resource \"terraform_data\" %q { input = jsonencode(%s) }\n", name, value)
	}
	shapes := []struct {
		name, config string
		serving      string // words by which a plan of a cluster that is there is refused; empty: it is not
	}{
		{"a merge of variables", `variable "hosts" {
			type    = map(any)
			default = { a = { address = "192.0.2.11" }, b = { address = "192.0.2.12" }, c = { address = "192.0.2.13" } }
		}` + "\n" + cluster(`{ for n in ["a", "b", "c"] : n => merge(var.hosts[n], { zone = "r1" }) }`, ""), ""},
		{"a document", yaml + cluster(`{ for n in ["a", "b", "c"] : n => yamldecode(var.yaml)[n] }`, ""), ""},
		{"a document of another resource", yaml + cluster(`{ for n in ["a", "b", "c"] : n => yamldecode(terraform_data.yaml.output)[n] }`, ""), "takes more members off their hosts than the cluster can spare"},
		{"a whole document of another resource", yaml + cluster(`yamldecode(terraform_data.yaml.output)`, ""), "have to be known"},
		{"a template", yaml + cluster(`{ for n in ["a", "b", "c"] : n => jsondecode(templatefile("${path.module}/host.json", { address = yamldecode(terraform_data.yaml.output)[n].address })) }`, ""), "takes more members off their hosts than the cluster can spare"},
		{"a try", yaml + cluster(`{ for n in ["a", "b", "c"] : n => try(yamldecode(terraform_data.yaml.output)[n], { address = "192.0.2.99" }) }`, ""), "takes more members off their hosts than the cluster can spare"},
		{"settings", later("settings", "{ snapshot_count = 5000 }") + cluster(known, "settings = jsondecode(terraform_data.settings.output)"), ""},
		{"a backup", later("backup", `{ directory = "/srv/backups", schedule = "daily", keep = { last = 3 } }`) + cluster(known, "backup = jsondecode(terraform_data.backup.output)"), ""},
		{"the storage of a backup", later("s3", `{ endpoint = "https://192.0.2.1", bucket = "backups", prefix = "prod", region = "eu" }`) + cluster(known, "backup = {\n schedule = \"daily\"\n keep = { last = 3 }\n s3 = merge(jsondecode(terraform_data.s3.output), { access_key_id = \"a\", secret_access_key = \"b\" })\n}"), ""},
		{"a recovery", later("recovery", `{ cluster_id = "1f", member = "a", abandons = ["b", "c"] }`) + cluster(known, "recover_from = jsondecode(terraform_data.recovery.output)"), "says what a running cluster gives up"},
		{"who is abandoned by a recovery", later("names", `["b", "c"]`) + cluster(known, "recover_from = {\n cluster_id = \"1f\"\n member = \"a\"\n abandons = jsondecode(terraform_data.names.output)\n loses = jsondecode(terraform_data.names.output)\n}"), "says what a running cluster gives up"},
		{"a restore", later("restore", `{ url = "file:///srv/backup.db" }`) + cluster(known, "restore = jsondecode(terraform_data.restore.output)"), "says what a running cluster gives up"},
		{"time limits", later("limits", `{ create = "30m", update = "1h" }`) + cluster(known, "timeouts = jsondecode(terraform_data.limits.output)"), ""},
		{"who is left behind", later("names", `["c"]`) + cluster(known, "abandon_on_destroy = jsondecode(terraform_data.names.output)"), ""},
		{"what beside a cluster names it", later("of", `{ name = "prod", owner = "nobody", members = { a = { address = "192.0.2.11" } } }`) + cluster(known, "") + `
			locals { of = jsondecode(terraform_data.of.output) }
			resource "etcd_snapshot" "whole" {
				cluster = local.of
				file    = "unknown-whole.db"
			}
			resource "etcd_snapshot" "merged" {
				cluster  = merge(local.of, { name = "prod" })
				s3       = local.of.s3
				triggers = local.of.triggers
			}
			resource "etcd_snapshot" "each" {
				for_each = toset(["a"])
				cluster  = { name = "prod", owner = local.of.owner, members = { (each.key) = local.of.members[each.key] } }
				file     = local.of.file
			}
			data "etcd_backups" "whole" { cluster = local.of }
			data "etcd_backups" "merged" { cluster = merge(local.of, { name = "prod" }) }
			data "etcd_backups" "each" {
				for_each = toset(["a"])
				cluster  = { name = "prod", owner = local.of.owner, members = { (each.key) = local.of.members[each.key] } }
			}
			data "etcd_host" "each" {
				for_each = toset(["a"])
				address  = local.of.members[each.key].address
				paths    = local.of.paths
			}
			resource "etcd_certificate" "whole" {
				pki              = local.of.pki
				common_name      = local.of.name
				private_key_file = local.of.file
			}
			`, ""},
		{"a module", `
			module "host" {
				for_each = { a = 11, b = 12, c = 13 }
				source   = "./host"
				last     = each.value
			}
			` + cluster(`{ a = module.host["a"].host, b = module.host["b"].host, c = merge(module.host["c"].host, { zone = "r3" }) }`, ""), ""},
	}
	w := newWorld(t)
	x := w.terminal(t)
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(x.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("host/main.tf", hostsModule)
	write("host.json", `{ "address": "${address}" }`)
	for _, shape := range shapes {
		write("main.tf", shape.config)
		if text, code := x.run("init", "-no-color"); code != 0 {
			t.Fatalf("%s: init: %s", shape.name, text)
		}
		for _, command := range [][]string{{"validate", "-no-color"}, {"plan", "-no-color", "-out=saved.tfplan"}} {
			if text, code := x.run(command...); code != 0 {
				t.Errorf("%s: %s: %s", shape.name, command[0], text)
			}
		}
	}
	x.must("apply", "saved.tfplan")
	for _, shape := range shapes {
		write("main.tf", shape.config)
		text, code := x.run("plan", "-no-color")
		if (code != 0) != (shape.serving != "") || !strings.Contains(strings.Join(strings.Fields(text), " "), shape.serving) {
			t.Errorf("%s, of a cluster that is there: %d, want %q\n%s", shape.name, code, shape.serving, text)
		}
	}
	if shown := x.plan(shapes[len(shapes)-1].config); !strings.HasPrefix(shown, "exit code 0") {
		t.Errorf("after the apply: %s", shown)
	}

	write("main.tf", cluster(`{ a = { zone = "r1" }, b = { address = "192.0.2.12" }, c = { address = "192.0.2.13" } }`, ""))
	if text, code := x.run("validate", "-no-color"); code == 0 || !strings.Contains(text, `members["a"].address is required`) {
		t.Errorf("a member without an address: %d\n%s", code, text)
	}
}

// TestNothingIsRequiredBelowElements holds that all objects in maps, lists and sets can be unknown: the framework takes
// required attributes of unknown objects for missing.
func TestNothingIsRequiredBelowElements(t *testing.T) {
	t.Parallel()
	schemas, err := providerserver.NewProtocol6(newWorld(t))().GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	elements := 0
	var walk func(where string, attributes []*tfprotov6.SchemaAttribute, below bool)
	walk = func(where string, attributes []*tfprotov6.SchemaAttribute, below bool) {
		for _, a := range attributes {
			at := where + "." + a.Name
			if below && a.Required {
				t.Errorf("%s is required of an element: give the object the validator required", at)
			}
			if nested := a.NestedType; nested != nil {
				in := nested.Nesting != tfprotov6.SchemaObjectNestingModeSingle
				if in {
					elements++
				}
				walk(at, nested.Attributes, in)
			}
		}
	}
	for _, kind := range []map[string]*tfprotov6.Schema{schemas.ResourceSchemas, schemas.DataSourceSchemas, schemas.EphemeralResourceSchemas} {
		for name, schema := range kind {
			walk(name, schema.Block.Attributes, false)
		}
	}
	if elements == 0 {
		t.Error("there are no elements: that shows nothing")
	}
}

// unknownAddress makes the address of member a known only at apply.
func unknownAddress(config string) string {
	return strings.Replace(config, `"192.0.2.11"`, `terraform_data.host.output`, 1) + "\nresource \"terraform_data\" \"host\" { input = \"192.0.2.11\" }\n"
}
