package acctest

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/load"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestAuthoritiesAreRotated rotates both authorities of a cluster by its etcd_pki, there and back and to the end, with
// writers that hold certificates of the old and of the new authority. Neither fails a put that it tries once more, and
// at the end the old ones open nothing.
func TestAuthoritiesAreRotated(t *testing.T) {
	t.Parallel()
	areRotated(t, "a", "b", "c")
}

// TestAuthoritiesOfFiveAreRotated does the same with five members: two restarts of each are not felt either.
func TestAuthoritiesOfFiveAreRotated(t *testing.T) {
	sample.Leave(t, "TestAuthoritiesAreRotated does the same with three members")
	t.Parallel()
	areRotated(t, "a", "b", "c", "d", "e")
}

func areRotated(t *testing.T, names ...string) {
	l := up(t, lab.Config{Hosts: members(names...)})
	with := func(rotation string) string {
		return withRotation(t, configuration(t, l, setup{at: on(names...)}), rotation)
	}
	v := &underLoad{workspace: newWorkspace(t, l, with(`peers = "1", clients = "1"`))}
	v.apply()
	var longest time.Duration
	checked := func(v *underLoad, phases ...string) {
		t.Helper()
		report := v.check(besideOthers)
		for _, phase := range report.Phases() {
			if !slices.Contains(phases, phase.Name) {
				continue // there is nothing but what writers and moves of the leadership do by themselves
			}
			longest = max(longest, phase.By[load.Balanced].Gap.Length())
			for _, put := range failedTwice(report.Puts, phase) {
				t.Errorf("%s: a put failed, and the next one too: %+v", phase.Name, put)
			}
		}
	}
	rotate := func(phase string, writers ...*underLoad) {
		t.Helper()
		for _, w := range writers {
			w.mark(phase)
		}
		v.write("main.tf", with(fmt.Sprintf(`peers = "2", clients = "2", phase = %q`, phase)))
		v.apply()
		for _, w := range writers {
			w.mark("after " + phase)
		}
		v.mustBeSettled()
	}

	first := v.writer("first")
	first.load(light)
	rotate("trust", first)
	checked(first, "trust")

	old := v.writer("first") // which trusts both now
	old.load(light)
	rotate("sign", old)
	next := v.writer("next")
	next.load(light)
	rotate("trust", old, next)
	rotate("sign", old, next)
	checked(old, "trust", "sign")

	next.mark("retire")
	rotate("retire", next)
	checked(next, "trust", "sign", "retire")
	t.Logf("the longest time without an acknowledged put in any phase: %s", longest)

	endpoints := strings.Join(v.endpoints(), ",")
	file := func(name string) string { return filepath.Join(v.dir, name) }
	if output, err := v.client().run(endpoints, "get", "/none"); err != nil {
		t.Errorf("a client is refused whose certificate is of the new authority: %v\n%s", err, output)
	}
	gone := etcdctl{v.workspace, []string{"--cacert=" + file("ca.crt"), "--cert=" + file("first.crt"), "--key=" + file("first.key")}}
	if output, err := gone.run(endpoints, "get", "/none"); err == nil {
		t.Errorf("a client is served whose certificate is of the authority that is gone: %s", output)
	}
}

// withRotation is a configuration whose etcd_pki has a rotation.
func withRotation(t *testing.T, main, rotation string) string {
	t.Helper()
	const pki = "resource \"etcd_pki\" \"prod\" {\n  name = \"prod\"\n"
	if !strings.Contains(main, pki) {
		t.Fatal("the authorities are made elsewhere")
	}
	return strings.Replace(main, pki, pki+"  rotation = { "+rotation+" }\n", 1)
}

// writer is one with the certificates that are there by now: as an application that has just read its files.
func (w *workspace) writer(name string) *underLoad {
	w.t.Helper()
	client := w.loading()
	for file, from := range map[string]string{"-ca.crt": client.CACert, ".crt": client.Cert, ".key": client.Key} {
		w.write(name+file, w.read(filepath.Base(from)))
	}
	return &underLoad{workspace: w, files: [3]string{name + "-ca.crt", name + ".crt", name + ".key"}}
}

// failedTwice are the puts of a client with all endpoints that failed in a phase, and after which the next one that it
// began failed too.
func failedTwice(puts []load.Put, phase load.Phase) (failed []load.Put) {
	begun := slices.DeleteFunc(slices.Clone(puts), func(p load.Put) bool { return p.Mode != load.Balanced })
	slices.SortFunc(begun, func(a, b load.Put) int { return int(a.Start - b.Start) })
	for _, p := range begun {
		i := slices.IndexFunc(begun, func(q load.Put) bool { return q.Start >= p.End })
		if phase.From <= p.End && p.End < phase.To && p.Outcome != load.Acknowledged && i >= 0 && begun[i].Outcome != load.Acknowledged {
			failed = append(failed, p)
		}
	}
	return failed
}
