package bootstrap_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestForm holds the plans in testdata/form: scripts of what was observed and what is desired, and the
// steps between the two, or why there are none.
func TestForm(t *testing.T) {
	files, err := filepath.Glob("testdata/form/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			golden(t, file, func(text string) string {
				var scripts []string
				for script := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
					asked, _, _ := strings.Cut(script, "\n----")
					scripts = append(scripts, asked+"\n----\n"+answer(t, asked))
				}
				return strings.Join(scripts, "\n\n") + "\n"
			})
		})
	}
}

// golden compares a file with what is made of it.
func golden(t *testing.T, file string, make func(string) string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !(*update && errors.Is(err, os.ErrNotExist)) {
		t.Fatal(err)
	}
	got := make(string(text))
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), got); diff != "" {
		t.Errorf("%s differs; go test -update writes it anew (-want +got):\n%s", file, diff)
	}
}

// answer is the plan for a script.
func answer(t *testing.T, script string) string {
	t.Helper()
	spec := membership.Spec{Name: "prod", Version: "3.7.3"}
	var observed membership.Observed
	for line := range strings.Lines(script) {
		fields := strings.Fields(line)
		switch fields[0] {
		case "observed":
			var err error
			if observed, err = parseObserved(fields[1:]); err != nil {
				t.Fatalf("%s\n%v", script, err)
			}
		case "desired":
			spec.Members = parseMembers(fields[1:])
		case "#":
		default:
			t.Fatalf("%s\nwhat is %q?", script, fields[0])
		}
	}
	steps, err := bootstrap.Form(observed, spec)
	if err != nil {
		if len(steps) > 0 {
			t.Errorf("%s\nrefused, and yet planned: %v", script, steps)
		}
		return "refused\n" + err.Error()
	}
	lines := []string{"nothing to do"}
	if len(steps) > 0 {
		lines = nil
	}
	for _, step := range steps {
		lines = append(lines, step.String())
	}
	return strings.Join(lines, "\n")
}

// order is the order of the kinds of a plan.
var order = []membership.Kind{membership.Install, membership.SetAside, membership.Stop, membership.Configure, membership.Start, membership.Agree, membership.SyncConfiguration}

// hosts draws anything that a host can be observed as, refused ones aside.
var hosts = rapid.Custom(func(t *rapid.T) membership.Host {
	host := membership.Host{
		Claim:      rapid.SampledFrom([]membership.Claim{membership.Bare, membership.Forming, membership.Stale, membership.Formed}).Draw(t, "claim"),
		Installed:  rapid.Bool().Draw(t, "installed"),
		Configured: rapid.Bool().Draw(t, "configured"),
		Synced:     rapid.Bool().Draw(t, "synced"),
		Data:       rapid.Bool().Draw(t, "data"),
		Running:    rapid.Bool().Draw(t, "running"),
	}
	if host.Running && rapid.Bool().Draw(t, "ready") {
		host.Ready = true
		host.ClusterID = rapid.SampledFrom([]string{"1", "2"}).Draw(t, "cluster")
		host.Leader = rapid.SampledFrom([]string{"a", "b", ""}).Draw(t, "leader")
	}
	return host
})

// draw draws a spec and what was observed of its members.
func draw(t *rapid.T) (membership.Observed, membership.Spec) {
	n := rapid.SampledFrom(membership.Sizes()).Draw(t, "members")
	spec := membership.Spec{Name: "prod", Version: "3.7.3"}
	observed := membership.Observed{}
	for i := range n {
		m := membership.Member{Name: string(rune('a' + i)), Address: fmt.Sprintf("192.0.2.%d", 11+i)}
		spec.Members = append(spec.Members, m)
		observed[m.Name] = hosts.Draw(t, m.Name)
	}
	return observed, spec
}

// TestFormOrder holds what every plan keeps to, whatever was observed.
func TestFormOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		observed, spec := draw(t)
		steps, err := bootstrap.Form(observed, spec)
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		seen := map[membership.Step]bool{}
		done := map[membership.Kind]map[string]bool{}
		last := 0
		for _, step := range steps {
			at := slices.Index(order, step.Kind)
			if at < last {
				t.Errorf("%s comes after a step of kind %s", step, order[last])
			}
			last = max(at, 0)
			if step.To = ""; seen[step] {
				t.Errorf("%s is there twice", step)
			}
			seen[step] = true
			if done[step.Kind] == nil {
				done[step.Kind] = map[string]bool{}
			}
			done[step.Kind][step.Member] = true
		}
		for _, m := range spec.Members {
			host := observed[m.Name]
			does := func(kind membership.Kind) bool { return done[kind][m.Name] }
			switch {
			case does(membership.Install) == host.Installed:
				t.Errorf("%s: install, where it is %t that the store is there", m.Name, host.Installed)
			case does(membership.SetAside) && host.Claim != membership.Stale:
				t.Errorf("%s: data of a host that is %s is set aside", m.Name, host.Claim)
			case host.Claim == membership.Stale && host.Data && !does(membership.SetAside):
				t.Errorf("%s: data that cannot be gone on with stays", m.Name)
			case does(membership.Configure) && host.Running && !does(membership.Stop) && !does(membership.SetAside):
				t.Errorf("%s: it is configured under a running member", m.Name)
			case does(membership.Configure) && !(does(membership.Start) && does(membership.SyncConfiguration)):
				t.Errorf("%s: it is configured and then left", m.Name)
			case !host.Running && !does(membership.Start):
				t.Errorf("%s: it stands still", m.Name)
			case !host.Synced && !does(membership.SyncConfiguration):
				t.Errorf("%s: it is never synced", m.Name)
			}
		}
		if len(done[membership.Start]) > 0 && len(done[membership.Agree]) == 0 {
			t.Errorf("members are started, and nobody waits for them: %v", steps)
		}
	})
}

// TestFormRefusesAsAWhole holds that one host that may not be touched stops the plan, and that every
// such host is named.
func TestFormRefusesAsAWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		observed, spec := draw(t)
		bad := rapid.SliceOfNDistinct(rapid.SampledFrom(spec.Members), 1, len(spec.Members), rapid.ID).Draw(t, "bad")
		for _, m := range bad {
			if rapid.Bool().Draw(t, "observed") {
				observed[m.Name] = membership.Host{Refused: "no route to host"}
			} else {
				delete(observed, m.Name)
			}
		}
		steps, err := bootstrap.Form(observed, spec)
		if err == nil || len(steps) > 0 {
			t.Fatalf("planned: %v", steps)
		}
		for _, m := range spec.Members {
			named := strings.Contains(err.Error(), m.Name+" ("+m.Address+")")
			if named != slices.Contains(bad, m) {
				t.Errorf("%s: named %t in %v", m.Name, named, err)
			}
		}
	})
}

// TestFormEnds holds that doing what is planned, batch by batch, comes to an end at which every host
// is in sync, and that nothing is planned then.
func TestFormEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		observed, spec := draw(t)
		for range len(order) + 1 {
			steps, err := bootstrap.Form(observed, spec)
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			if len(steps) == 0 {
				for _, m := range spec.Members {
					if got := printHost(observed[m.Name]); strings.HasPrefix(got, "bare") || !observed[m.Name].Synced {
						t.Errorf("at the end %s is %s", m.Name, got)
					}
				}
				return
			}
			for _, step := range membership.Batch(steps) {
				do(observed, step)
			}
		}
		t.Errorf("it does not end: %v", observed)
	})
}

// do is a step done in a world where all goes well.
func do(observed membership.Observed, step membership.Step) {
	h := observed[step.Member]
	switch step.Kind {
	case membership.Install:
		h.Installed = true
	case membership.SetAside:
		h.Data, h.Running, h.Ready = false, false, false
	case membership.Stop:
		h.Running, h.Ready = false, false
	case membership.Configure:
		h.Claim, h.Configured, h.Synced = membership.Forming, true, false
	case membership.Start:
		h.Running, h.Data = true, true
	case membership.Agree:
		for name, h := range observed {
			h.Ready, h.ClusterID, h.Leader = true, "1", "a"
			observed[name] = h
		}
		return
	case membership.SyncConfiguration:
		h.Synced = true
	}
	observed[step.Member] = h
}
