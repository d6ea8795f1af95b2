package resources_test

import (
	"fmt"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

// TestBackupsAreListed holds that the list has the backups at every destination, from whichever hosts see them, and
// that hosts and destinations that cannot be asked are named.
func TestBackupsAreListed(t *testing.T) {
	const backups = "data.etcd_backups.prod"
	w := newWorld(t)
	config := three(unprotected + backedUp("one", `directory = "/srv/b"`))
	reading := func(owner string) string {
		return config + fmt.Sprintf(`
			data "etcd_backups" "prod" {
				cluster = { name = etcd_cluster.prod.name, owner = %s, members = etcd_cluster.prod.members }
			}`, owner)
	}
	const ours = "etcd_cluster.prod.owner"
	is := func(pairs ...string) tftest.TestCheckFunc {
		var checks []tftest.TestCheckFunc
		for i := 0; i < len(pairs); i += 2 {
			checks = append(checks, tftest.TestCheckResourceAttr(backups, pairs[i], pairs[i+1]))
		}
		return tftest.ComposeAggregateTestCheckFunc(checks...)
	}
	w.run(t, w.begun(t, config),
		tftest.TestStep{Config: reading(ours), Check: tftest.ComposeAggregateTestCheckFunc(is("backups.#", "0", "problems.#", "0"), tftest.TestCheckResourceAttrSet(backups, "problems.#"))},
		tftest.TestStep{PreConfig: func() { w.runNow(t, 12, false); w.runNow(t, 12, true); w.Forget() }, Config: reading(ours), Check: tftest.ComposeAggregateTestCheckFunc(
			is("backups.#", "2", "backups.0.destination", "directory", "backups.0.seen_by.#", "1", "backups.0.seen_by.0", "b", "backups.0.member", "b", "backups.0.revision", "2",
				"backups.1.destination", "s3", "backups.1.seen_by.#", "3", "backups.1.encrypted", "false", "problems.#", "0"),
			tftest.TestCheckResourceAttrSet(backups, "backups.1.verified_at"), tftest.TestCheckNoResourceAttr(backups, "backups.0.verified_at"),
			tftest.TestCheckResourceAttrPair(backups, "backups.0.cluster_id", cluster, "cluster_id"),
			w.untouched,
		)},
		tftest.TestStep{ // A host that is about to join has none, which is no problem.
			Config: strings.Replace(reading(ours), "members = etcd_cluster.prod.members", `members = { a = { address = "192.0.2.11" }, d = { address = "192.0.2.14" } }`, 1),
			Check:  is("backups.#", "1", "backups.0.seen_by.#", "1", "problems.#", "0")},
		tftest.TestStep{PreConfig: w.host(12).PowerCut, Config: reading(ours), ExpectNonEmptyPlan: true, Check: tftest.ComposeAggregateTestCheckFunc(
			is("backups.#", "1", "backups.0.destination", "s3", "backups.0.seen_by.#", "2", "problems.#", "1"),
			tftest.TestMatchResourceAttr(backups, "problems.0", says("b (192.0.2.12): its host cannot be reached")),
		)},
		tftest.TestStep{Config: reading(`"another"`), ExpectError: says("that another state manages")},
		tftest.TestStep{PreConfig: w.host(12).PowerOn, Config: three(unprotected)},
		tftest.TestStep{Config: strings.Replace(reading(ours), config, three(unprotected), 1), ExpectError: says("its host makes no backups")},
	)
	if n := w.progress.hurried; n > 0 {
		t.Errorf("%d lists of backups were to be there by a time, whatever comes of them", n)
	}
}
