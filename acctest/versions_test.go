package acctest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestCarriedVersionsAreListed holds that the reference of etcd_cluster, which `make docs` writes, and the changelog
// name the versions of etcd that this source is built with.
func TestCarriedVersionsAreListed(t *testing.T) {
	older, err := filepath.Glob("../node/store/etcd-*.mod")
	if err != nil || len(older) == 0 {
		t.Fatalf("no older version: %v", err)
	}
	slices.Reverse(older)
	server := regexp.MustCompile(`go\.etcd\.io/etcd/server/v3 v(\S+)`)
	var versions []string
	for _, file := range append([]string{"../go.mod"}, older...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := server.FindSubmatch(text)
		if found == nil {
			t.Fatalf("%s requires no etcd", file)
		}
		versions = append(versions, string(found[1]))
	}
	for file, want := range map[string]string{
		"../docs/resources/cluster.md": "This release of the provider carries `" + strings.Join(versions, "`, `") + "`.",
		"../CHANGELOG.md":              "The stores: etcd " + strings.Join(versions, " and ") + ",",
	} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s does not say %q: make docs, or write it (%v)", file, want, err)
		}
	}
}
