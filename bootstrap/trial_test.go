package bootstrap_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// staged is what is learned of a host on which there is a store, and nothing else.
func staged(c bootstrap.Cluster, m membership.Member) bootstrap.Report {
	report := bare(m)
	store := c.Stores["amd64"]
	report.Contact.Installed = []string{store}
	report.Observation = &api.Observation{Facts: api.Facts{Architecture: "amd64"}, Store: api.Store{SHA256: store, Installed: []string{store}}}
	return report
}

// trying is a cluster whose stores make trials.
func trying(addresses ...string) bootstrap.Cluster {
	c := cluster(addresses...)
	c.StoresOf = map[string]map[string]string{c.Version: c.Stores}
	c.Inspects = c.Members
	return c
}

// asked returns a trial in a few words: "a listens 192.0.2.11:2380 dials b c? awaits b c", where c? is one that runs
// already.
func asked(requests map[membership.Member]api.PreflightRequest) (lines []string) {
	for m, r := range requests {
		line := m.Name
		if r.DataDir != "" {
			line += " times " + r.DataDir
		}
		if r.Listen != "" {
			line += " listens " + r.Listen
		}
		for i, peer := range r.Dial {
			if i == 0 {
				line += " dials"
			}
			line += " " + peer.Member
			if !peer.Answers {
				line += "?"
			}
		}
		if len(r.Await) > 0 {
			line += " awaits " + strings.Join(r.Await, " ")
		}
		if len(r.Names) > 0 {
			line += " looks up " + strings.Join(r.Names, " ")
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// TestTrial holds who is asked to try what.
func TestTrial(t *testing.T) {
	three := func() bootstrap.Cluster { return trying("192.0.2.11", "192.0.2.12", "192.0.2.13") }
	configure := func(names ...string) (steps []membership.Step) {
		for _, name := range names {
			steps = append(steps, membership.Step{Kind: membership.Configure, Member: name, At: "192.0.2.1" + string('1'+name[0]-'a')})
		}
		return steps
	}
	join := []membership.Step{{Kind: membership.Roll, Member: "a", At: "192.0.2.11"}, {Kind: membership.AddLearner, Member: "c", At: "192.0.2.13"}, {Kind: membership.Join, Member: "c", At: "192.0.2.13"}}
	running := func(t *testing.T, c bootstrap.Cluster) bootstrap.Reports {
		return bootstrap.Reports{
			c.Members[0]: serving(t, c, c.Members[0], api.PhaseFormed), c.Members[1]: serving(t, c, c.Members[1], api.PhaseFormed), c.Members[2]: staged(c, c.Members[2]),
		}
	}
	bare := func(_ *testing.T, c bootstrap.Cluster) bootstrap.Reports {
		reports := bootstrap.Reports{}
		for _, m := range c.Members {
			reports[m] = staged(c, m)
		}
		return reports
	}
	for name, test := range map[string]struct {
		cluster bootstrap.Cluster
		reports func(*testing.T, bootstrap.Cluster) bootstrap.Reports
		steps   []membership.Step
		change  func(*bootstrap.Cluster, bootstrap.Reports)
		want    []string
	}{
		"a create": {three(), bare, configure("a", "b", "c"), nil, []string{
			"a times /var/lib/etcd/prod listens 192.0.2.11:2380 dials b c awaits b c",
			"b times /var/lib/etcd/prod listens 192.0.2.12:2380 dials a c awaits a c",
			"c times /var/lib/etcd/prod listens 192.0.2.13:2380 dials a b awaits a b",
		}},
		"a create of one":                      {trying("192.0.2.11"), bare, configure("a"), nil, []string{"a times /var/lib/etcd/prod"}},
		"a create before its stores are there": {three(), func(*testing.T, bootstrap.Cluster) bootstrap.Reports { return bootstrap.Reports{} }, configure("a", "b", "c"), nil, nil},
		"nothing new":                          {three(), running, []membership.Step{{Kind: membership.Roll, Member: "a", At: "192.0.2.11"}}, nil, nil},
		"by names": {trying("a.example.com", "b.example.com"), bare, []membership.Step{{Kind: membership.Configure, Member: "a", At: "a.example.com"}, {Kind: membership.Configure, Member: "b", At: "b.example.com"}}, nil, []string{
			"a times /var/lib/etcd/prod listens 0.0.0.0:2380 dials b awaits b looks up a.example.com b.example.com",
			"b times /var/lib/etcd/prod listens 0.0.0.0:2380 dials a awaits a looks up a.example.com b.example.com",
		}},
		"a member that joins": {three(), running, join, nil, []string{
			"a dials c", "b dials c", "c times /var/lib/etcd/prod listens 192.0.2.13:2380 dials a? b? awaits a b",
		}},
		"one that joins again on its host": {three(), running, join, func(c *bootstrap.Cluster, _ bootstrap.Reports) { c.Inspects = nil }, []string{
			"a dials c", "b dials c", "c listens 192.0.2.13:2380 dials a? b? awaits a b",
		}},
		"one that joins, with one that does not serve": {three(), running, join, func(c *bootstrap.Cluster, r bootstrap.Reports) { r[c.Members[1]].Observation.Member.Healthy = false }, []string{
			"a dials c", "c times /var/lib/etcd/prod listens 192.0.2.13:2380 dials a? awaits a",
		}},
		"one that joins, with one whose host is off": {three(), running, join, func(c *bootstrap.Cluster, r bootstrap.Reports) {
			r[c.Members[1]] = bootstrap.Report{Err: errors.New("no route to host")}
		}, []string{
			"a dials c", "c times /var/lib/etcd/prod listens 192.0.2.13:2380 dials a? awaits a",
		}},
		"one that replaces a member whose host is off": {three(), running, join, func(c *bootstrap.Cluster, r bootstrap.Reports) {
			r[membership.Member{Name: "c", Address: "192.0.2.99"}] = bootstrap.Report{Err: errors.New("no route to host")}
		}, []string{
			"a dials c", "b dials c", "c times /var/lib/etcd/prod listens 192.0.2.13:2380 dials a? b? awaits a b",
		}},
		"one that joins, with a store of another release": {three(), running, join, func(c *bootstrap.Cluster, r bootstrap.Reports) { r[c.Members[1]].Observation.Store.SHA256 = "0ld" }, []string{
			"a dials c", "c times /var/lib/etcd/prod listens 192.0.2.13:2380 dials a? b? awaits a",
		}},
		"a create that goes on": {three(), func(t *testing.T, c bootstrap.Cluster) bootstrap.Reports {
			reports := running(t, c)
			for _, m := range c.Members[:2] {
				reports[m].Observation.Marker.Phase, reports[m].Observation.Member, reports[m].Observation.Listeners = api.PhaseForming, api.Member{}, nil
			}
			return reports
		}, configure("b", "c"), nil, []string{
			"a listens 192.0.2.11:2380 dials c awaits c", "b listens 192.0.2.12:2380 dials c awaits c",
			"c times /var/lib/etcd/prod listens 192.0.2.13:2380 dials a b awaits a b",
		}},
		"members that are to listen at another port, with a store of another release": {three(), running, join, func(c *bootstrap.Cluster, r bootstrap.Reports) {
			c.PeerPort = 2390
			r[c.Members[1]].Observation.Store.SHA256 = "0ld"
		}, []string{
			"a listens 192.0.2.11:2390 dials c awaits c", "c times /var/lib/etcd/prod listens 192.0.2.13:2390 dials a awaits a",
		}},
		"a member that moves on its host": {three(), func(t *testing.T, c bootstrap.Cluster) bootstrap.Reports {
			reports := running(t, c)
			reports[c.Members[2]] = serving(t, c, c.Members[2], api.PhaseFormed)
			listeners := reports[c.Members[2]].Observation.Listeners
			for i := range listeners {
				listeners[i].Address = "192.0.2.99" // where it is still
			}
			return reports
		}, []membership.Step{{Kind: membership.Readdress, Member: "c", At: "192.0.2.13"}}, nil, []string{
			"a dials c", "b dials c", "c listens 192.0.2.13:2380 dials a? b? awaits a b",
		}},
		"all of it waived": {three(), bare, configure("a", "b", "c"), func(c *bootstrap.Cluster, _ bootstrap.Reports) {
			c.Waived = []string{"fsync_latency", "peer_unreachable", "name_resolution"}
		}, nil},
		"the disk waived": {three(), bare, configure("a", "b", "c"), func(c *bootstrap.Cluster, _ bootstrap.Reports) { c.Waived = []string{"fsync_latency"} }, []string{
			"a listens 192.0.2.11:2380 dials b c awaits b c", "b listens 192.0.2.12:2380 dials a c awaits a c", "c listens 192.0.2.13:2380 dials a b awaits a b",
		}},
		"the peers waived": {three(), bare, configure("a", "b", "c"), func(c *bootstrap.Cluster, _ bootstrap.Reports) { c.Waived = []string{"peer_unreachable"} }, []string{
			"a times /var/lib/etcd/prod", "b times /var/lib/etcd/prod", "c times /var/lib/etcd/prod",
		}},
	} {
		c := test.cluster
		reports := test.reports(t, c)
		if test.change != nil {
			test.change(&c, reports)
		}
		newcomers := c.Newcomers(test.steps, reports)
		var got []string
		if len(newcomers) > 0 {
			requests := c.Trial(newcomers, reports, "0123456789abcdef")
			got = asked(requests)
			for m, r := range requests {
				if err := api.CheckPreflight(r); err != nil || r.Member != m.Name {
					t.Errorf("%s: %s: %v", name, m, err)
				}
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestAssessTrial has hosts find out everything at once: one error has all of it, and no warning has any of that.
func TestAssessTrial(t *testing.T) {
	c := trying("192.0.2.11", "b.example.com", "192.0.2.13")
	c.MaxFsyncP99 = 10 * time.Millisecond
	reports := bootstrap.Reports{}
	var steps []membership.Step
	for _, m := range c.Members {
		reports[m] = staged(c, m)
		steps = append(steps, membership.Step{Kind: membership.Configure, Member: m.Name, At: m.Address})
	}
	newcomers := c.Newcomers(steps, reports)
	requests := c.Trial(newcomers, reports, "0123456789abcdef")
	fast := api.Appends{Count: 1000, P50: time.Millisecond, P99: 2 * time.Millisecond, Max: 3 * time.Millisecond}
	slow := api.Appends{Count: 60, P50: 15 * time.Millisecond, P99: 31 * time.Millisecond, Max: 42 * time.Millisecond}
	at := func(addresses ...string) map[string]api.Lookup {
		return map[string]api.Lookup{"b.example.com": {Addresses: addresses}}
	}
	good := func() map[membership.Member]api.Preflight {
		return map[membership.Member]api.Preflight{
			c.Members[0]: {Appends: &fast, Lookups: at("192.0.2.12")}, c.Members[1]: {Appends: &fast, Lookups: at("127.0.1.1")}, c.Members[2]: {Appends: &fast, Lookups: at("192.0.2.12")},
		}
	}
	if doubts, refused := c.AssessTrial(newcomers, requests, good()); refused != nil || len(doubts) > 0 {
		t.Errorf("good hosts: %v, %v", refused, doubts)
	}
	silent := good()
	delete(silent, c.Members[1])
	for _, m := range []membership.Member{c.Members[0], c.Members[2]} {
		result := silent[m]
		result.Unreached = map[string]string{"b": "connection refused"}
		silent[m] = result
	}
	if doubts, refused := c.AssessTrial(newcomers, requests, silent); refused != nil || len(doubts) > 0 {
		t.Errorf("a host whose call failed, of which the run says so: %v, %v", refused, doubts)
	}
	for name, test := range map[string]struct {
		happen func(map[string]*api.Preflight)
		says   []string
		not    string
	}{
		"one direction": {func(r map[string]*api.Preflight) { r["a"].Unreached = map[string]string{"b": "timeout"} }, []string{"a cannot reach b:2380 (timeout); let members' hosts reach", `preflight.waive = ["peer_unreachable"]`}, "b cannot"},
		"both directions of two pairs": {func(r map[string]*api.Preflight) {
			r["a"].Unreached = map[string]string{"b": "timeout"}
			r["b"].Unreached = map[string]string{"a": "timeout", "c": "connection refused"}
			r["c"].Unreached = map[string]string{"b": "no route to host"}
		}, []string{"a cannot reach b:2380 (timeout); b cannot reach a:2380 (timeout); b cannot reach c:2380 (connection refused); c cannot reach b:2380 (no route to host); let"}, "a cannot reach c"},
		"one that cannot listen": {func(r map[string]*api.Preflight) {
			r["c"].ListenError = "cannot assign requested address"
			r["a"].Unreached, r["b"].Unreached = map[string]string{"c": "timeout"}, map[string]string{"c": "timeout"}
		}, []string{"c cannot listen on 192.0.2.13:2380 (cannot assign requested address); let"}, "cannot reach"},
		"a name that leads elsewhere": {func(r map[string]*api.Preflight) {
			r["c"].Lookups, r["c"].Unreached = at("192.0.2.99"), map[string]string{"b": "something else answers there"}
		}, []string{"the name b.example.com leads to 192.0.2.12 on a, to 192.0.2.99 on c; have a name", `["name_resolution"]`}, "on b"},
		"a name that one does not know": {func(r map[string]*api.Preflight) {
			r["c"].Lookups, r["c"].Unreached = map[string]api.Lookup{"b.example.com": {Error: "no such host"}}, map[string]string{"b": "no such host"}
		}, []string{"leads to 192.0.2.12 on a, nowhere (no such host) on c"}, ""},
		"a name that nobody knows": {func(r map[string]*api.Preflight) {
			for name, p := range r {
				p.Lookups = map[string]api.Lookup{"b.example.com": {Error: "no such host"}}
				if name != "b" {
					p.Unreached = map[string]string{"b": "no such host"}
				}
			}
		}, []string{"nowhere (no such host) on a, nowhere (no such host) on b, nowhere (no such host) on c"}, ""},
		"a slow disk":       {func(r map[string]*api.Preflight) { r["a"].Appends = &slow }, []string{"a (192.0.2.11): appends to the disk of /var/lib/etcd/prod take 15ms (p50), 31ms (p99) and 42ms (the longest of 60)", "a p99 of at most 10ms is wanted", `["fsync_latency"]`}, ""},
		"a disk that fails": {func(r map[string]*api.Preflight) { r["a"].Appends, r["a"].AppendError = nil, "input/output error" }, []string{"a (192.0.2.11): the disk of /var/lib/etcd/prod could not be measured: input/output error"}, ""},
		"all at once": {func(r map[string]*api.Preflight) {
			r["a"].Appends, r["b"].Appends = &slow, &slow
			r["c"].Unreached, r["c"].Lookups = map[string]string{"a": "timeout", "b": "timeout"}, at("192.0.2.99")
		}, []string{"a (192.0.2.11), b (b.example.com): appends", "c cannot reach a:2380 (timeout)", "to 192.0.2.99 on c"}, ""},
	} {
		results := good()
		by := map[string]*api.Preflight{}
		for m, result := range results {
			by[m.Name] = &result
		}
		test.happen(by)
		for m := range results {
			results[m] = *by[m.Name]
		}
		doubts, refused := c.AssessTrial(newcomers, requests, results)
		if refused == nil || len(doubts) > 0 {
			t.Errorf("%s: %v, %v", name, refused, doubts)
			continue
		}
		for _, says := range test.says {
			if !strings.Contains(refused.Error(), says) {
				t.Errorf("%s does not say %q: %v", name, says, refused)
			}
		}
		if test.not != "" && strings.Contains(refused.Error(), test.not) {
			t.Errorf("%s says %q: %v", name, test.not, refused)
		}
	}
	c.MaxFsyncP99 = 0
	results := good()
	results[c.Members[0]] = api.Preflight{Appends: &slow, Lookups: at("192.0.2.12")}
	doubts, refused := c.AssessTrial(newcomers, requests, results)
	if refused != nil || len(doubts) != 1 || !strings.HasPrefix(doubts[0], "a (192.0.2.11): appends to the disk") || !strings.HasSuffix(doubts[0], "(fsync_latency)") {
		t.Errorf("a slow disk, with no limit: %v, %v", refused, doubts)
	}
}

// TestNamesThatDiffer has names lead to different addresses: those that lead newcomers to the wrong host are refused,
// and the user is warned of those with which members have always run.
func TestNamesThatDiffer(t *testing.T) {
	c := trying("a.example.com", "b.example.com", "c.example.com")
	a, b, joins := c.Members[0], c.Members[1], c.Members[2]
	reports := bootstrap.Reports{a: serving(t, c, a, api.PhaseFormed), b: serving(t, c, b, api.PhaseFormed), joins: staged(c, joins)}
	newcomers := c.Newcomers([]membership.Step{{Kind: membership.AddLearner, Member: "c", At: "c.example.com"}}, reports)
	requests := c.Trial(newcomers, reports, "0123456789abcdef")
	for name, test := range map[string]struct {
		of            string
		onA, onB, onC []string
		unreached     string // who does not reach the newcomer
		refused, says bool
	}{
		"they agree":                            {"a", []string{"192.0.2.11"}, []string{"192.0.2.11"}, []string{"192.0.2.11"}, "", false, false},
		"its own name as loopback, and another": {"a", []string{"127.0.1.1", "192.0.2.11"}, []string{"192.0.2.11"}, []string{"192.0.2.11"}, "", false, false},
		"running members differ":                {"a", []string{"192.0.2.11"}, []string{"198.51.100.11"}, []string{"198.51.100.11"}, "", false, true},
		"one has a second family":               {"a", []string{"192.0.2.11"}, []string{"192.0.2.11"}, []string{"192.0.2.11", "2001:db8::11"}, "", false, true},
		"the newcomer is led elsewhere":         {"a", []string{"192.0.2.11"}, []string{"192.0.2.11"}, []string{"192.0.2.99"}, "", true, true},
		"the newcomer is led nowhere":           {"a", []string{"192.0.2.11"}, []string{"192.0.2.11"}, nil, "", true, true},
		"the newcomer's, and all reach it":      {"c", []string{"192.0.2.13"}, []string{"198.51.100.13"}, []string{"192.0.2.13"}, "", false, true},
		"the newcomer's, and one does not":      {"c", []string{"192.0.2.13"}, []string{"198.51.100.13"}, []string{"192.0.2.13"}, "b", true, true},
	} {
		results := map[membership.Member]api.Preflight{}
		for m, addresses := range map[membership.Member][]string{a: test.onA, b: test.onB, joins: test.onC} {
			lookup := api.Lookup{Addresses: addresses}
			if addresses == nil {
				lookup.Error = "no such host"
			}
			result := api.Preflight{Lookups: map[string]api.Lookup{test.of + ".example.com": lookup}}
			if m.Name == test.unreached {
				result.Unreached = map[string]string{"c": "something else answers there"}
			}
			results[m] = result
		}
		doubts, refused := c.AssessTrial(newcomers, requests, results)
		text := "the name " + test.of + ".example.com leads to "
		if refuses := refused != nil && strings.Contains(refused.Error(), text); refuses != test.refused {
			t.Errorf("%s: %v", name, refused)
		}
		if warns := len(doubts) == 1 && strings.HasPrefix(doubts[0], text) && strings.HasSuffix(doubts[0], "(name_resolution)"); warns != (test.says && !test.refused) {
			t.Errorf("%s: warnings %q", name, doubts)
		}
	}
}

// TestAddressesBeforeAStore holds that a first contact shows whether a host has its member's address.
func TestAddressesBeforeAStore(t *testing.T) {
	for address, test := range map[string]struct {
		has     []string
		refused bool
	}{
		"192.0.2.11":    {[]string{"192.0.2.11", "198.51.100.1"}, false},
		"192.0.2.12":    {[]string{"192.0.2.11"}, true},
		"2001:DB8::11":  {[]string{"2001:db8::11"}, false},
		"a.example.com": {[]string{"192.0.2.11"}, false},
		"127.0.0.1":     {[]string{"192.0.2.11"}, false},
		"192.0.2.13":    {nil, false},
	} {
		c := cluster(address)
		report := bare(c.Members[0])
		report.Contact.Inventory = &api.Inventory{Addresses: test.has}
		for kind, refused := range map[string]error{
			"a create": c.PreflightForm(map[string]bootstrap.Report{"a": report}, now),
			"a change": c.PreflightChange("us", bootstrap.Reports{}, bootstrap.Reports{c.Members[0]: report}),
		} {
			if (refused != nil) != test.refused || test.refused && !strings.Contains(refused.Error(), "none of its interfaces has the address "+address) {
				t.Errorf("%s of %s on a host with %v: %v", kind, address, test.has, refused)
			}
		}
	}
}

// TestClonesShareHostKeys has machines that were cloned from one image, and one that is reached by two addresses.
func TestClonesShareHostKeys(t *testing.T) {
	c := three()
	reports := bootstrap.Reports{}
	for i, m := range c.Members {
		report := bare(m)
		report.Contact.Inventory = &api.Inventory{HostKeys: []string{"ssh-ed25519 KEY" + string('1'+rune(i)), "ssh-rsa OWN" + m.Name}}
		reports[m] = report
	}
	doubts := func(change func(*api.Contact)) string {
		these := maps.Clone(reports)
		c := these[c.Members[2]]
		inventory := *c.Contact.Inventory
		c.Contact.Inventory = &inventory
		change(&c.Contact)
		these[membership.Member{Name: "c", Address: "192.0.2.13"}] = c
		return strings.Join(three().Doubts(these), "\n")
	}
	cloned := func(c *api.Contact) { c.Inventory.HostKeys = []string{"ssh-ed25519 KEY1", "ssh-rsa OWNa"} }
	if found := doubts(func(*api.Contact) {}); found != "" {
		t.Errorf("keys of their own: %s", found)
	}
	if found := doubts(cloned); !strings.HasPrefix(found, "a (192.0.2.11), c (192.0.2.13): different machines have the same SSH host key (ssh-ed25519, ssh-rsa)") || !strings.HasSuffix(found, "(shared_host_key)") || strings.Contains(found, "\n") {
		t.Errorf("clones: %s", found)
	}
	if found := doubts(func(c *api.Contact) { cloned(c); c.MachineID, c.BootID = "machine of a", "boot of a" }); found != "" {
		t.Errorf("one machine: %s", found)
	}
	c.Waived = []string{"shared_host_key"}
	clone := bare(c.Members[1])
	clone.Contact.Inventory = reports[c.Members[0]].Contact.Inventory
	these := bootstrap.Reports{c.Members[0]: reports[c.Members[0]], c.Members[1]: clone}
	if found := c.Doubts(these); len(found) > 0 {
		t.Errorf("waived: %v", found)
	}
}
