package acctest

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// TestStateLost loses the state of a cluster, and then all of the state. The next create is refused, with the command
// that imports it, and imports bring everything back, as the guide says: no host is changed by any of it.
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

	// An import has no members yet that could pin host keys: the refusal says so, and that a known_hosts file vouches
	// for them.
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
	w.loseAll(t, first, without)
	if after := traces(t, l.Host("a")); after != before {
		t.Errorf("a state that was lost as a whole and brought back changed a host:\n%s\n%s", before, after)
	}
	if value := w.client().must(w.endpoints()[1], "get", "--print-value-only", "key"); strings.TrimSpace(value) != "precious" {
		t.Errorf("the key reads %q", value)
	}
}

// importBlock finds the import blocks in what Terraform prints.
var importBlock = regexp.MustCompile(`import \{\s+to = \S+\s+id = "[^"]+"\s+\}`)

// loseAll loses the state with the authorities in it, of which their PEM files were kept. The import blocks that the
// refusal prints bring authorities and cluster back, and the client keeps its key. without is the environment in which
// nothing vouches for the hosts but their pins.
func (w *workspace) loseAll(t *testing.T, clusterID string, without []string) {
	t.Helper()
	authorities, _ := w.state("etcd_pki.prod")
	if err := os.Mkdir(filepath.Join(w.dir, "authorities"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"peer", "client"} {
		pair := authorities["authority"].(map[string]any)[role].(map[string]any)
		w.write("authorities/"+role+"-ca.crt", pair["certificate"].(string))
		w.write("authorities/"+role+"-ca.key", pair["private_key"].(string))
	}
	key := w.read("client.key")
	for _, name := range []string{"terraform.tfstate", "terraform.tfstate.backup"} {
		if err := os.Remove(filepath.Join(w.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	printed := w.applyFails("finished cluster prod", "to = etcd_pki.prod", "to = etcd_cluster.prod", "state-lost.md")
	blocks := importBlock.FindAllString(printed, -1)
	if len(blocks) != 2 {
		t.Fatalf("two import blocks are to be printed, not %q:\n%s", blocks, printed)
	}

	w.write("imports.tf", strings.Join(blocks, "\n"))
	w.env = append(slices.Clip(without), "ETCD_SSH_KNOWN_HOSTS_FILE="+filepath.Join(w.dir, "known_hosts"))
	if output := w.apply(); !strings.Contains(output, "2 imported, 1 added, 1 changed, 0 destroyed") {
		t.Errorf("authorities and cluster are to be imported, and the certificate made anew:\n%s", output)
	}
	if err := os.Remove(filepath.Join(w.dir, "imports.tf")); err != nil {
		t.Fatal(err)
	}
	w.env = without
	w.mustBeSettled()
	if back, _ := w.state("etcd_pki.prod"); !reflect.DeepEqual(back, authorities) {
		t.Errorf("the authorities are not what they were: %v", slices.Sorted(maps.Keys(back)))
	}
	if id := w.clusterID(); id != clusterID {
		t.Errorf("the cluster was %s and is %s", clusterID, id)
	}
	if w.read("client.key") != key {
		t.Error("the client was given another key")
	}
}
