package bootstrap_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestStatusOfCertificates holds when certificates have to be issued anew, and that only a look with a time
// tells of those that have expired.
func TestStatusOfCertificates(t *testing.T) {
	c := three()
	b := c.Members[1]
	const other = "certificate is not of the cluster's authority, or does not say what it has to"
	edit := func(name string, change func(*api.Certificate)) func(map[string]api.Certificate) {
		return func(held map[string]api.Certificate) {
			certificate := held[name]
			change(&certificate)
			held[name] = certificate
		}
	}
	from := func(held map[string]api.Certificate) func(map[string]api.Certificate) {
		return func(into map[string]api.Certificate) {
			for name := range into {
				if into[name] = held[name]; name == "peer-ca" || name == "client-ca" {
					into[name] = api.Certificate{PEM: map[string]string{"peer-ca": c.PeerCA, "client-ca": c.ClientCA}[name]}
				}
			}
		}
	}
	usedAs := func(name, as string) func(map[string]api.Certificate) {
		return func(into map[string]api.Certificate) {
			for _, want := range c.Keys(b) {
				if want.Name != name {
					continue
				}
				want.Name = as
				signed, err := authority().Sign(t.Context(), "", want, request(t, want))
				if err != nil {
					t.Fatal(err)
				}
				into[name] = api.Certificate{PEM: signed, HasKey: true}
			}
		}
	}
	const noServer, noClientAlone = "its server certificate is not for use by a server", "its admin certificate is for use by a server too, and should not be"
	noCertificate := "its certificate " + api.CertificateFile(c.Name, api.KeyPeer) + " is missing"
	exposed := "others than its user can read its key " + api.KeyFile(c.Name, api.KeyServer) + ", which is made anew"
	noKey := "its key " + api.KeyFile(c.Name, api.KeyServer) + " is missing, and is made anew"
	unread := "/etc/etcd/main/tls/admin.crt cannot be used: it holds no PEM"
	for name, test := range map[string]struct {
		change  func(map[string]api.Certificate)
		at      time.Time
		want    string
		untimed string // without a time
	}{
		"as they are":          {func(map[string]api.Certificate) {}, now, "", ""},
		"about to expire":      {func(map[string]api.Certificate) {}, now.Add(364 * 24 * time.Hour), "", ""},
		"expired":              {func(map[string]api.Certificate) {}, now.AddDate(2, 0, 0), "its peer certificate has expired", ""},
		"not yet":              {func(map[string]api.Certificate) {}, now.Add(-time.Hour), "its peer certificate does not hold yet", ""},
		"peer missing":         {edit(api.KeyPeer, func(h *api.Certificate) { *h = api.Certificate{} }), now, noCertificate, noCertificate},
		"admin unread":         {edit(api.KeyAdmin, func(h *api.Certificate) { h.Error = "/etc/etcd/main/tls/admin.crt cannot be used: it holds no PEM" }), now, unread, unread},
		"server key missing":   {edit(api.KeyServer, func(h *api.Certificate) { h.HasKey, h.NoKey = false, true }), now, noKey, noKey},
		"server, another key":  {edit(api.KeyServer, func(h *api.Certificate) { h.HasKey = false }), now, "its server certificate and key do not belong together", "its server certificate and key do not belong together"},
		"server key exposed":   {edit(api.KeyServer, func(h *api.Certificate) { h.Exposed = true }), now, exposed, exposed},
		"server is no PEM":     {edit(api.KeyServer, func(h *api.Certificate) { h.PEM = "garbage" }), now, "its server " + other, "its server " + other},
		"another authority":    {from(held(t, c, b, unmanaged(), nil)), now, "its peer " + other, "its peer " + other},
		"server is a client's": {usedAs(api.KeyServer, api.KeyAdmin), now, noServer, noServer},
		"admin is a server's":  {usedAs(api.KeyAdmin, api.KeyServer), now, noClientAlone, noClientAlone},
		"another address":      {from(held(t, c, c.Members[0], authority(), nil)), now, "its peer certificate does not name 192.0.2.12", "its peer certificate does not name 192.0.2.12"},
		"an older bundle's end": {edit("client-ca", func(h *api.Certificate) { h.PEM += "\n" }), now,
			"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			reports := alive(t, c)
			test.change(reports[b].Observation.Certificates)
			if got := c.Status(ours.Owner, reports, test.at).Member(b).Invalid; got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if got := c.Status(ours.Owner, reports, time.Time{}).Member(b).Invalid; got != test.untimed {
				t.Errorf("without a time: got  %s\nwant %s", got, test.untimed)
			}
		})
	}
}

// TestStatusOfServerNames holds what is said of a server certificate whose names are not those that are desired, and
// that an import reads the names back from what members have.
func TestStatusOfServerNames(t *testing.T) {
	named := func(names ...string) bootstrap.Cluster {
		c := three()
		c.ServerNames = names
		return c
	}
	for _, test := range []struct {
		has, wants []string
		says       string
	}{
		{nil, nil, ""},
		{[]string{"etcd.example.com", "192.0.2.100"}, []string{"192.0.2.100", "etcd.example.com"}, ""},
		{nil, []string{"localhost", "192.0.2.12"}, ""}, // it has these by itself, once
		{nil, []string{"192.0.2.100", "etcd.example.com"}, "its server certificate does not name etcd.example.com, 192.0.2.100"},
		{[]string{"a.example.com"}, []string{"b.example.com"}, "its server certificate does not name b.example.com"},
		{[]string{"a.example.com"}, nil, "its server certificate names a.example.com, and should not"},
		{nil, []string{"a.b", "b.b", "c.b", "d.b", "e.b"}, "its server certificate does not name a.b, b.b, c.b and 2 more"},
	} {
		has, wants := named(test.has...), named(test.wants...)
		b := wants.Members[1]
		reports := alive(t, has)
		if got := wants.Status(ours.Owner, reports, now).Member(b).Invalid; got != test.says {
			t.Errorf("%v where %v is desired: got %q, want %q", test.has, test.wants, got, test.says)
		}
		read := slices.Sorted(slices.Values(three().ServerNamesOf(b, reports[b].Observation.Certificates[api.KeyServer].PEM)))
		if want := slices.Sorted(slices.Values(test.has)); !slices.Equal(read, want) {
			t.Errorf("%v reads back as %v", test.has, read)
		}
	}
	if read := three().ServerNamesOf(three().Members[0], "garbage"); read != nil {
		t.Errorf("no certificate has the names %v", read)
	}
}

// TestDiffOfOthers holds that a member is measured by what is desired of it alone: not by settings of one that
// leaves, and not where there is nothing to measure.
func TestDiffOfOthers(t *testing.T) {
	all := cluster("192.0.2.11", "192.0.2.12", "192.0.2.13")
	reports := alive(t, all)
	c := all
	c.Members = slices.Clone(all.Members[:1])
	c.Settings = map[string]string{"max-txn-ops": "9"}
	p := c.Status(ours.Owner, reports, now)
	for _, m := range all.Members {
		s := *p.Member(m)
		want := "voter healthy"
		if m.Name == "a" {
			want = "voter healthy, outdated: flags --max-txn-ops (not set) -> 9"
		}
		if got := printStatus(s); got != want {
			t.Errorf("%s: got  %s\nwant %s", m.Name, got, want)
		}
	}
}

// TestSettled holds that only the flags that a member begins by are taken from others, in the order of all flags.
func TestSettled(t *testing.T) {
	c := three()
	grown := cluster("192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14", "192.0.2.15")
	grown.Settings = map[string]string{"max-txn-ops": "9"}
	now, desired := c.Flags(c.Members[0], ours, bootstrap.StateExisting), grown.Flags(grown.Members[0], ours, bootstrap.StateExisting)
	grown.Settings = nil
	if diff := cmp.Diff(grown.Flags(grown.Members[0], ours, bootstrap.StateExisting), bootstrap.Synced(now, desired)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !slices.Equal(bootstrap.Synced(now, now), now) {
		t.Errorf("flags that are settled have changed: %v", bootstrap.Synced(now, now))
	}
}
