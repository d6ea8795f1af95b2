package acctest

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/load"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// underLoad is a cluster with a writer on it, and a sampler of its voters and their health.
type underLoad struct {
	*workspace
	setup    setup
	files    [3]string // of its writers: the authorities, the certificate and its key; empty: those of the state
	run      *load.Run
	measured load.Yardstick
}

// measured begins a test of what changes cost writers. In make test-all it runs by itself, with a load that shows short
// gaps, and by the limits of the package load. In make test it runs beside others, with light load and besideOthers: on
// a slow machine that load alone would take what the change needs.
func measured(t *testing.T) (pace load.Config, limits func(*load.Report)) {
	t.Helper()
	if testing.Short() {
		t.Parallel()
		return light, besideOthers
	}
	return load.Config{Rate: 150, Every: 50 * time.Millisecond}, nil
}

// loadedBesideOthers is loadedUnder for a test that runs beside others. Its load is light: it is there to tell what
// becomes of acknowledged writes, not for how long a writer waits. More of it takes more of the machine than all else
// that such a test does. A change of the membership takes a call to a host, which takes longer than passes between two
// reads of it.
func loadedBesideOthers(t *testing.T, l *lab.Lab, s setup) *underLoad {
	t.Helper()
	return loadedUnder(t, l, s, light)
}

// light is load that tells what becomes of acknowledged writes.
var light = load.Config{Rate: 10, Every: 200 * time.Millisecond, ListEvery: 25 * time.Millisecond}

// loadedUnder forms a cluster on some of a lab's hosts, and puts and samples at the pace of a configuration that does
// not say yet how the cluster is reached.
func loadedUnder(t *testing.T, l *lab.Lab, s setup, pace load.Config) *underLoad {
	t.Helper()
	v := &underLoad{workspace: newWorkspace(t, l, configuration(t, l, s)), setup: s}
	v.apply()
	v.load(pace)
	return v
}

// besideOthers are limits for loadedBesideOthers: a leader that dies takes an election, and on a machine that has other
// things to do whole seconds pass in which nobody answers. Members that are stopped refuse connections, and are found
// at once.
func besideOthers(r *load.Report) {
	r.Limits.Silent, r.Limits.Unread, r.Limits.Late = time.Second, 10*time.Second, 20*time.Second
}

// loading is how load reaches the cluster.
func (w *workspace) loading() load.Config {
	w.t.Helper()
	w.client() // writes the files
	file := func(name string) string { return filepath.Join(w.dir, name) }
	return load.Config{Endpoints: w.endpoints(), CACert: file("ca.crt"), Cert: file("client.crt"), Key: file("client.key")}
}

// fillWith puts so much data into the cluster.
func (w *workspace) fillWith(megabytes int) {
	w.t.Helper()
	if _, err := load.Fill(w.t.Context(), w.lab.Command, w.loading(), megabytes); err != nil {
		w.t.Fatal(err)
	}
}

// load begins to write and to sample, and measures what a bare move of the leadership costs.
func (v *underLoad) load(pace load.Config) {
	v.t.Helper()
	config := v.loading()
	if v.files[0] != "" {
		config.CACert, config.Cert, config.Key = filepath.Join(v.dir, v.files[0]), filepath.Join(v.dir, v.files[1]), filepath.Join(v.dir, v.files[2])
	}
	config.Rate, config.Every, config.ListEvery, config.Sync = pace.Rate, pace.Every, pace.ListEvery, time.Second
	run, err := load.Start(v.t.Context(), v.lab.Command, config)
	if err != nil {
		v.t.Fatal(err)
	}
	v.run = run
	if len(v.endpoints()) > 1 {
		if v.measured, err = run.MoveLeaders(v.t.Context(), 3); err != nil {
			v.t.Fatal(err)
		}
	}
}

// change applies another configuration under load, which is shown by its plan first: the steps that were done
// have to be those that the plan showed, and nothing may be left to do.
func (v *underLoad) change(name string, s setup) {
	v.t.Helper()
	v.setup = s
	v.write("main.tf", configuration(v.t, v.lab, s))
	v.repair(name)
}

// repair applies the configuration that is there.
func (v *underLoad) repair(name string) {
	v.t.Helper()
	planned := v.planned()
	v.mark(name)
	before := len(v.progressed())
	v.must("apply", "-auto-approve", "-no-color", "saved.plan")
	v.mark("after " + name)
	done := v.progressed()[before:]
	if !slices.Equal(acted(planned), acted(done)) {
		v.t.Errorf("%s: planned\n  %s\nand done\n  %s", name, strings.Join(planned, "\n  "), strings.Join(done, "\n  "))
	}
	v.mustBeSettled()
	if err := v.run.SetEndpoints(v.t.Context(), v.endpoints()...); err != nil {
		v.t.Fatal(err)
	}
}

// acted are steps without those that only wait: what is waited for may have come by itself. In make test, where other
// tests keep the machine busy, another leader may have been elected since the plan: the order of the steps, and whose
// snapshot is taken, follow from who leads.
func acted(steps []string) []string {
	if !testing.Short() {
		return slices.DeleteFunc(slices.Clone(steps), func(step string) bool { return strings.HasPrefix(step, "agree: ") })
	}
	var all []string
	for _, step := range steps {
		kind, _, _ := strings.Cut(step, " ")
		switch kind {
		case "agree:", "lead:":
		case "snapshot":
			all = append(all, kind)
		default:
			all = append(all, step)
		}
	}
	slices.Sort(all)
	return all
}

// stepOf is the step that a line of the progress log tells of: `TIME CLUSTER 3/14 roll b (192.0.2.12): ...`.
func stepOf(line string) (string, bool) {
	for i, field := range strings.Fields(line) {
		done, total, ok := strings.Cut(field, "/")
		if ok && i < 4 && strings.Trim(done+total, "0123456789") == "" {
			_, step, _ := strings.Cut(line, " "+field+" ")
			return strings.TrimSpace(step), true
		}
	}
	return "", false
}

func (v *underLoad) mark(name string) {
	v.t.Helper()
	if err := v.run.Mark(v.t.Context(), name); err != nil {
		v.t.Fatal(err)
	}
}

// planned saves a plan, which has to say that there is something to do, and returns its steps.
func (v *underLoad) planned() []string {
	v.t.Helper()
	output, code := v.workspace.run("plan", "-detailed-exitcode", "-no-color", "-out=saved.plan")
	if code != 2 {
		v.t.Fatalf("plan -detailed-exitcode: %d, want 2: there is something to do\n%s", code, output)
	}
	return v.rolloutOf("saved.plan")
}

// progressed are the steps that the progress log holds, without their numbers.
func (v *underLoad) progressed() []string {
	v.t.Helper()
	var steps []string
	for line := range strings.Lines(v.read("progress.log")) {
		if step, ok := stepOf(line); ok {
			steps = append(steps, step)
		}
	}
	return steps
}

// check ends the load and checks all that was recorded: no acknowledged write lost, one change of membership
// at a time, always a quorum of healthy voters, and, in the phases of planned changes, no failed request and
// no gap longer than twice that of a bare move of the leadership.
func (v *underLoad) check(limits func(*load.Report)) *load.Report {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	report, err := v.run.Stop(ctx)
	if err != nil {
		v.t.Fatal(err)
	}
	report.Limits.Told = true // this machine may be building something else at the same time
	if limits != nil {
		limits(report)
	}
	verdict, err := report.Verify(ctx, v.endpoints()...)
	if err := errors.Join(err, verdict.Err(), report.Err()); err != nil {
		v.t.Error(err)
	}
	v.t.Logf("%s\nbare MoveLeader: worst gap %s, median %s", report, v.measured.Worst.Length(), v.measured.Median.Length())
	return report
}

// on says on which hosts members are: "c@d" is c on host d, "a" is a on its own.
func on(members ...string) map[string]string {
	at := map[string]string{}
	for _, m := range members {
		name, host, moved := strings.Cut(m, "@")
		if !moved {
			host = name
		}
		at[name] = host
	}
	return at
}

// TestLifeUnderLoad changes a setting and replaces a member, with a writer on the cluster.
func TestLifeUnderLoad(t *testing.T) {
	pace, limits := measured(t)
	l := up(t, lab.Config{Hosts: members("a", "b", "c", "d")})
	v := loadedUnder(t, l, setup{at: on("a", "b", "c")}, pace)
	s := setup{at: on("a", "b", "c"), cluster: `settings = { snapshot_count = 5000 }`}
	v.change("settings", s)
	s.at = on("a", "b", "c@d")
	v.change("replace a healthy member", s)
	mustBeBare(t, l.Host("c"))
	v.check(limits)
}

// TestGrowAndShrinkUnderLoad takes a cluster to five members and back, with a writer on it.
func TestGrowAndShrinkUnderLoad(t *testing.T) {
	sample.Leave(t, "TestLifeUnderLoad adds and removes a member under load, and tests of the executor and the resources grow and shrink")
	pace, limits := measured(t)
	l := up(t, lab.Config{Hosts: members("a", "b", "c", "d", "e")})
	v := loadedUnder(t, l, setup{at: on("a", "b", "c")}, pace)
	v.change("grow to five", setup{at: on("a", "b", "c", "d", "e")})
	v.change("shrink to three", setup{at: on("a", "b", "c")})
	mustBeBare(t, l.Host("e"))
	v.check(limits)
}

// TestVersionsUnderLoad takes a cluster up one minor version of etcd and back, with a writer on it.
func TestVersionsUnderLoad(t *testing.T) {
	pace, limits := measured(t)
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	v := loadedUnder(t, l, setup{cluster: `version = "3.6"`}, pace)
	if version := v.version(); !strings.HasPrefix(version, "3.6.") {
		t.Fatalf("the cluster runs etcd %s", version)
	}
	v.change("upgrade", setup{cluster: `version = "3.7"`})
	if version := v.version(); !strings.HasPrefix(version, "3.7.") {
		t.Fatalf("the cluster runs etcd %s", version)
	}
	v.change("downgrade", setup{cluster: `version = "3.6"`})
	for _, h := range l.Hosts {
		if version := inHost(t, h, "etcdctl", "version"); !strings.Contains(version, "etcdctl version: 3.6.") {
			t.Errorf("%s: etcdctl says %q", h.Config.Name, version)
		}
	}
	v.check(limits)
}

// version is the version of etcd that the cluster's resource gives.
func (w *workspace) version() string {
	w.t.Helper()
	attributes, _ := w.state("etcd_cluster.prod")
	return attributes["etcd_version"].(string)
}
