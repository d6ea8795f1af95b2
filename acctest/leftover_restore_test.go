package acctest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestImportWithALeftoverRestore loses the state of a cluster that was restored, while the configuration still has the
// restore. The import's plan says that nothing is restored, and shows no step; the apply keeps what was written since.
func TestImportWithALeftoverRestore(t *testing.T) {
	sample.Leave(t, "TestRestoreThatAStateDoesNotKnowOf in resources, on the fake")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	v := savedCluster(t, l, setup{})
	v.restoring(nil, "")
	v.apply()
	v.mustBeRestored()
	restored := v.clusterID()
	v.client().must(v.endpoints()[0], "put", "since", "precious")
	before := traces(t, l.Host("a"))

	v.must("state", "rm", "etcd_cluster.prod")
	known, err := l.KnownHosts()
	if err != nil {
		t.Fatal(err)
	}
	v.write("known_hosts", known)
	without := slices.Clip(v.env)
	v.env = append(without, "ETCD_SSH_KNOWN_HOSTS_FILE="+filepath.Join(v.dir, "known_hosts"))
	v.must("import", "-no-color", "etcd_cluster.prod", "prod@192.0.2.11,192.0.2.12,192.0.2.13")
	output, code := v.planCode()
	if flat := flatten(output); code != 2 || !strings.Contains(flat, "Nothing is restored") || strings.Contains(flat, "restore a (192.0.2.11)") {
		t.Errorf("the plan is to say that nothing is restored: %d\n%s", code, output)
	}
	v.apply()
	v.env = without
	v.mustBeSettled()
	if id := v.clusterID(); id != restored {
		t.Errorf("the cluster was %s and is %s", restored, id)
	}
	if after := traces(t, l.Host("a")); after != before {
		t.Errorf("an import with a restore that was done changed a host:\n%s\n%s", before, after)
	}
	if value := v.client().must(v.endpoints()[1], "get", "--print-value-only", "since"); strings.TrimSpace(value) != "precious" {
		t.Errorf("the key reads %q", value)
	}
}
