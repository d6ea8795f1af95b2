package bootstrap

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// ofBoth are the authorities, where it is known of both how hosts renew by them.
var ofBoth = api.RenewalPlaces{Peers: true, Clients: true}

// TestUnrenewed says what a host is told of the renewals that it makes by itself, and when nothing.
func TestUnrenewed(t *testing.T) {
	a := membership.Member{Name: "a", Address: "192.0.2.11"}
	place := func(digest string) *api.SigningPlace {
		return &api.SigningPlace{Digest: digest, URL: "https://192.0.2.8:8888", Key: secret.New("00")}
	}
	renewal := &api.Renewal{Peers: place("1")}
	c := Cluster{Spec: membership.Spec{Name: "prod"}, PeerPort: 2380, StoresOf: map[string]map[string]string{"3.7.3": {"amd64": "ours"}}}
	units := c.RenewedOnHosts(renewal, ofBoth).renewalUnits(a)
	right := api.RenewalStatus{Peers: "1", Units: units, Enabled: true}
	with := func(edit func(*api.RenewalStatus)) *api.RenewalStatus {
		status := right
		edit(&status)
		return &status
	}
	clients := with(func(s *api.RenewalStatus) { s.Clients, s.Units = "2", "2" })
	older := api.RenewalStatus{Units: "1", Enabled: true} // it has one digest for both, which nobody reads any more
	ofPeers := api.RenewalPlaces{Peers: true}
	const others, notAny = "it renews certificates by other settings", "it renews certificates by itself, which the configuration does not ask for"
	for name, test := range map[string]struct {
		desired *api.Renewal
		of      api.RenewalPlaces
		has     *api.RenewalStatus
		store   string
		says    string
	}{
		"none":                            {nil, ofBoth, nil, "ours", ""},
		"right":                           {renewal, ofBoth, &right, "ours", ""},
		"not yet":                         {renewal, ofBoth, nil, "ours", "it does not renew certificates by itself yet"},
		"not any more":                    {nil, ofBoth, &right, "ours", notAny},
		"not known":                       {nil, api.RenewalPlaces{}, &right, "ours", ""},
		"not known, and none":             {nil, api.RenewalPlaces{}, nil, "ours", ""},
		"other settings":                  {renewal, ofBoth, with(func(s *api.RenewalStatus) { s.Peers = "2" }), "ours", others},
		"an authority more":               {renewal, ofBoth, clients, "ours", others},
		"a damaged file":                  {renewal, ofBoth, with(func(s *api.RenewalStatus) { s.Damaged = true }), "ours", others},
		"a damaged file that need not be": {nil, ofBoth, &api.RenewalStatus{Damaged: true}, "ours", notAny},
		"switched off":                    {renewal, ofBoth, with(func(s *api.RenewalStatus) { s.Enabled = false }), "ours", "its renewals are switched off: their timer does not run"},
		"other units":                     {renewal, ofBoth, with(func(s *api.RenewalStatus) { s.Units = "2" }), "ours", "the units of its renewals are not as this version of the provider writes them"},
		"units of a store that this provider does not carry": {renewal, ofBoth, with(func(s *api.RenewalStatus) { s.Units = "2" }), "theirs", ""},

		"units that systemd has not read": {renewal, ofBoth, with(func(s *api.RenewalStatus) { s.NeedReload = true }), "theirs", "systemd has not read the units of its renewals since they were changed"},

		"of one":                           {renewal, ofPeers, &right, "ours", ""},
		"of one, not yet":                  {renewal, ofPeers, nil, "ours", "it does not renew certificates by itself yet"},
		"of one, and it has both":          {renewal, ofPeers, clients, "ours", ""},
		"of one, and it has the other":     {renewal, ofPeers, with(func(s *api.RenewalStatus) { s.Peers, s.Clients = "", "2" }), "ours", others},
		"of one, by other settings":        {renewal, ofPeers, with(func(s *api.RenewalStatus) { s.Peers, s.Clients = "2", "2" }), "ours", others},
		"of one, other units":              {renewal, ofPeers, with(func(s *api.RenewalStatus) { s.Units = "2" }), "ours", "the units of its renewals are not as this version of the provider writes them"},
		"not of one":                       {nil, ofPeers, clients, "ours", notAny},
		"not of one, and it has the other": {nil, ofPeers, with(func(s *api.RenewalStatus) { s.Peers, s.Clients = "", "2" }), "ours", ""},
		"not of one, and it has none":      {nil, ofPeers, nil, "ours", ""},

		"of one, a damaged file":                        {renewal, ofPeers, &api.RenewalStatus{Damaged: true}, "ours", LostRenewals},
		"not of one, a damaged file":                    {nil, ofPeers, &api.RenewalStatus{Damaged: true}, "ours", LostRenewals},
		"not known, a damaged file":                     {nil, api.RenewalPlaces{}, &api.RenewalStatus{Damaged: true}, "ours", ""},
		"of one, a file that others than root can read": {renewal, ofPeers, with(func(s *api.RenewalStatus) { s.Damaged = true }), "ours", others},

		"not any more, in an older store's words": {nil, ofBoth, &older, "theirs", notAny},
		"not of one, in an older store's words":   {nil, ofPeers, &older, "theirs", notAny},
		"not known, in an older store's words":    {nil, api.RenewalPlaces{}, &older, "theirs", ""},
		"in an older store's words":               {renewal, ofBoth, &older, "theirs", others},
	} {
		got := c.RenewedOnHosts(test.desired, test.of).Unrenewed(a, &api.Observation{Renewal: test.has, Store: api.Store{Selected: test.store}})
		if got != test.says {
			t.Errorf("%s: it says %q, want %q", name, got, test.says)
		}
	}
	for name, test := range map[string]struct {
		desired *api.Renewal
		of      api.RenewalPlaces
		has     *api.RenewalStatus
		old     bool
	}{
		"none":                         {renewal, ofBoth, nil, false},
		"as they are written":          {renewal, ofBoth, &right, false},
		"others":                       {renewal, ofBoth, with(func(s *api.RenewalStatus) { s.Units = "2" }), true},
		"others, by other settings":    {renewal, ofBoth, with(func(s *api.RenewalStatus) { s.Units, s.Peers = "2", "2" }), false},
		"others, and nobody wants any": {nil, ofBoth, with(func(s *api.RenewalStatus) { s.Units = "2" }), false},
		"for who knows whom":           {renewal, ofPeers, clients, false},
	} {
		if got := c.RenewedOnHosts(test.desired, test.of).hasOldRenewals(a, &api.Observation{Renewal: test.has}); got != test.old {
			t.Errorf("units: %s: old %t", name, got)
		}
	}
	moved := membership.Member{Name: "a", Address: "192.0.2.21"}
	if c.RenewedOnHosts(renewal, ofBoth).renewalUnits(moved) == units {
		t.Error("the unit of a member at another address reaches the one before")
	}
	named := *renewal
	named.Peers = &api.SigningPlace{URL: "https://signer.example.com"}
	if c.RenewedOnHosts(&named, ofBoth).renewalUnits(moved) != c.RenewedOnHosts(&named, ofBoth).renewalUnits(a) {
		t.Error("units are limited to addresses though the server has a name")
	}
}

// TestRenewalsOfAnotherStore: a member whose host is to renew certificates otherwise gets this build's store first, if
// its own may not understand that; a member whose store shows that it does is not restarted for it.
func TestRenewalsOfAnotherStore(t *testing.T) {
	with := func(digest string) *api.Renewal {
		return &api.Renewal{Peers: &api.SigningPlace{Digest: digest, URL: "https://192.0.2.8:8888", Key: secret.New("00")}}
	}
	const store = "its store is of another release, and may not understand how its host is to renew certificates"
	const version = "etcd 3.7.2 -> 3.7.3"
	for name, test := range map[string]struct {
		desired *api.Renewal
		has     *api.RenewalStatus
		edit    func(*Cluster, *api.Observation)
		says    []string
		old     bool
	}{
		"none":                         {nil, nil, nil, nil, false},
		"the first":                    {with("1"), nil, nil, []string{store}, true},
		"others":                       {with("1"), &api.RenewalStatus{Enabled: true}, nil, []string{store}, true},
		"not any more":                 {nil, &api.RenewalStatus{Enabled: true}, nil, []string{store}, true},
		"of a store that understands":  {with("1"), &api.RenewalStatus{Peers: "2", Enabled: true}, nil, nil, false},
		"damaged, and it understands":  {with("1"), &api.RenewalStatus{Damaged: true}, nil, nil, false},
		"right":                        {with("1"), &api.RenewalStatus{Peers: "1", Enabled: true}, nil, nil, false},
		"in our store":                 {with("1"), nil, func(_ *Cluster, o *api.Observation) { o.Store.Selected = "ours" }, nil, false},
		"in our store of another line": {with("1"), nil, func(_ *Cluster, o *api.Observation) { o.Store.Selected = "before" }, nil, false},
		"no store of ours for it":      {with("1"), nil, func(c *Cluster, _ *api.Observation) { c.Stores = nil }, nil, false},
		"outdated anyway":              {with("1"), nil, func(_ *Cluster, o *api.Observation) { o.Member.Version = "3.7.2" }, []string{version}, true},
	} {
		a := membership.Member{Name: "a", Address: "192.0.2.11"}
		c := Cluster{Spec: membership.Spec{Name: "prod", Version: "3.7.3", Members: []membership.Member{a}}, DataDir: "/var/lib/etcd/prod", PeerPort: 2380, ClientPort: 2379,
			Stores: map[string]string{"amd64": "ours"}, StoresOf: map[string]map[string]string{"3.6.0": {"amd64": "before"}}}.RenewedOnHosts(test.desired, ofBoth)
		f := Formation{Owner: "us", Token: "token"}
		marker := c.Marker(a, f, api.PhaseFormed)
		marker.Store = "theirs"
		unit, err := c.Unit(8 << 30)
		if err != nil {
			t.Fatal(err)
		}
		o := &api.Observation{Facts: api.Facts{Architecture: "amd64", MemoryBytes: 8 << 30}, Marker: &marker, Store: api.Store{Selected: "theirs"},
			Flags: c.Flags(a, f, StateExisting), Unit: api.UnitState{Text: unit}, Renewal: test.has}
		if test.edit != nil {
			test.edit(&c, o)
		}
		marker.Store = o.Store.Selected
		s := membership.MemberStatus{Member: a, Role: membership.Voter, State: membership.Healthy, Version: "3.7.3"}
		if o.Member.Version != "" {
			s.Version = o.Member.Version
		}
		c.diff(&s, Report{Observation: o}, "us", trust{}, time.Time{})
		if !slices.Equal(s.Outdated, test.says) || s.OldStore != test.old || s.Unasked != slices.Equal(test.says, []string{store}) {
			t.Errorf("%s: outdated by %q, asked %v, old %v", name, s.Outdated, !s.Unasked, s.OldStore)
		}
	}
}

// TestDescribedRenewals: steps tell every change of settings but those of keys, which may differ between a plan and its
// apply, and no key.
func TestDescribedRenewals(t *testing.T) {
	place := func(edit func(*api.SigningPlace)) *api.SigningPlace {
		p := &api.SigningPlace{Authority: "a", URL: "https://192.0.2.8:8888", Key: secret.New("swordfish"), Label: "peers"}
		edit(p)
		return p
	}
	same := func(*api.SigningPlace) {}
	first := describeRenewal(&api.Renewal{Peers: place(same), Clients: place(same)}, ofBoth)
	if !strings.HasPrefix(first, "peers' by https://192.0.2.8:8888 (label \"peers\"), servers' and the administrator's by https://192.0.2.8:8888 (label \"peers\") (settings ") {
		t.Errorf("it says %q", first)
	}
	if other := describeRenewal(&api.Renewal{Peers: place(func(p *api.SigningPlace) { p.Key, p.Digest = secret.New("hunter2"), "2" }), Clients: place(same)}, ofBoth); other != first {
		t.Errorf("another key is %q, and was %q", other, first)
	}
	for name, r := range map[string]api.Renewal{
		"authority": {Peers: place(func(p *api.SigningPlace) { p.Authority = "b" }), Clients: place(same)},
		"label":     {Peers: place(same), Clients: place(func(p *api.SigningPlace) { p.Label = "" })},
		"validity":  {Peers: place(same), Clients: place(same), Validity: 1},
		"before":    {Peers: place(same), Clients: place(same), Before: 1},
		"one alone": {Peers: place(same)},
	} {
		if describeRenewal(&r, ofBoth) == first {
			t.Errorf("%s: another one is told by the same words", name)
		}
	}
	if one := describeRenewal(&api.Renewal{Peers: place(same)}, api.RenewalPlaces{Peers: true}); !strings.HasPrefix(one, "peers' by https://192.0.2.8:8888 (label \"peers\"), the others' as before (settings ") {
		t.Errorf("of one it says %q", one)
	}
	// Of a server's profiles, a step names those that sign for this authority, unless they are named after what they
	// are for.
	profiles := func(p *api.SigningPlace) {
		p.Profiles = map[string]string{"peer": "hosts-peer", "server": "hosts-server", "client": "client"}
	}
	bare := func(p *api.SigningPlace) { p.Label = ""; profiles(p) }
	if named := describeRenewal(&api.Renewal{Peers: place(profiles), Clients: place(bare)}, ofBoth); !strings.HasPrefix(named,
		`peers' by https://192.0.2.8:8888 (label "peers", profile "hosts-peer" for peer), servers' and the administrator's by https://192.0.2.8:8888 (profile "hosts-server" for server) (settings `) {
		t.Errorf("with profiles it says %q", named)
	}
}
