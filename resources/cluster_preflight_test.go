package resources_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// errOtherKey is the SSH error for a host that shows another key than the pinned one.
var errOtherKey = fmt.Errorf("connect to root@192.0.2.21:22: %w: it shows SHA256:abc", ssh.ErrHostKeyMismatch)

// unfitHosts are faults of a host that is new to a cluster, and what a plan says of each.
var unfitHosts = map[string]struct {
	happen func(*nodetest.Host)
	says   string
}{
	"a mistyped address":       {func(h *nodetest.Host) { h.Unreachable = errGone }, "unreachable over SSH: no route to host; nothing is changed until that is fixed"},
	"another host key":         {func(h *nodetest.Host) { h.Unreachable = errOtherKey }, "host key mismatch: it shows SHA256:abc"},
	"too little for the store": {func(h *nodetest.Host) { h.FreeBytes = 40 << 20; h.DataBytes = 1 << 30 }, "40 MiB are free for /usr/local/lib/etcd-store and 128 are needed"},
	"too little for the data":  {func(h *nodetest.Host) { h.DataBytes = 20 << 20 }, "20 MiB are free for the data in /var/lib/etcd/prod and 160 are needed"},
	"data of somebody else":    {func(h *nodetest.Host) { h.Litter(dir) }, "data directory /var/lib/etcd/prod is not empty, and nothing says whose data that is"},
	"an etcd of somebody else": {func(h *nodetest.Host) { h.ForeignEtcd = []string{"/usr/bin/etcd"} }, "an etcd that this provider did not set up runs on it (/usr/bin/etcd)"},
	"a port that is taken": {func(h *nodetest.Host) {
		h.Listeners = []api.Listener{{Port: 2380, Address: "0.0.0.0", PID: 7, Process: "nginx"}}
	}, "something else listens on port 2380 (nginx, process 7): stop it, or choose other ports"},
	"a kernel that is old":   {func(h *nodetest.Host) { h.Kernel = "3.10.0-1160.el7.x86_64" }, "its kernel is 3.10.0-1160.el7.x86_64; 4.15 or newer is needed"},
	"a machine of no store":  {func(h *nodetest.Host) { h.Machine = "riscv64" }, "it is a riscv64 machine"},
	"one session at a time":  {func(h *nodetest.Host) { h.OneSession = true }, "its sshd opens one session at a time on a connection (MaxSessions 1)"},
	"a clock that is behind": {func(h *nodetest.Host) { h.Skew = -10 * time.Minute }, "its clock is at least 9m59s behind this machine's, and no certificate is signed then"},
	"a disk of a network": {func(h *nodetest.Host) {
		h.Inventory.Filesystems = []api.Filesystem{{Path: dir, Source: "192.0.2.9:/etcd", Type: "nfs4"}}
	}, "/var/lib/etcd/prod lies on 192.0.2.9:/etcd (nfs4), and etcd does not support file systems of a network"},
	"commands that are gone": {func(h *nodetest.Host) { h.Missing = []string{"useradd"} }, "commands are missing on it: useradd"},
}

// asNew makes the host as it was at first.
func asNew(h *nodetest.Host) {
	h.Unreachable, h.FreeBytes, h.DataBytes, h.ForeignEtcd, h.Listeners = nil, 20<<30, 0, nil, nil
	h.Kernel, h.Machine, h.Missing, h.OneSession, h.Skew = "6.1.0-28-amd64", "x86_64", nil, false, 0
	h.Inventory = nodetest.DefaultInventory(h.Address)
	h.Wipe()
}

// TestWhatHostsTryIsRefusedOrSaid has hosts find out in the apply that their disks are slow, or that they do not reach
// each other. With a limit in the configuration, a slow disk is refused and nothing is written to the hosts; without
// one, the apply warns.
func TestWhatHostsTryIsRefusedOrSaid(t *testing.T) {
	w := newWorld(t)
	limited := func(limit string) string {
		return three(fmt.Sprintf("%spreflight = { max_fsync_p99 = %q }\n", line, limit))
	}
	w.host(11).SyncP99, w.host(13).Blocks = 30*time.Millisecond, []string{"192.0.2.12"}
	unmarked := func() {
		for _, last := range []int{11, 12, 13} {
			if marker := w.host(last).Marker("prod"); marker != nil {
				t.Errorf("192.0.2.%d has a marker: %+v", last, marker)
			}
		}
	}
	w.run(t,
		tftest.TestStep{Config: limited("often"), ExpectError: says("a duration above zero")},
		tftest.TestStep{Config: limited("0s"), ExpectError: says("a duration above zero")},
		tftest.TestStep{Config: limited("10ms"), ExpectError: saysApply("a (192.0.2.11): appends to the disk of /var/lib/etcd/prod take", "30ms (p99)", `preflight.waive = ["fsync_latency"]`, "c cannot reach b:2380 (timeout)", "Fix what stands in the way, and apply again.")},
		tftest.TestStep{PreConfig: func() { unmarked(); w.host(13).Blocks = nil; w.warnedInApply() }, Config: limited("1s"), Check: w.allWell},
		tftest.TestStep{
			PreConfig: func() {
				if warned := w.warnedInApply(); strings.Contains(warned, "appends") {
					t.Errorf("a disk within the user's limit is warned of: %s", warned)
				}
				w.host(21).SyncP99 = 30 * time.Millisecond
			},
			Config: of("a b c@21", line), Check: w.allWell,
		},
		tftest.TestStep{
			PreConfig: func() {
				if warned := w.warnedInApply(); !strings.Contains(warned, "Members may be slow on some of the new hosts") || !strings.Contains(warned, "c (192.0.2.21): appends") {
					t.Errorf("nobody is warned of a slow disk: %s", warned)
				}
			},
			Config: of("a b c@21", line), PlanOnly: true,
		},
	)
}

// TestApplyWarnsWhereThePlanDidNotLook holds that preflight_at_plan = false hides no warning of a create or a change.
func TestApplyWarnsWhereThePlanDidNotLook(t *testing.T) {
	w := newWorld(t)
	off := line + "preflight_at_plan = false\n"
	w.host(11).Inventory.CPUs, w.host(21).Inventory.SwapBytes = 1, 1<<30
	w.host(12).Inventory.HostKeys = w.host(13).Inventory.HostKeys
	mustWarn := func(says ...string) func() {
		return func() {
			warned := w.warnedInApply()
			for _, text := range says {
				if !strings.Contains(warned, text) {
					t.Errorf("nobody is warned of %q: %s", text, warned)
				}
			}
		}
	}
	w.run(t,
		tftest.TestStep{Config: three(off), Check: w.allWell},
		tftest.TestStep{PreConfig: mustWarn("a (192.0.2.11): it has one CPU", "b (192.0.2.12), c (192.0.2.13): different machines have the same SSH host key (ssh-ed25519)"), Config: of("a b c@21", off), Check: w.allWell},
		tftest.TestStep{PreConfig: mustWarn("c (192.0.2.21): it has swap"), Config: of("a b c@21", off), PlanOnly: true},
	)
}

// saysApply matches what an apply says, in this order.
func saysApply(texts ...string) *regexp.Regexp {
	return regexp.MustCompile(strings.Replace(saysInOrder(texts...).String(), "(pre-apply plan|validate)", "apply", 1))
}

// TestPlanRefusesHostsForWhatItSees has plans that bring an unfit host to a cluster. No host is touched, and the same
// plan is carried out once the host is repaired.
func TestPlanRefusesHostsForWhatItSees(t *testing.T) {
	for name, test := range map[string]struct {
		from, to string // no from: a create
		host     int
	}{
		"a create":                        {to: of("a b c@21", line), host: 21},
		"a create, an address not known":  {to: unknown(of("a b c@21", line), 11), host: 21},
		"a replacement":                   {from: three(line), to: of("a b c@21", line), host: 21},
		"members that are new":            {from: three(line), to: of("a b c d@21 e", line), host: 21},
		"a replacement, and new settings": {from: three(line), to: of("a b c@21", settled), host: 21},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var steps []tftest.TestStep
			if test.from != "" {
				steps = append(steps, w.begun(t, test.from))
			}
			was := ""
			mend := func() {
				if changes := w.changes(); len(changes) > 0 {
					t.Errorf("%s: hosts were changed: %v", was, changes)
				}
				asNew(w.host(test.host))
			}
			for name, unfit := range unfitHosts {
				steps = append(steps, tftest.TestStep{
					PreConfig: func() {
						mend()
						was = name
						unfit.happen(w.host(test.host))
					},
					Config: test.to, ExpectError: saysInOrder(fmt.Sprintf("(192.0.2.%d): ", test.host), unfit.says, "No host was changed"),
				})
			}
			w.run(t, append(steps, tftest.TestStep{PreConfig: mend, Config: test.to, Check: w.allWell})...)
		})
	}
}

// TestPlanRefusesAnotherWayThatLeadsElsewhere changes the route to a member to one that leads elsewhere.
func TestPlanRefusesAnotherWayThatLeadsElsewhere(t *testing.T) {
	w := newWorld(t)
	w.doors = map[string]int{"192.0.2.12": 22}
	way := func(member, says string) string {
		return strings.Replace(of("a b c", line), member+" = {", member+" = { "+says+", ", 1)
	}
	b := `ssh_port = 22`
	through := func(config string) string { return strings.Replace(config, "b = {", "b = { "+b+", ", 1) }
	swapped := strings.Replace(strings.Replace(through(of("a b c", line)), "a = {", `a = { ssh_address = "192.0.2.13", `, 1), "c = {", `c = { ssh_address = "192.0.2.11", `, 1)
	w.run(t,
		w.begun(t, way("b", b)),
		tftest.TestStep{Config: way("b", `ssh_port = 2222`), ExpectError: saysInOrder("b (192.0.2.12): unreachable over SSH")},
		tftest.TestStep{Config: swapped, ExpectError: saysInOrder("a (192.0.2.11): its address leads to the machine of member c", "c (192.0.2.13): its address leads to the machine of member a")},
		tftest.TestStep{ // the sshd moves, and the route with it
			PreConfig: func() { w.doors["192.0.2.12"] = 2222 },
			Config:    way("b", `ssh_port = 2222`), Check: w.untouched,
		},
	)
}

// TestPlanSaysWhereItDidNotLook has hosts that a plan cannot observe.
func TestPlanSaysWhereItDidNotLook(t *testing.T) {
	w := newWorld(t)
	warns := func(says string) []plancheck.PlanCheck {
		return []plancheck.PlanCheck{planned(func(after, unknown map[string]any) error {
			if warned := w.warned(); !strings.Contains(warned, says) {
				return fmt.Errorf("the plan does not say %q:\n%s", says, warned)
			}
			return nil
		})}
	}
	off := line + "preflight_at_plan = false\n"
	w.run(t,
		tftest.TestStep{
			Config:           unknownAddress(three(line)),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: warns("a: its address is known after apply")},
		},
		tftest.TestStep{
			Config:           unknown(of("a b c@21", line), 21),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: warns("c: its address is known after apply")},
		},
		tftest.TestStep{
			PreConfig: func() { asNew(w.host(13)); w.host(13).Unreachable = errGone; w.Forget() },
			Config:    of("a b c@13", off), ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: warns("c: preflight_at_plan is off")},
			ExpectError: saysApply("c (192.0.2.13): its host cannot be reached (unreachable over SSH: no route to host); fix that, or give the member another address", "No step was done, and no host was changed.", "Fix what stands in the way, and apply again."),
		},
		tftest.TestStep{PreConfig: func() { asNew(w.host(13)) }, Config: of("a b c@13", off), Check: w.allWell},
		tftest.TestStep{Config: of("a b c@13", line), Check: w.allWell},
	)
}

// TestHostThatIsUnfitAfterThePlan holds that the apply refuses such a host, changes no host and leaves the state as it
// was: a plan does not promise what it has observed.
func TestHostThatIsUnfitAfterThePlan(t *testing.T) {
	w := newWorld(t)
	w.run(t,
		w.begun(t, three(line)),
		tftest.TestStep{
			PreConfig: func() { w.Forget() }, Config: of("a b c@21", line),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(after, _ map[string]any) error {
				if len(texts(after["rollout"])) == 0 {
					return fmt.Errorf("the plan has no steps")
				}
				w.host(21).FreeBytes = 40 << 20
				return nil
			})}},
			ExpectError: says("c (192.0.2.21): 40 MiB are free"),
		},
		tftest.TestStep{Config: three(line), PlanOnly: true},
		tftest.TestStep{PreConfig: func() { asNew(w.host(21)) }, Config: of("a b c@21", line), Check: w.allWell},
	)
}

// TestPreflightIsWaivedByName has hosts with findings: errors refuse the plan, or the apply if the plan has not
// observed the hosts, all at once; warnings are shown. Findings that the configuration waives by name do neither.
func TestPreflightIsWaivedByName(t *testing.T) {
	w := newWorld(t)
	w.host(12).Inventory.Filesystems = []api.Filesystem{{Path: dir, Source: "192.0.2.9:/etcd", Type: "nfs4"}}
	w.host(13).Inventory.Filesystems = []api.Filesystem{{Path: dir, Source: "tmpfs", Type: "tmpfs"}}
	w.host(11).Inventory.SwapBytes, w.host(11).Inventory.CPUs = 1<<30, 1
	waive := func(ids string) string { return fmt.Sprintf("%spreflight = { waive = [%s] }\n", line, ids) }
	both := []string{"b (192.0.2.12): /var/lib/etcd/prod lies on 192.0.2.9:/etcd (nfs4)", `preflight.waive = ["network_filesystem"]`, "c (192.0.2.13): /var/lib/etcd/prod lies on tmpfs"}
	only := func(is string, not ...string) func() {
		return func() {
			warned := w.warned()
			if !strings.Contains(warned, is) {
				t.Errorf("nobody is warned of %q: %s", is, warned)
			}
			for _, text := range not {
				if strings.Contains(warned, text) {
					t.Errorf("there is a warning of %q: %s", text, warned)
				}
			}
			if changes := w.changes(); len(changes) > 0 {
				t.Errorf("hosts were changed: %v", changes)
			}
		}
	}
	w.run(t,
		tftest.TestStep{Config: three(waive(`"rotten"`)), ExpectError: says(`value must be one of`)},
		// No plan shows mere information, so there is nothing to waive.
		tftest.TestStep{Config: three(waive(`"huge_pages"`)), ExpectError: says(`value must be one of`)},
		tftest.TestStep{Config: three(line), ExpectError: saysInOrder(append(both[:3:3], "No host was changed")...)},
		tftest.TestStep{Config: three(line + "preflight_at_plan = false\n"), ExpectError: saysApply(both...)},
		tftest.TestStep{Config: three(waive(`"network_filesystem"`)), ExpectError: saysInOrder("c (192.0.2.13): /var/lib/etcd/prod lies on tmpfs")},
		tftest.TestStep{PreConfig: func() { w.warned() }, Config: three(waive(`"network_filesystem", "memory_filesystem", "swap"`)), PlanOnly: true, ExpectNonEmptyPlan: true},
		tftest.TestStep{PreConfig: only("a (192.0.2.11): it has one CPU", "swap", "nfs4"), Config: three(waive(`"network_filesystem", "memory_filesystem", "swap", "cpus"`)), Check: w.allWell},
		tftest.TestStep{PreConfig: func() {
			if warned := w.warned(); strings.Contains(warned, "it has one CPU") {
				t.Errorf("what is waived is warned of: %s", warned)
			}
			w.Forget()
		}, Config: three(waive(`"swap"`)), Check: w.untouched},
		// A host that had a member is not new, and the plan that shows it is carried out.
		tftest.TestStep{PreConfig: w.host(13).Wipe, Config: three(waive(`"swap"`)), Check: w.allWell},
	)
}

// keepApplied keeps the warnings of an apply.
func (w *world) keepApplied(resp *tfprotov6.ApplyResourceChangeResponse) {
	w.progress.Lock()
	defer w.progress.Unlock()
	if resp == nil {
		return
	}
	w.progress.applied = append(w.progress.applied, textsOf(resp.Diagnostics, tfprotov6.DiagnosticSeverityWarning)...)
}

// warnedInApply drains the warnings of applies.
func (w *world) warnedInApply() string { return w.drain(&w.progress.applied) }
