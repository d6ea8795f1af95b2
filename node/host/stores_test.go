package host

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

func TestWhichStoresThereAre(t *testing.T) {
	m, _ := newMachine(t)
	installStore(t, m, storeB)
	// What an upload that was cut short leaves is no store, and neither is one that cannot be run.
	writeFile(t, m, api.StoreRoot+"/.incoming.x1/store", "half")
	writeFile(t, m, api.InstalledStore(hex.EncodeToString(make([]byte, 32))), "not executable")
	if err := m.link(api.SelectedStore("main"), storeB); err != nil {
		t.Fatal(err)
	}
	got, err := m.store("main")
	want := api.Store{EtcdVersion: "3.7.3", SHA256: storeA, Selected: storeB, Installed: []string{storeA, storeB}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// TestAStoreThatIsNotInstalledKnowsItself holds that one that runs from elsewhere, as in a checkout,
// has the name that it would be installed by.
func TestAStoreThatIsNotInstalledKnowsItself(t *testing.T) {
	m, _ := newMachine(t)
	writeFile(t, m, "/home/me/store", "binary")
	m.Binary = m.path("/home/me/store")
	sum := sha256.Sum256([]byte("binary"))
	if got, err := m.hash(); err != nil || got != hex.EncodeToString(sum[:]) {
		t.Errorf("its hash is %s, %v", got, err)
	}
}

func TestAMachineWithoutStores(t *testing.T) {
	m, _ := newMachine(t)
	if err := os.RemoveAll(m.path(api.StoreRoot)); err != nil {
		t.Fatal(err)
	}
	if installed, err := m.installed(); err != nil || len(installed) > 0 {
		t.Errorf("there are %q, %v", installed, err)
	}
	if err := m.deselect("main"); err != nil {
		t.Error(err)
	}
}
