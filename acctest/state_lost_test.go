package acctest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// TestStateLost loses the state of a cluster. The next create is refused, with the command that imports it,
// and that command brings everything back: no host is changed by any of it.
func TestStateLost(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	w := newWorkspace(t, l, configuration(t, l, setup{}))
	w.apply()
	first := w.clusterID()

	w.client().must(w.endpoints()[0], "put", "key", "precious")
	w.must("state", "rm", "etcd_cluster.prod")
	before := traces(t, l.Host("a"))
	refusal := w.applyFails("finished cluster prod", `id = "prod@192.0.2.11,192.0.2.12,192.0.2.13"`)
	if after := traces(t, l.Host("a")); after != before {
		t.Errorf("a create that was refused changed a host:\n%s\n%s\n%s", before, after, refusal)
	}

	// An import has no members yet that could pin host keys: the refusal says so, and that a known_hosts file vouches for them.
	id := []string{"import", "-no-color", "etcd_cluster.prod", "prod@192.0.2.11,192.0.2.12,192.0.2.13"}
	if output, code := w.run(id...); code == 0 || !strings.Contains(strings.Join(strings.Fields(output), " "), "ETCD_SSH_KNOWN_HOSTS_FILE") {
		t.Errorf("an import with pins alone: exit code %d\n%s", code, output)
	}
	known, err := l.KnownHosts()
	if err != nil {
		t.Fatal(err)
	}
	w.write("known_hosts", known)
	without := slices.Clip(w.env)
	w.env = append(without, "ETCD_SSH_KNOWN_HOSTS_FILE="+filepath.Join(w.dir, "known_hosts"))
	w.must(id...)
	if after := traces(t, l.Host("a")); after != before {
		t.Errorf("an import changed a host:\n%s\n%s", before, after)
	}
	w.apply()
	w.env = without // the pins are in the state by now
	w.mustBeSettled()
	if second := w.clusterID(); second != first {
		t.Errorf("the cluster was %s and is %s", first, second)
	}
	if after := traces(t, l.Host("a")); after != before {
		t.Errorf("an apply after an import changed a host:\n%s\n%s", before, after)
	}
	if value := w.client().must(w.endpoints()[1], "get", "--print-value-only", "key"); strings.TrimSpace(value) != "precious" {
		t.Errorf("the key reads %q", value)
	}
}
