package bootstrap_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// alive are the reports of a cluster that serves and is as desired: a leads.
func alive(t *testing.T, c bootstrap.Cluster) bootstrap.Reports {
	t.Helper()
	reports := bootstrap.Reports{}
	for _, m := range c.Members {
		report := serving(t, c, m, api.PhaseFormed)
		o := report.Observation
		o.Marker.Store, o.Unit.FileState = o.Store.Selected, "enabled"
		o.Member.Version, o.Member.ClusterVersion, o.Member.StorageVersion = c.Version, "3.7.0", "3.7.0"
		o.Member.RaftIndex, o.Member.AppliedIndex, o.Member.RaftTerm = 100, 100, 2
		reports[m] = report
	}
	return reports
}

// printStatus is a member in one line: its role and state, and all that is the matter with it.
func printStatus(s membership.MemberStatus) string {
	words := []string{string(s.Role) + " " + string(s.State)}
	if s.Role == membership.Absent {
		words[0] = "absent " + string(s.State)
	}
	note := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if s.Why != "" {
		note("(%s)", s.Why)
	}
	if len(s.Outdated) > 0 {
		note("outdated: %s", strings.Join(s.Outdated, "; "))
	}
	if s.Invalid != "" {
		note("invalid: %s", s.Invalid)
	}
	for word, is := range map[string]bool{"disabled": s.Disabled, "unsynced": s.Unsynced, "unready": s.Unready, "storeless": s.Storeless} {
		if is {
			note("%s", word)
		}
	}
	return strings.Join(words, ", ")
}

// TestStatusOfEachDrift holds what each thing that can be the matter with a member's host is shown as, with the
// time of the look and without.
func TestStatusOfEachDrift(t *testing.T) {
	c := three()
	b := c.Members[1]
	type change = func(*api.Observation)
	stopped := func(o *api.Observation) {
		o.Unit.ActiveState, o.Unit.Process, o.Member = "inactive", nil, api.Member{Error: "connect: connection refused"}
	}
	guarded := func(check api.GuardCheck, why string) change {
		return func(o *api.Observation) { stopped(o); o.GuardCheck, o.Guard = check, why }
	}
	process := func(o *api.Observation) *api.Process {
		o.Unit.Process = &api.Process{Store: o.Store.Selected, Flags: slices.Clone(o.Flags)}
		return o.Unit.Process
	}
	for name, test := range map[string]struct {
		change change
		want   string
	}{
		"nothing":            {func(*api.Observation) {}, "voter healthy"},
		"nothing, processes": {func(o *api.Observation) { process(o) }, "voter healthy"},

		"stopped":            {stopped, "voter stopped, (its unit is inactive)"},
		"failed":             {func(o *api.Observation) { stopped(o); o.Unit.ActiveState = "failed" }, "voter stopped, (its unit is failed)"},
		"stopped, disk full": {func(o *api.Observation) { stopped(o); o.Data.Full = true }, "voter stopped, (its unit is inactive, and the disk of its data is full)"},
		"crashing, disk full": {func(o *api.Observation) {
			stopped(o)
			o.Unit.ActiveState, o.Unit.Looping, o.Data.Full = "activating", true, true
		}, "voter unhealthy, (its process ends each time that it is started, and the disk of its data is full)"},
		"serves, disk full": {func(o *api.Observation) { o.Data.Full = true }, "voter healthy"},
		"disabled":          {func(o *api.Observation) { o.Unit.FileState = "disabled" }, "voter healthy, disabled"},
		"masked":            {func(o *api.Observation) { o.Unit.FileState = "masked" }, "voter healthy, disabled"},
		"serves no read":    {func(o *api.Observation) { o.Member.Healthy = false }, "voter unhealthy, (it runs, and serves no linearizable read)"},
		"not ready yet":     {func(o *api.Observation) { o.Member.Ready = false }, "voter healthy, unready"},
		"starting":          {func(o *api.Observation) { stopped(o); o.Unit.ActiveState = "activating" }, "voter unhealthy, (it runs, and serves no linearizable read)"},
		"unit edited":       {func(o *api.Observation) { o.Unit.Text += "#" }, "voter healthy, outdated: its unit"},
		"unit to be reread": {func(o *api.Observation) { o.Unit.NeedReload = true }, "voter healthy, outdated: its unit"},
		"another unit ran":  {func(o *api.Observation) { process(o).UnitSHA256 = "0ther" }, "voter healthy, outdated: its unit"},

		"flag added":           {func(o *api.Observation) { o.Flags = append(o.Flags, "--max-txn-ops=1") }, "voter healthy, outdated: flags --max-txn-ops 1 -> (not set)"},
		"flag added twice":     {func(o *api.Observation) { o.Flags = append(o.Flags, "--max-txn-ops=1", "--max-txn-ops=") }, "voter healthy, outdated: flags --max-txn-ops 1 and (empty) -> (not set)"},
		"flag changed":         {func(o *api.Observation) { o.Flags[0] += "0" }, "voter healthy, outdated: flags --advertise-client-urls https://192.0.2.12:23790 -> https://192.0.2.12:2379"},
		"flags two":            {func(o *api.Observation) { o.Flags = append(o.Flags[1:], "--zzz=1") }, "voter healthy, outdated: flags --advertise-client-urls (not set) -> https://192.0.2.12:2379, --zzz 1 -> (not set)"},
		"runs by other flags":  {func(o *api.Observation) { process(o).Flags[0] += "0" }, "voter healthy, outdated: flags --advertise-client-urls https://192.0.2.12:23790 -> https://192.0.2.12:2379"},
		"was born differently": {func(o *api.Observation) { process(o).Flags = without(process(o).Flags, "--initial-cluster") }, "voter healthy"},
		"birth flags edited":   {func(o *api.Observation) { o.Flags = without(o.Flags, "--initial-cluster-state") }, "voter healthy, unsynced"},

		"another binary": {func(o *api.Observation) { o.Store.Selected, o.Store.Installed = "01d", []string{"01d"} }, "voter healthy, outdated: another store was put in place of its own"},
		"older build of ours": {func(o *api.Observation) {
			o.Store.Selected, o.Store.Installed, o.Marker.Store = "01d", []string{"01d"}, "01d"
		}, "voter healthy"},
		"another version":      {func(o *api.Observation) { o.Member.Version = "3.6.16" }, "voter healthy, outdated: etcd 3.6.16 -> 3.7.3"},
		"runs another binary":  {func(o *api.Observation) { process(o).Store = "01d" }, "voter healthy, outdated: it runs another store than its own"},
		"binary from under it": {func(o *api.Observation) { process(o).Store = "" }, "voter healthy, outdated: it runs another store than its own"},

		"marker: member":  {func(o *api.Observation) { o.Marker.MemberID = "x1" }, "voter healthy, unsynced"},
		"marker: phase":   {func(o *api.Observation) { o.Marker.Phase = api.PhaseJoining }, "voter healthy, unsynced"},
		"marker: added":   {func(o *api.Observation) { o.Marker.Added = []string{"https://192.0.2.19:2380"} }, "voter healthy, unsynced"},
		"marker: cluster": {func(o *api.Observation) { o.Marker.InitialCluster = "b=https://192.0.2.12:2380" }, "voter healthy, unsynced"},

		"data lost":       {func(o *api.Observation) { stopped(o); o.Data.HasMember = false }, "voter lost, (its data is lost)"},
		"data lost, runs": {func(o *api.Observation) { o.Data.HasMember, o.Member = false, api.Member{} }, "voter lost, (its data is lost)"},
		"data damaged": {func(o *api.Observation) {
			stopped(o)
			o.Unit.ActiveState, o.Data.Damage = "activating", "its log cannot be read: walpb: crc mismatch"
		}, "voter lost, (its data is damaged)"},
		"data damaged, serves": {func(o *api.Observation) { o.Data.Damage = "it is not" }, "voter healthy"},
		"store gone":           {func(o *api.Observation) { stopped(o); o.Store.Installed = []string{"0ther"} }, "voter stopped, (its unit is inactive), storeless"},
		"unknown store gone": {func(o *api.Observation) {
			stopped(o)
			o.Store = api.Store{Selected: "01d", Installed: []string{"0ther"}}
			o.Marker.Store = "01d"
		}, "voter stopped, (its unit is inactive), outdated: its store is gone, storeless"},
		"no directory":   {guarded(api.GuardData, "data directory /var/lib/etcd/prod is not there"), "voter lost, (its data is lost)"},
		"foreign data":   {guarded(api.GuardIdentity, "it holds the data of x"), "voter lost, (its data directory holds another member's data)"},
		"rolled back":    {guarded(api.GuardProgress, "it ends with entry 4"), "voter lost, (its data is older than it was)"},
		"unmounted":      {guarded(api.GuardMount, "/var/lib/etcd/prod is not mounted"), "voter blocked, (/var/lib/etcd/prod is not mounted)"},
		"path":           {guarded(api.GuardPath, "two directories"), "voter stopped, (its flags and its marker name different data directories)"},
		"guarded anyhow": {guarded("", "it is Sunday"), "voter blocked, (it is Sunday)"},
		"set aside":      {func(o *api.Observation) { stopped(o); o.Data.HasMember, o.Flags = false, nil }, "voter missing, (its data was moved aside)"},
		"another member": {func(o *api.Observation) { stopped(o); o.Marker.Member = "z" }, "voter foreign, (its host carries member z, which its cluster knows at this very address)"},
		"another's, aside": {func(o *api.Observation) { stopped(o); o.Marker.Member, o.Data.HasMember, o.Flags = "z", false, nil },
			"voter missing, (its data was moved aside)"},
		"someone else's": {func(o *api.Observation) { o.Marker.Owner = "them" }, "voter foreign, (its host carries member b of a cluster prod that another state manages)"},
	} {
		for _, at := range []time.Time{now, {}} {
			t.Run(fmt.Sprintf("%s/timed=%t", name, !at.IsZero()), func(t *testing.T) {
				reports := alive(t, c)
				test.change(reports[b].Observation)
				disconnectDown(reports)
				if o := reports[b].Observation; o.Unit.ActiveState == "inactive" || o.Unit.ActiveState == "failed" {
					disconnect(reports, "b1") // whoever its marker names
				}
				got := c.Status(ours.Owner, reports, at)
				if text := printStatus(*got.Member(b)); text != test.want {
					t.Errorf("got  %s\nwant %s", text, test.want)
				}
				for _, other := range []membership.Member{c.Members[0], c.Members[2]} {
					if text := printStatus(*got.Member(other)); text != "voter healthy" {
						t.Errorf("%s is shown as %s", other.Name, text)
					}
				}
			})
		}
	}
}

// without are the flags that do not begin like this.
func without(flags []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(flags), func(line string) bool { return strings.HasPrefix(line, prefix) })
}

// TestStatusOfHosts holds what hosts are shown as that say nothing of a member, which nobody is connected with.
func TestStatusOfHosts(t *testing.T) {
	c := three()
	b := c.Members[1]
	marked := func(r *bootstrap.Report) { r.Observation = nil }
	for name, test := range map[string]struct {
		change func(*bootstrap.Report)
		want   string
	}{
		"unreachable":   {func(r *bootstrap.Report) { *r = bootstrap.Report{Err: errors.New("no route to host")} }, "voter unreachable, (its host cannot be reached)"},
		"bare":          {func(r *bootstrap.Report) { *r = bare(b) }, "voter missing, (its host carries nothing of it)"},
		"store gone":    {marked, "voter store missing, (its store is gone)"},
		"marker unread": {func(r *bootstrap.Report) { marked(r); r.Contact.MarkerError = "cluster.json is cut off" }, "voter foreign, (cluster.json is cut off)"},
		"foreign etcd": {func(r *bootstrap.Report) { *r = bare(b); r.Contact.ForeignEtcd = []string{"/usr/bin/etcd"} },
			"voter foreign, (an etcd that this provider did not set up runs on it (/usr/bin/etcd)"},
		"unfit": {func(r *bootstrap.Report) { *r = bare(b); r.Contact.Systemd = false }, "voter foreign, (its PID 1 is not systemd"},
	} {
		t.Run(name, func(t *testing.T) {
			reports := alive(t, c)
			report := reports[b]
			test.change(&report)
			reports[b] = report
			disconnect(reports, "b1")
			if text := printStatus(*c.Status(ours.Owner, reports, now).Member(b)); !strings.HasPrefix(text, test.want) {
				t.Errorf("got  %s\nwant %s", text, test.want)
			}
		})
	}
}

// listed changes every member's list.
func listed(reports bootstrap.Reports, change func([]api.ListedMember) []api.ListedMember) {
	for _, report := range reports {
		if o := report.Observation; o != nil {
			o.Member.Members = change(slices.Clone(o.Member.Members))
		}
	}
}

// TestStatusOfTheList holds what a member is in etcd's list.
func TestStatusOfTheList(t *testing.T) {
	c := three()
	b := c.Members[1]
	for name, test := range map[string]struct {
		change func(bootstrap.Reports)
		want   string
	}{
		"removed": {func(s bootstrap.Reports) {
			listed(s, func(list []api.ListedMember) []api.ListedMember { return slices.Delete(list, 1, 2) })
			s[b].Observation.Unit.ActiveState, s[b].Observation.Member = "inactive", api.Member{}
		}, "absent stopped, (its unit is inactive)"},
		"learner": {func(s bootstrap.Reports) {
			listed(s, func(list []api.ListedMember) []api.ListedMember { list[1].Learner = true; return list })
			s[b].Observation.Marker.Phase = api.PhaseJoining
			s[b].Observation.Member.Healthy, s[b].Observation.Member.Learner = false, true
		}, "learner healthy"},
		"learner that was told to vote": {func(s bootstrap.Reports) {
			listed(s, func(list []api.ListedMember) []api.ListedMember { list[1].Learner = true; return list })
			s[b].Observation.Unit.ActiveState, s[b].Observation.Member = "inactive", api.Member{}
		}, "learner stopped, (its unit is inactive)"},
		"learner with the data of the voter that it was": {func(s bootstrap.Reports) {
			listed(s, func(list []api.ListedMember) []api.ListedMember { list[1].Learner = true; return list })
			s[b].Observation.Unit.ActiveState, s[b].Observation.Member, s[b].Observation.Marker.MemberID = "inactive", api.Member{}, "01d"
		}, "learner lost, (its data directory holds another member's data)"},
		"joining that never began": {func(s bootstrap.Reports) {
			listed(s, func(list []api.ListedMember) []api.ListedMember {
				list[1].Learner, list[1].Name = true, ""
				return list
			})
			o := s[b].Observation
			o.Marker.Phase, o.Data.HasMember, o.Unit.ActiveState, o.Member = api.PhaseJoining, false, "inactive", api.Member{}
		}, "learner missing, (it has not joined yet)"},
		"a list that is behind": {func(s bootstrap.Reports) {
			s[b].Observation.Member.AppliedIndex = 7
			s[b].Observation.Member.Members = s[b].Observation.Member.Members[:1]
		}, "voter healthy"},
		"another cluster's list": {func(s bootstrap.Reports) {
			s[b].Observation.Member.AppliedIndex, s[b].Observation.Member.ClusterID = 900, "c9"
			s[b].Observation.Member.Members = nil
		}, "voter healthy"},
	} {
		t.Run(name, func(t *testing.T) {
			reports := alive(t, c)
			test.change(reports)
			disconnectDown(reports)
			if reports[b].Observation.Unit.ActiveState == "inactive" {
				disconnect(reports, "b1")
			}
			// What its configuration names is looked at elsewhere.
			got := *c.Status(ours.Owner, reports, now).Member(b)
			got.Unsynced, got.Outdated, got.Invalid = false, nil, ""
			if text := printStatus(got); text != test.want {
				t.Errorf("got  %s\nwant %s", text, test.want)
			}
		})
	}
}

// TestStatusWithoutAList has nobody who could be asked: whoever was a voter still is one, and a host that nobody
// has looked at carries a new member.
func TestStatusWithoutAList(t *testing.T) {
	c := three()
	reports := alive(t, c)
	delete(reports, c.Members[2])
	for m, report := range reports {
		if m.Name == "a" {
			reports[m] = bootstrap.Report{Err: errors.New("no route to host")}
			continue
		}
		o := report.Observation
		o.Unit.ActiveState, o.Member = "inactive", api.Member{}
		o.Data.Log = &api.Log{Term: 4, Index: 812}
	}
	p := c.Status(ours.Owner, reports, now)
	var got []string
	for _, s := range p.Members {
		got = append(got, fmt.Sprintf("%s %s id=%s term=%d index=%d", s.Name, printStatus(s), s.ID, s.Term, s.Index))
	}
	want := []string{
		"a voter unreachable, (its host cannot be reached) id= term=0 index=0",
		"b voter stopped, (its unit is inactive), unsynced id=b1 term=4 index=812",
		"c absent missing, (its host carries nothing of it) id= term=0 index=0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if p.HasQuorum() || p.Leader != "" {
		t.Errorf("leader %q, quorum %t", p.Leader, p.HasQuorum())
	}
}

// TestStatusWithoutAListKnowsWhoIsNew has nobody who could be asked but one that is stopped: of the hosts that carry
// nothing, those of members that its marker names were voters, and the others wait for a change that was cut short.
func TestStatusWithoutAListKnowsWhoIsNew(t *testing.T) {
	c := three()
	reports := alive(t, c)
	a := reports[c.Members[0]].Observation
	a.Unit.ActiveState, a.Member = "inactive", api.Member{}
	b, d := c.Members[1], membership.Member{Name: "d", Address: "192.0.2.14"}
	for _, m := range []membership.Member{b, c.Members[2], d} {
		reports[m] = bare(m)
	}
	roles := func() (got []string) {
		for _, s := range c.Status(ours.Owner, reports, now).Members {
			got = append(got, fmt.Sprintf("%s %q", s.Name, s.Role))
		}
		return got
	}
	c.Members = append(slices.Clone(c.Members), d)
	if diff := cmp.Diff([]string{`a "voter"`, `b "voter"`, `c "voter"`, `d ""`}, roles()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	a.Marker.Added = []string{c.PeerURL(d)}
	if diff := cmp.Diff([]string{`a "voter"`, `b "voter"`, `c "voter"`, `d "voter"`}, roles()); diff != "" {
		t.Errorf("of one that may have been added (-want +got):\n%s", diff)
	}
}

// TestStatusOfTheWhole holds what is taken from the members that serve.
func TestStatusOfTheWhole(t *testing.T) {
	c := three()
	reports := alive(t, c)
	if p := c.Status(ours.Owner, reports, now); p.Leader != "a1" || p.ClusterVersion != "3.7" || len(p.Full) > 0 || p.Corrupt || p.Downgrade != "" || p.Lowered || len(p.Unmanaged) > 0 {
		t.Errorf("of a healthy cluster: %+v", p)
	}
	each := func(do func(*api.Member)) {
		for _, report := range reports {
			do(&report.Observation.Member)
		}
	}
	each(func(m *api.Member) { m.Alarms = []string{"NOSPACE b1", "NOSPACE gone1"} })
	reports[c.Members[2]].Observation.Member.Alarms = []string{"NOSPACE a1"}
	if p := c.Status(ours.Owner, reports, now); !slices.Equal(p.Full, []string{"a1", "b1", "gone1"}) || p.Corrupt {
		t.Errorf("NOSPACE: %+v", p)
	}
	each(func(m *api.Member) { m.Alarms = []string{"CORRUPT b1"} })
	if p := c.Status(ours.Owner, reports, now); len(p.Full) > 0 || !p.Corrupt {
		t.Errorf("CORRUPT: %+v", p)
	}
	each(func(m *api.Member) { m.Alarms, m.Downgrade, m.StorageVersion = nil, "3.6.0", "3.6.0" })
	if p := c.Status(ours.Owner, reports, now); p.Downgrade != "3.6" || !p.Lowered {
		t.Errorf("downgrade: %+v", p)
	}
	reports[c.Members[1]].Observation.Member.StorageVersion = "3.7.0"
	if p := c.Status(ours.Owner, reports, now); p.Lowered {
		t.Error("the storage of b has not come down, and all is said to have")
	}
	reports[c.Members[1]] = bootstrap.Report{Err: errors.New("no route to host")}
	if p := c.Status(ours.Owner, reports, now); p.Lowered {
		t.Error("the storage of b cannot be seen, and all is said to have come down")
	}
}

// TestStatusOfUnmanagedMembers holds whose an unmanaged member is.
func TestStatusOfUnmanagedMembers(t *testing.T) {
	c := three()
	const peerURL = "https://192.0.2.19:2380"
	for name, test := range map[string]struct {
		owner string // of the marker that says that it was added through it; empty: none does
		entry api.ListedMember
		want  membership.UnmanagedMember
	}{
		"voter":           {"", api.ListedMember{ID: "d1", Name: "d", PeerURLs: []string{peerURL}}, membership.UnmanagedMember{ID: "d1", Name: "d", PeerURL: peerURL, Role: membership.Voter}},
		"learner":         {"", api.ListedMember{ID: "d1", PeerURLs: []string{peerURL}, Learner: true}, membership.UnmanagedMember{ID: "d1", PeerURL: peerURL, Role: membership.Learner}},
		"learner of ours": {ours.Owner, api.ListedMember{ID: "d1", PeerURLs: []string{peerURL}, Learner: true}, membership.UnmanagedMember{ID: "d1", PeerURL: peerURL, Role: membership.Learner, Ours: true}},
		"added by others": {"them", api.ListedMember{ID: "d1", PeerURLs: []string{peerURL}, Learner: true}, membership.UnmanagedMember{ID: "d1", PeerURL: peerURL, Role: membership.Learner}},
	} {
		t.Run(name, func(t *testing.T) {
			reports := alive(t, c)
			listed(reports, func(list []api.ListedMember) []api.ListedMember { return append(list, test.entry) })
			if test.owner != "" {
				marker := reports[c.Members[2]].Observation.Marker
				marker.Owner, marker.Added = test.owner, []string{peerURL}
			}
			if diff := cmp.Diff([]membership.UnmanagedMember{test.want}, c.Status(ours.Owner, reports, now).Unmanaged); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestStatusForgetsWhoHasLeft holds which members are looked at that nobody wants.
func TestStatusForgetsWhoHasLeft(t *testing.T) {
	c := three()
	gone := membership.Member{Name: "d", Address: "192.0.2.14"}
	for name, test := range map[string]struct {
		report bootstrap.Report
		there  bool
	}{
		"unreachable": {bootstrap.Report{Err: errors.New("no route to host")}, false},
		"bare":        {bare(gone), true},
	} {
		reports := alive(t, c)
		reports[gone] = test.report
		if s := c.Status(ours.Owner, reports, now).Member(gone); (s != nil) != test.there || s != nil && s.Desired {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestNamesOfWhoLeaves holds what a member is called whose name another has by now, and that no configuration has
// to be written for that before both are in the list.
func TestNamesOfWhoLeaves(t *testing.T) {
	before := three()
	old := before.Members[1]
	c := cluster("192.0.2.11", "192.0.2.22", "192.0.2.13")
	heir := c.Members[1]
	reports := alive(t, before)
	for _, of := range []string{"a", "c"} {
		for _, m := range c.Members {
			if s := c.Status(ours.Owner, reports, now).Member(m); m.Name == of && s.Unsynced {
				t.Errorf("%s is to be written anew, though nobody has joined", m.Name)
			}
		}
	}
	if got, want := c.As(c.Status(ours.Owner, reports, now)).InitialCluster(), before.InitialCluster(); got != want {
		t.Errorf("before the heir votes: %s", got)
	}
	const both = "a=https://192.0.2.11:2380,b=https://192.0.2.22:2380,b.leaving=https://192.0.2.12:2380,c=https://192.0.2.13:2380"
	if got := c.As(c.Status(ours.Owner, reports, now)).With(heir).InitialCluster(); got != both {
		t.Errorf("as the heir is configured: %s", got)
	}
	listed(reports, func(list []api.ListedMember) []api.ListedMember {
		return append(list, api.ListedMember{ID: "b2", Name: "b", PeerURLs: []string{c.PeerURL(heir)}})
	})
	p := c.Status(ours.Owner, reports, now)
	if got := c.As(p).InitialCluster(); got != both {
		t.Errorf("once both vote: %s", got)
	}
	if s := p.Member(c.Members[0]); !s.Unsynced {
		t.Error("a's configuration does not name the heir, and is said to")
	}
	if s := p.Member(old); s == nil || s.Desired || s.Role != membership.Voter || s.ID != "b1" {
		t.Errorf("who leaves: %+v", s)
	}
	if s := p.Member(heir); s == nil || !s.Desired || s.Role != membership.Voter || s.ID != "b2" {
		t.Errorf("the heir: %+v", s)
	}
}
