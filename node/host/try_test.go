package host

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestTryFlags holds that etcd itself says what flags it does not take, and that nothing comes of the trial.
func TestTryFlags(t *testing.T) {
	m, _ := newMachine(t)
	if err := os.MkdirAll(m.path(api.StoreRoot+"/"+storeB), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(os.Args[0], m.path(api.InstalledStore(storeB))); err != nil {
		t.Fatal(err)
	}
	t.Setenv(asEtcd, "1")
	t.Setenv("ETCD_QUOTA_BACKEND_BYTES", "nonsense")
	writeFile(t, m, "/var/lib/etcd/neighbour", "")
	before := tree(t, m, "/var")
	dir := "--data-dir=" + m.path(dataDir)
	for name, test := range map[string]struct {
		flags []string
		says  string // empty: they are taken
	}{
		"good":                 {[]string{dir, "--name=a", "--feature-gates=CompactHashCheck=true", "--quota-backend-bytes=8589934592"}, ""},
		"an unknown flag":      {[]string{dir, "--enable-v2=true"}, "enable-v2"},
		"a value that is none": {[]string{dir, "--heartbeat-interval=often"}, `"often"`},
		"an unknown gate":      {[]string{dir, "--feature-gates=Magic=true"}, "Magic"},
		"no flag at all":       {[]string{dir, "nonsense"}, "nonsense"},
	} {
		err := m.Try(t.Context(), api.TryRequest{Store: storeB, Flags: test.flags})
		if test.says == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if test.says != "" {
			mustRefuse(t, err, test.says)
		}
	}
	if diff := cmp.Diff(before, tree(t, m, "/var")); diff != "" {
		t.Errorf("the trial has left something:\n%s", diff)
	}
	for _, store := range []string{"", "../../bin", "c3c3"} {
		mustRefuse(t, m.Try(t.Context(), api.TryRequest{Store: store}), "not installed")
	}
}
