package bootstrap_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestAssessHost holds what each thing that can be learned of a host makes of it.
func TestAssessHost(t *testing.T) {
	c := three()
	a := c.Members[0]
	type change = func(*bootstrap.Report)
	for name, test := range map[string]struct {
		base   bootstrap.Report
		change change
		want   string // as printHost has it; of a refusal, its beginning
	}{
		"bare":                  {bare(a), func(r *bootstrap.Report) {}, "bare"},
		"bare, store installed": {bare(a), func(r *bootstrap.Report) { r.Contact.Installed = []string{"5707e"} }, "bare,installed"},
		"bare, other store":     {bare(a), func(r *bootstrap.Report) { r.Contact.Installed = []string{"01d"} }, "bare"},
		"bare, observed": {bare(a), func(r *bootstrap.Report) {
			r.Contact.Installed, r.Observation = []string{"5707e"}, &api.Observation{}
		}, "bare,installed"},

		"unreachable":    {bare(a), func(r *bootstrap.Report) { r.Err = errors.New("connect: no route to host") }, "refused: connect: no route to host"},
		"marker unread":  {bare(a), func(r *bootstrap.Report) { r.Contact.MarkerError = "its cluster.json cannot be read" }, "refused: its cluster.json cannot be read"},
		"foreign etcd":   {bare(a), func(r *bootstrap.Report) { r.Contact.ForeignEtcd = []string{"/usr/bin/etcd"} }, "refused: an etcd that this provider did not set up runs on it (/usr/bin/etcd)"},
		"foreign data":   {bare(a), func(r *bootstrap.Report) { r.Contact.DataNotEmpty = true }, "refused: data directory /var/lib/etcd/prod is not empty"},
		"ports taken":    {bare(a), func(r *bootstrap.Report) { r.Contact.Listening = []int{2379, 2381} }, "refused: something else listens on port 2379, 2381"},
		"data came late": {bare(a), func(r *bootstrap.Report) { r.Observation = &api.Observation{Data: api.Data{Exists: true}} }, "refused: data directory /var/lib/etcd/prod is not empty"},
		"port came late": {bare(a), func(r *bootstrap.Report) {
			r.Observation = &api.Observation{Data: api.Data{Empty: true}, Listeners: []api.Listener{{Port: 2380, Process: "nginx", PID: 7}}}
		}, "refused: something else listens on port 2380 (nginx, process 7)"},

		"wrong machine": {bare(a), func(r *bootstrap.Report) { r.Contact.Machine = "riscv64" }, "refused: it is a riscv64 machine; stores are built for x86_64 and aarch64"},
		"other machine": {bare(a), func(r *bootstrap.Report) { r.Contact.Machine = "aarch64" }, "bare"},
		"no systemd":    {bare(a), func(r *bootstrap.Report) { r.Contact.Systemd = false }, "refused: its PID 1 is not systemd"},
		"old kernel":    {bare(a), func(r *bootstrap.Report) { r.Contact.Kernel = "3.10.0-1160.el7.x86_64" }, "refused: its kernel is 3.10.0-1160.el7.x86_64; 4.15 or newer is needed"},
		"no commands":   {bare(a), func(r *bootstrap.Report) { r.Contact.Missing = []string{"gzip", "useradd"} }, "refused: commands are missing on it: gzip, useradd; install them"},
		"read-only":     {bare(a), func(r *bootstrap.Report) { r.Contact.ReadOnly = true }, "refused: /usr/local/lib/etcd-store lies on a file system that is mounted read-only"},
		"configuration read-only": {bare(a), func(r *bootstrap.Report) { r.Contact.Unwritable = []string{"/etc", "/data"} },
			"refused: /etc, /data cannot be written to: a member's configuration, its unit and its data go there"},
		"noexec":        {bare(a), func(r *bootstrap.Report) { r.Contact.NoExec = true }, "refused: /usr/local/lib/etcd-store lies on a file system that is mounted noexec"},
		"no namespaces": {bare(a), func(r *bootstrap.Report) { r.Contact.NoUserNamespaces = true }, "refused: it allows no user namespaces (user.max_user_namespaces is 0)"},
		"one session":   {bare(a), func(r *bootstrap.Report) { r.Contact.OneSession = true }, "refused: its sshd opens one session at a time on a connection (MaxSessions 1)"},
		"a port of root's": {bare(a), func(r *bootstrap.Report) { r.Contact.FirstPort = 2381 },
			"refused: client_port is 2379, and members run as the user etcd, who may bind the ports from 2381 to 65535 alone on it"},
		"a port that is just allowed": {bare(a), func(r *bootstrap.Report) { r.Contact.FirstPort = 2379 }, "bare"},
		"full":                        {bare(a), func(r *bootstrap.Report) { r.Contact.FreeBytes = 127 << 20 }, "refused: 127 MiB are free for /usr/local/lib/etcd-store and 128 are needed"},
		"just enough":                 {bare(a), func(r *bootstrap.Report) { r.Contact.FreeBytes = 128 << 20 }, "bare"},
		"full, and the store is there": {bare(a), func(r *bootstrap.Report) {
			r.Contact.FreeBytes, r.Contact.ReadOnly, r.Contact.Installed = 0, true, []string{"5707e"}
		}, "bare,installed"},

		"forming":         {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) {}, "forming,installed,configured,data,running,ready/c1*a1"},
		"formed":          {serving(t, c, a, api.PhaseFormed), func(r *bootstrap.Report) {}, "formed,installed,configured,synced,data,running,ready/c1*a1"},
		"half handed":     {serving(t, c, a, api.PhaseFormed), func(r *bootstrap.Report) { r.Observation.Marker.Phase = api.PhaseForming }, "forming,installed,configured,synced,data,running,ready/c1*a1"},
		"by contact only": {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) { r.Observation, r.Contact.Installed = nil, nil }, "forming,data"},
		"activating": {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) {
			r.Observation.Unit.ActiveState, r.Observation.Member = "activating", api.Member{}
		}, "forming,installed,configured,data,running"},
		"failed":        {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) { r.Observation.Unit.ActiveState = "failed" }, "forming,installed,configured,data"},
		"not healthy":   {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) { r.Observation.Member.Healthy = false }, "forming,installed,configured,data,running"},
		"not ready":     {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) { r.Observation.Member.Ready = false }, "forming,installed,configured,data,running"},
		"knows too few": {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) { r.Observation.Member.Members = r.Observation.Member.Members[:2] }, "forming,installed,configured,data,running"},
		"knows an unmanaged member": {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) {
			r.Observation.Member.Members = append(r.Observation.Member.Members, api.ListedMember{ID: "d1", Name: "d"})
		}, "forming,installed,configured,data,running"},
		"knows another":  {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) { r.Observation.Member.Members[1].Name = "x" }, "forming,installed,configured,data,running"},
		"port taken now": {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) { r.Observation.Listeners[1].Ours = false }, "refused: something else listens on port 2380 (etcd, process 812)"},

		"other unit":         {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) { r.Observation.Unit.Text += "#" }, "forming,installed,data,running,ready/c1*a1"},
		"other flags":        {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) { r.Observation.Flags = r.Observation.Flags[1:] }, "forming,installed,data,running,ready/c1*a1"},
		"other store chosen": {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) { r.Observation.Store.Selected = "01d" }, "forming,installed,data,running,ready/c1*a1"},
		"no directory":       {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) { r.Observation.Data = api.Data{} }, "forming,installed,running,ready/c1*a1"},
		"settled, no data": {serving(t, c, a, api.PhaseFormed), func(r *bootstrap.Report) {
			r.Observation.Marker.Phase, r.Observation.Data = api.PhaseForming, api.Data{Exists: true, Empty: true}
		}, "forming,installed,synced,running,ready/c1*a1"},

		"formed by others":       {serving(t, c, a, api.PhaseFormed), func(r *bootstrap.Report) { r.Observation.Marker.Owner = "them" }, "refused: it runs member a of a finished cluster prod already, and no state here holds it: import that cluster, or destroy it from the state that holds it"},
		"formed, other members":  {serving(t, c, a, api.PhaseFormed), func(r *bootstrap.Report) { r.Observation.Marker.InitialCluster = "a=https://192.0.2.11:2380" }, "refused: it runs member a of a finished cluster prod already"},
		"forming, other token":   {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) { r.Observation.Marker.Token = "prod-0" }, "stale,installed,configured,data,running,ready/c1*a1"},
		"forming, other members": {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) { r.Observation.Marker.InitialCluster = "a=https://192.0.2.11:2380" }, "stale,installed,configured,data,running,ready/c1*a1"},
		"forming, other member":  {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) { r.Observation.Marker.Member = "b" }, "stale,installed,configured,data,running,ready/c1*a1"},
		"stale, and written to": {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) {
			r.Observation.Marker.Token, r.Observation.Member.Revision = "prod-0", 2
		}, "refused: an unfinished create that cannot be continued left a member on it, and somebody has written to that since (revision 2): " +
			"save what you need of it, then stop etcd@prod.service and move /var/lib/etcd/prod away"},
		"stale, written to, and stopped": {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) {
			r.Observation.Marker.Token, r.Observation.Member, r.Observation.Unit.ActiveState = "prod-0", api.Member{}, "inactive"
			r.Observation.Data.Log = &api.Log{Index: 9, Revision: 2}
		}, "refused: an unfinished create that cannot be continued left a member on it, and somebody has written to that since (revision 2): "},
		"forming, and written to": {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) { r.Observation.Member.Revision = 2 }, "forming,installed,configured,data,running,ready/c1*a1"},
		"forming, data elsewhere": {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) {
			r.Observation.Marker.DataDir, r.Contact.DataNotEmpty = "/srv/etcd", false
		}, "stale,installed,configured,data,running,ready/c1*a1"},
		"forming, data elsewhere, and foreign data here": {serving(t, c, a, api.PhaseForming), func(r *bootstrap.Report) {
			r.Observation.Marker.DataDir, r.Contact.DataNotEmpty = "/srv/etcd", true
		}, "refused: data directory /var/lib/etcd/prod is not empty, and the unfinished create on it kept its data in /srv/etcd"},
	} {
		t.Run(name, func(t *testing.T) {
			test.change(&test.base)
			got := printHost(assessed(c, map[string]bootstrap.Report{
				"a": test.base,
				"b": serving(t, c, c.Members[1], api.PhaseForming),
				"c": serving(t, c, c.Members[2], api.PhaseForming),
			}, now)["a"])
			if got != test.want && !(strings.HasPrefix(test.want, "refused: ") && strings.HasPrefix(got, test.want)) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestAssessNamesTheMissingBuild has a provider without a store for the host's architecture.
func TestAssessNamesTheMissingBuild(t *testing.T) {
	c := three()
	c.Stores = map[string]string{"arm64": "a5707e"}
	got := assessed(c, map[string]bootstrap.Report{}, now)["a"].Refused
	if want := "this build of the provider carries no store of etcd 3.7.3 for linux/amd64: use a release, or build with `make build ARCH=amd64`"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestAssessAddresses holds that a member's address is one that its host has, where it is an IP address.
func TestAssessAddresses(t *testing.T) {
	for address, test := range map[string]struct {
		has     []string
		refused bool
	}{
		"192.0.2.11":        {[]string{"127.0.0.1", "192.0.2.11", "fe80::1"}, false},
		"192.0.2.12":        {[]string{"127.0.0.1", "192.0.2.11"}, true},
		"2001:DB8::11":      {[]string{"2001:db8::11"}, false},
		"::ffff:192.0.2.11": {[]string{"192.0.2.11"}, false},
		"a.example.com":     {[]string{"192.0.2.11"}, false},
		"192.0.2.13":        {nil, false},
	} {
		c := cluster(address)
		report := serving(t, c, c.Members[0], api.PhaseForming)
		report.Observation.Facts.Addresses = test.has
		refused := assessed(c, map[string]bootstrap.Report{"a": report}, now)["a"].Refused
		if (refused != "") != test.refused || test.refused && !strings.Contains(refused, "none of its interfaces has the address "+address) {
			t.Errorf("%s on a host with %v: %q", address, test.has, refused)
		}
	}
}

// TestAssessKernels holds which releases are old enough to be refused. One that nobody can read is not.
func TestAssessKernels(t *testing.T) {
	for release, old := range map[string]bool{
		"2.6.32": true, "3.10.0-1160.el7": true, "4.4.0": true, "4.14.336": true, "4.9": true,
		"4.15.0-20-generic": false, "4.15": false, "4.15-generic": false, "5.4.0": false, "6.1.0-28-amd64": false, "10.0": false, "6": false, "custom": false, "": false,
	} {
		c := three()
		report := bare(c.Members[0])
		report.Contact.Kernel = release
		if refused := assessed(c, map[string]bootstrap.Report{"a": report}, now)["a"].Refused; (refused != "") != old {
			t.Errorf("kernel %q: %q", release, refused)
		}
	}
}

// TestAssessTwins has one machine stand for two members.
func TestAssessTwins(t *testing.T) {
	c := three()
	twin := bare(c.Members[2])
	twin.Contact.MachineID = "machine of a"
	if got := assessed(c, map[string]bootstrap.Report{"c": twin}, now)["c"].Refused; got != "" {
		t.Errorf("machines that were cloned from one image: %s", got)
	}
	twin.Contact.BootID = "boot of a"
	observed := assessed(c, map[string]bootstrap.Report{"c": twin}, now)
	if got := observed["c"].Refused; !strings.HasPrefix(got, "its address leads to the same machine as that of a (192.0.2.11): two members on one machine fail together") {
		t.Errorf("c: %s", got)
	}
	if observed["a"].Refused != "" || observed["b"].Refused != "" {
		t.Errorf("the others: %v", observed)
	}
	// All three on one: the first is named, each time.
	for range 20 {
		second := bare(c.Members[1])
		second.Contact.MachineID, second.Contact.BootID = "machine of a", "boot of a"
		if got := assessed(c, map[string]bootstrap.Report{"b": second, "c": twin}, now)["c"].Refused; !strings.Contains(got, "the same machine as that of a (192.0.2.11)") {
			t.Fatalf("c, of three on one machine: %s", got)
		}
	}
	twin.Contact.MachineID = ""
	nameless := bare(c.Members[1])
	nameless.Contact.MachineID = ""
	if got := assessed(c, map[string]bootstrap.Report{"b": nameless, "c": twin}, now)["c"].Refused; got != "" {
		t.Errorf("two hosts without a machine ID are one: %s", got)
	}
}

// TestAssessCertificates holds which certificates will do.
func TestAssessCertificates(t *testing.T) {
	c := three()
	a := c.Members[0]
	extra := func(name string) func(*api.KeyRequest) {
		return func(want *api.KeyRequest) { want.DNSNames = append(want.DNSNames, name) }
	}
	for name, test := range map[string]struct {
		held func() map[string]api.Certificate
		at   time.Time
		want bool
	}{
		"as wanted":       {func() map[string]api.Certificate { return held(t, c, a, authority(), nil) }, now, true},
		"expired":         {func() map[string]api.Certificate { return held(t, c, a, authority(), nil) }, now.AddDate(1, 0, 1), false},
		"not yet valid":   {func() map[string]api.Certificate { return held(t, c, a, authority(), nil) }, now.Add(-6 * time.Minute), false},
		"wrong authority": {func() map[string]api.Certificate { return held(t, c, a, unmanaged(), nil) }, now, false},
		"extra name":      {func() map[string]api.Certificate { return held(t, c, a, authority(), extra("evil.example.com")) }, now, false},
		"missing name": {func() map[string]api.Certificate {
			return held(t, c, a, authority(), func(want *api.KeyRequest) { want.DNSNames = nil })
		}, now, false},
		"other address": {func() map[string]api.Certificate {
			return held(t, c, a, authority(), func(want *api.KeyRequest) {
				if len(want.IPs) > 0 {
					want.IPs[0] = "192.0.2.99"
				}
			})
		}, now, false},
		"other subject": {func() map[string]api.Certificate {
			return held(t, c, a, authority(), func(want *api.KeyRequest) { want.CommonName += "x" })
		}, now, false},
		"other organization": {func() map[string]api.Certificate {
			return held(t, c, a, authority(), func(want *api.KeyRequest) { want.Organization = []string{"x"} })
		}, now, false},
		"names in another order": {func() map[string]api.Certificate {
			return held(t, c, a, authority(), func(want *api.KeyRequest) {
				if n := len(want.IPs); n > 1 {
					want.IPs[0], want.IPs[n-1] = want.IPs[n-1], want.IPs[0]
				}
			})
		}, now, true},
		"no key":       {with(t, c, api.KeyServer, func(h *api.Certificate) { h.HasKey = false }), now, false},
		"not readable": {with(t, c, api.KeyAdmin, func(h *api.Certificate) { h.Error = "permission denied" }), now, false},
		"not there":    {with(t, c, api.KeyPeer, func(h *api.Certificate) { *h = api.Certificate{} }), now, false},
		"no PEM":       {with(t, c, api.KeyPeer, func(h *api.Certificate) { h.PEM = "-----" }), now, false},
		"peer for server": {func() map[string]api.Certificate {
			all := held(t, c, a, authority(), nil)
			all[api.KeyPeer] = all[api.KeyServer]
			return all
		}, now, false},
		"other peer bundle":   {with(t, c, "peer-ca", func(h *api.Certificate) { h.PEM = unmanaged().PeerCA() }), now, false},
		"other client bundle": {with(t, c, "client-ca", func(h *api.Certificate) { h.PEM += unmanaged().ClientCA() }), now, false},
		"no bundle":           {with(t, c, "client-ca", func(h *api.Certificate) { *h = api.Certificate{} }), now, false},
		"bundle, line end":    {with(t, c, "peer-ca", func(h *api.Certificate) { h.PEM = strings.TrimSpace(h.PEM) }), now, true},
		"bundle, comment":     {with(t, c, "peer-ca", func(h *api.Certificate) { h.PEM = "# peers\n" + h.PEM }), now, true},
	} {
		t.Run(name, func(t *testing.T) {
			report := serving(t, c, a, api.PhaseForming)
			report.Observation.Certificates = test.held()
			if got := assessed(c, map[string]bootstrap.Report{"a": report}, test.at)["a"].Configured; got != test.want {
				t.Errorf("configured: %t", got)
			}
		})
	}
}

// with are member a's certificates as desired, but for one.
func with(t *testing.T, c bootstrap.Cluster, name string, change func(*api.Certificate)) func() map[string]api.Certificate {
	return func() map[string]api.Certificate {
		all := held(t, c, c.Members[0], authority(), nil)
		one := all[name]
		change(&one)
		all[name] = one
		return all
	}
}

// TestResume holds which formation is gone on with.
func TestResume(t *testing.T) {
	c := three()
	fresh := bootstrap.Formation{Owner: "fresh", Token: "prod-2"}
	for name, test := range map[string]struct {
		change func(reports map[string]bootstrap.Report)
		want   bootstrap.Formation
	}{
		"bare hosts":       {func(map[string]bootstrap.Report) {}, fresh},
		"one began":        {func(r map[string]bootstrap.Report) { r["b"] = serving(t, c, c.Members[1], api.PhaseForming) }, ours},
		"one was finished": {func(r map[string]bootstrap.Report) { r["b"] = serving(t, c, c.Members[1], api.PhaseFormed) }, fresh},
		"by contact only": {func(r map[string]bootstrap.Report) {
			report := serving(t, c, c.Members[1], api.PhaseForming)
			report.Observation = nil
			r["b"] = report
		}, ours},
		"the observation is fresher than the contact": {func(r map[string]bootstrap.Report) {
			report := serving(t, c, c.Members[1], api.PhaseForming)
			report.Observation.Marker = nil
			r["b"] = report
		}, fresh},
		"of other members": {func(r map[string]bootstrap.Report) {
			report := serving(t, c, c.Members[1], api.PhaseForming)
			report.Observation.Marker.InitialCluster = "b=https://192.0.2.12:2380"
			r["b"] = report
		}, fresh},
		"of another member": {func(r map[string]bootstrap.Report) {
			report := serving(t, c, c.Members[1], api.PhaseForming)
			report.Observation.Marker.Member = "c"
			r["b"] = report
		}, fresh},
		"two attempts": {func(r map[string]bootstrap.Report) {
			r["b"] = serving(t, c, c.Members[1], api.PhaseForming)
			other := serving(t, c, c.Members[2], api.PhaseForming)
			other.Observation.Marker.Token, other.Observation.Marker.Owner = "prod-0", "them"
			r["c"] = other
		}, ours},
	} {
		t.Run(name, func(t *testing.T) {
			reports := map[string]bootstrap.Report{}
			for _, m := range c.Members {
				reports[m.Name] = bare(m)
			}
			test.change(reports)
			if diff := cmp.Diff(test.want, c.Resume(reports, fresh)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
