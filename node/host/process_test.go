package host

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestProcessOfAMember holds that an observation tells what a member was started by, whatever it is
// configured with by now, and that a restart makes it run by that.
func TestProcessOfAMember(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	before := f.await(t, api.AwaitRequest{}).Unit
	p := before.Process
	if p == nil || p.Store != "" || !slices.Contains(p.Flags, "--name=a") || len(p.Flags) != len(f.config.Flags) {
		t.Fatalf("the process reads %+v", p)
	}
	unit, ca := f.sum(api.UnitFile("main")), f.sum(api.ClientCAFile("main"))
	if len(unit) != 64 || p.UnitSHA256 != unit || p.ClientCA != ca || p.PeerCA != ca {
		t.Errorf("the process was started by %+v, and the files are %s and %s", p, unit, ca)
	}

	f.config.Unit += "Nice=5\n"
	f.config.Flags = append(f.config.Flags, "--max-txn-ops=256")
	f.apply(t)
	if p := f.await(t, api.AwaitRequest{}).Unit.Process; p.UnitSHA256 != unit || slices.Contains(p.Flags, "--max-txn-ops=256") {
		t.Errorf("configured anew it reads %+v", p)
	}
	mustRefuse(t, f.Restart(t.Context(), "main", api.RestartRequest{Owner: "another"}), "another Terraform object")
	if err := f.Restart(t.Context(), "main", api.RestartRequest{Owner: fleetOwner}); err != nil {
		t.Fatal(err)
	}
	after := f.await(t, api.AwaitRequest{Members: 1}).Unit
	if after.MainPID == before.MainPID || after.Process.UnitSHA256 == unit || !slices.Contains(after.Process.Flags, "--max-txn-ops=256") {
		t.Errorf("restarted it reads %+v", after.Process)
	}
}

// TestProcessThatIsNoMember holds that nothing is made up about a process that is not etcd, and that only an
// installed store is taken for one.
func TestProcessThatIsNoMember(t *testing.T) {
	m, _ := newMachine(t)
	link := func(pid, exe string, arguments ...string) {
		writeFile(t, m, "/proc/"+pid+"/cmdline", strings.Join(arguments, "\x00")+"\x00")
		if err := os.Symlink(exe, m.path("/proc/"+pid+"/exe")); err != nil {
			t.Fatal(err)
		}
	}
	installed := m.path(api.InstalledStore(storeA))
	link("7", installed, installed, "run", "main")
	link("8", installed, "etcd", "--name=a")
	link("9", installed+" (deleted)", "etcd", "--name=a")
	link("10", "/opt/"+storeA+"/store", "etcd")
	for _, pid := range []int{0, 6, 7} {
		if p := m.process(pid); p != nil {
			t.Errorf("process %d reads %+v", pid, p)
		}
	}
	// The kernel names a binary by where it lies: the directory of stores may be reached through a link.
	linked := &Machine{Root: t.TempDir()}
	writeFile(t, linked, "/var/stores/"+storeA+"/store", "")
	writeFile(t, linked, api.StoreRoot+"/x", "")
	if err := errors.Join(os.RemoveAll(linked.path(api.StoreRoot)), os.Symlink(linked.path("/var/stores"), linked.path(api.StoreRoot))); err != nil {
		t.Fatal(err)
	}
	if linked.stores().Of(linked.path("/var/stores/"+storeA+"/store")) != storeA || linked.stores().Of(linked.path("/var/stores/"+storeB+"/store")) != "" {
		t.Error("a store behind a link is taken for none, or one that is not there for one")
	}
	for pid, want := range map[int]string{8: storeA, 9: "", 10: ""} {
		if p := m.process(pid); p == nil || p.Store != want {
			t.Errorf("process %d reads %+v, want store %q", pid, p, want)
		}
	}
	if p := m.process(8); !slices.Equal(p.Flags, []string{"--name=a"}) || p.UnitSHA256 != "" {
		t.Errorf("process 8 reads %+v", p)
	}
}
