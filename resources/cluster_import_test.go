package resources

import (
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

func TestImport(t *testing.T) {
	w := newWorld(t)
	config := three(unprotected + `
		client_port = 12379
		data_dir    = "/data/prod"
		settings    = { snapshot_count = 5000, heartbeat_interval = "200ms" }`)
	w.run(t, tftest.TestStep{Config: config},
		tftest.TestStep{
			PreConfig: w.Forget, ResourceName: cluster, ImportState: true,
			// One host tells of all.
			ImportStateId: "prod@192.0.2.12", ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name",
			// What no host knows: the wishes that are Terraform's own, and the last rollout.
			ImportStateVerifyIgnore: []string{"deletion_protection", "rollout"},
		},
		tftest.TestStep{Config: config, Check: w.untouched})
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
		refused("prod@192.0.2.13", "unreachable over SSH", func() { w.Host("192.0.2.13").Unreachable = errGone }),
		tftest.TestStep{PreConfig: func() {
			w.Host("192.0.2.13").Unreachable = nil
			id := w.Host("192.0.2.11").Marker("prod").ClusterID
			mark(func(m *api.Marker) { m.Phase, m.ClusterID = api.PhaseFormed, id })()
		}, Config: three(unprotected)})
}
