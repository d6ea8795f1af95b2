package acctest

import (
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/load"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestReplaceInAnIdleCluster replaces a member of a cluster that has more entries in its log than etcd lets a
// member be behind, and into which nobody writes any more. etcd alone leaves such a new member, three times of four,
// to refuse its own name for ever; so it is done twice.
func TestReplaceInAnIdleCluster(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c", "d")})
	w := newWorkspace(t, l, configuration(t, l, setup{at: on("a", "b", "c")}))
	w.apply()
	config := w.loading()
	config.Modes, config.Count, config.InFlight = []load.Mode{load.Balanced}, 8000, 256
	run, err := load.Start(t.Context(), l.Command, config)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	report, err := run.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range sample.EveryNth(t, 2, []map[string]string{on("a", "b", "c@d"), on("a", "b", "c")}) {
		w.write("main.tf", configuration(t, l, setup{at: at}))
		w.apply()
		w.mustBeSettled()
	}
	verdict, err := report.Verify(t.Context(), w.endpoints()...)
	if err != nil {
		t.Fatal(err)
	}
	if err := verdict.Err(); err != nil {
		t.Error(err)
	}
}
