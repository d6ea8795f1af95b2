package resources_test

import (
	"fmt"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

func TestImport(t *testing.T) {
	w := newWorld(t)
	config := three(unprotected + `
		client_port = 12379
		data_dir    = "/data/prod"
		settings    = { snapshot_count = 5000, heartbeat_interval = "200ms" }
		extra_flags = { max-wals = "7", feature-gates = "StopGRPCServiceOnDefrag=true" }
		extra_server_names = ["etcd.example.com", "192.0.2.100"]`)
	w.run(t, tftest.TestStep{Config: config},
		tftest.TestStep{
			PreConfig: w.Forget, ResourceName: cluster, ImportState: true,
			// One host tells of all.
			ImportStateId: "prod@192.0.2.12", ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name",
			// What no host knows: the configurations that are Terraform's own, and what the last apply has done.
			ImportStateVerifyIgnore: []string{"deletion_protection", "rollout", "last_rollout", "planned_change"},
		},
		tftest.TestStep{Config: config, Check: w.untouched})
}

// TestImportAfterChanges: hosts tell of their cluster as it is by now.
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
