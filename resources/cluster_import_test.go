package resources_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

func TestImport(t *testing.T) {
	w := newWorld(t)
	config := three(unprotected + `
		client_port = 12379
		data_dir    = "/data/prod"
		settings    = { snapshot_count = 5000, heartbeat_interval = "200ms" }
		extra_flags = { max-wals = "7", feature-gates = "StopGRPCServiceOnDefrag=true" }
		extra_server_names = ["etcd.example.com", "192.0.2.100"]
		peer_common_name   = "prod peers"
		firewall           = { client_cidrs = ["10.0.1.0/24", "2001:db8:1::/64"] }`)
	w.run(t, tftest.TestStep{Config: config},
		tftest.TestStep{
			PreConfig: w.Forget, ResourceName: cluster, ImportState: true,
			// One host tells of all.
			ImportStateId: "prod@192.0.2.12", ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name",
			// Hosts do not know the attributes that concern only Terraform, and what the last apply has done.
			ImportStateVerifyIgnore: []string{"deletion_protection", "rollout", "last_rollout", "planned_change"},
		},
		tftest.TestStep{Config: config, Check: w.untouched})
}

// TestImportAfterChanges holds that hosts describe their cluster as it is now.
func TestImportAfterChanges(t *testing.T) {
	w := newWorld(t)
	config := of("a b c@21 d e", unprotected+"client_port = 12379")
	w.run(t, w.begun(t, three(unprotected)),
		w.asPlanned(t, config, nil),
		tftest.TestStep{
			PreConfig: w.Forget, ResourceName: cluster, ImportState: true,
			ImportStateId: "prod@192.0.2.21", ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name",
			ImportStateVerifyIgnore: []string{"deletion_protection", "rollout", "last_rollout", "planned_change"},
		},
		tftest.TestStep{Config: config, Check: w.untouched},
		tftest.TestStep{
			PreConfig: func() { w.host(14).StopUnit("prod") }, ResourceName: cluster, ImportState: true,
			ImportStateId: "prod@192.0.2.12,192.0.2.14", ImportStateCheck: func(states []*terraform.InstanceState) error {
				if health := states[0].Attributes["members.d.health"]; health != "stopped" || states[0].Attributes["status"] != "degraded" {
					return fmt.Errorf("%v", states[0].Attributes)
				}
				return nil
			},
		},
		tftest.TestStep{Config: config})
}

func TestImportRefuses(t *testing.T) {
	w := newWorld(t)
	refused := func(id, want string, before func()) tftest.TestStep {
		return tftest.TestStep{PreConfig: before, ResourceName: cluster, ImportState: true, ImportStateId: id, ExpectError: says(want)}
	}
	mark := func(edit func(*api.Marker)) func() { return func() { w.Host("192.0.2.13").EditMarker("prod", edit) } }
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		refused("prod", "it has to be NAME@host[,host...]", nil),
		refused("prod@192.0.2.11:22", `"192.0.2.11:22" in "prod@192.0.2.11:22" is no host`, nil),
		refused("events@192.0.2.11", "it carries no cluster called events", nil),
		refused("prod@192.0.2.11,192.0.2.13", "is another cluster (ID 66)", mark(func(m *api.Marker) { m.ClusterID = "66" })),
		refused("prod@192.0.2.13", "the create of prod is not finished there", mark(func(m *api.Marker) { m.Phase = api.PhaseForming })),
		refused("prod@192.0.2.13", `names member c with peer URL "c.example.com", which is none`, mark(func(m *api.Marker) { m.Phase, m.InitialCluster = api.PhaseFormed, "c=c.example.com" })),
		refused("prod@192.0.2.13", "unreachable over SSH", func() { w.Host("192.0.2.13").Unreachable = errGone }),
		refused("prod@192.0.2.11,192.0.2.13", "An import reads no members from the configuration: their own host_key", nil),
		refused("prod@192.0.2.13", "ETCD_SSH_KNOWN_HOSTS_FILE (ssh.known_hosts_file)", func() { w.Host("192.0.2.13").Unreachable = errGone }),
		tftest.TestStep{PreConfig: func() {
			w.Host("192.0.2.13").Unreachable = nil
			was := w.Host("192.0.2.11").Marker("prod")
			mark(func(m *api.Marker) {
				m.Phase, m.ClusterID, m.InitialCluster = api.PhaseFormed, was.ClusterID, was.InitialCluster
			})()
		}, Config: three(unprotected)})
}

// keepAuthorities writes the authorities of the state into another workspace, as an operator keeps them.
func (x *terminal) keepAuthorities(t *testing.T, at *terminal) {
	t.Helper()
	x.rewrite(func(kind string, instance map[string]any) {
		if kind != "etcd_pki" {
			return
		}
		authorities := instance["attributes"].(map[string]any)["authority"].(map[string]any)
		for _, role := range []string{"peer", "client"} {
			of := authorities[role].(map[string]any)
			at.write(role+"-ca.crt", of["certificate"].(string))
			at.write(role+"-ca.key", of["private_key"].(string))
			if err := os.Chmod(filepath.Join(at.dir, role+"-ca.key"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestRevokedAfterALostState holds what the guide on a lost state says of revoked certificates: an import brings none,
// so that the apply after it keeps the hosts' list only if `revoked` has the same serial numbers as before.
func TestRevokedAfterALostState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.terminal(t)
	before.write("main.tf", revoking("3af10c5e", "a1"))
	before.must("init", "-no-color")
	before.must("apply", "-no-color", "-auto-approve")
	w.Forget()
	for _, test := range []struct {
		serials []string
		changes bool
	}{{[]string{"a1", "3af10c5e"}, false}, {nil, true}} {
		after := w.terminal(t)
		before.keepAuthorities(t, after)
		after.write("main.tf", revoking(test.serials...)+fmt.Sprintf(`
			import {
				to = etcd_pki.prod
				id = "prod@%s"
			}
			import {
				to = etcd_cluster.prod
				id = "prod@192.0.2.11"
			}`, after.dir))
		after.must("init", "-no-color")
		after.must("apply", "-no-color", "-auto-approve")
		if err := w.untouched(nil); (err != nil) != test.changes {
			t.Errorf("with %q in revoked after the import: %v", test.serials, err)
		}
		if err := w.revoked(1, test.serials...)(nil); err != nil {
			t.Error(err)
		}
	}
}

// TestImportGeneratesTheConfiguration imports a cluster whose configuration is lost too: Terraform writes the
// configuration from what the hosts tell, except for the authorities, which no attribute can be read from.
func TestImportGeneratesTheConfiguration(t *testing.T) {
	sample.Leave(t, "TestImport compares all attributes that an import brings with those that were configured")
	t.Parallel()
	w := newWorld(t)
	before, after := w.terminal(t), w.terminal(t)
	before.write("main.tf", three(unprotected+`
		client_port = 12379
		settings    = { snapshot_count = 5000 }
		extra_flags = { max-wals = "7" }`))
	before.must("init", "-no-color")
	before.must("apply", "-no-color", "-auto-approve")
	before.keepAuthorities(t, after)

	w.Forget()
	after.write("main.tf", fmt.Sprintf(`
		resource "etcd_pki" "prod" { name = "prod" }
		import {
			to = etcd_pki.prod
			id = "prod@%s"
		}
		import {
			to = etcd_cluster.prod
			id = "prod@192.0.2.11"
		}`, after.dir))
	after.must("init", "-no-color")
	// terraform writes the file and refuses it: pki is null in it.
	after.run("plan", "-no-color", "-generate-config-out=generated.tf")
	generated := string(mustRead(t, filepath.Join(after.dir, "generated.tf")))
	written := regexp.MustCompile(`(?m)^  pki += .*$`).ReplaceAllString(generated, "  pki = etcd_pki.prod.authority")
	if written == generated {
		t.Fatal("there is no pki to fill in")
	}
	after.write("generated.tf", written)
	after.must("apply", "-no-color", "-auto-approve")
	if err := w.untouched(nil); err != nil {
		t.Error(err)
	}
	if text, code := after.run("plan", "-no-color", "-detailed-exitcode"); code != 0 {
		t.Errorf("after its apply the plan ends with %d:\n%s", code, text)
	}
}
