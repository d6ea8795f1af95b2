package authority

import (
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

// TestOnHosts: hosts ask the servers that the configuration says, with the key that is theirs and what else it says of
// them; and of an authority of which it is left out or not known who signs, nobody says what hosts do.
func TestOnHosts(t *testing.T) {
	prod := made(t, "prod", 10000*time.Hour, time.Now())
	const key, theirs = "00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"
	remote := func(edit func(*Remote)) KeyPair {
		r := &Remote{URL: types.StringValue("https://192.0.2.8"), AuthKey: sensitive.Of(key), Label: types.StringValue("peers"), Profiles: types.MapNull(types.StringType), CACertificate: types.StringNull(),
			OnHosts: &OnHosts{URL: types.StringNull(), AuthKey: sensitive.Of(theirs), Label: types.StringNull(), Profiles: types.MapNull(types.StringType)}}
		edit(r)
		return KeyPair{Certificate: prod.Peer.Certificate, PrivateKey: sensitive.String{}, Remote: r}
	}
	as := func(*Remote) {}
	own := func(r *Remote) {
		r.OnHosts.URL, r.OnHosts.Label = types.StringValue("https://192.0.2.9"), types.StringValue("hosts")
		r.OnHosts.Profiles = types.MapValueMust(types.StringType, map[string]attr.Value{"peer": types.StringValue("hosts-peer")})
	}
	leftOut := KeyPair{Certificate: prod.Client.Certificate, PrivateKey: sensitive.String{}}
	both := api.RenewalPlaces{Peers: true, Clients: true}
	for name, c := range map[string]struct {
		of             Model
		renews         bool
		known          api.RenewalPlaces
		url, label     string
		profile        string
		clients, opens bool
	}{
		"keys":                             {of: Model{Peer: prod.Peer, Client: prod.Client}, known: both},
		"a server":                         {of: Model{Peer: remote(func(r *Remote) { r.OnHosts = nil }), Client: prod.Client}, known: both},
		"one that hosts ask":               {of: Model{Peer: remote(as), Client: prod.Client}, known: both, renews: true, url: "https://192.0.2.8", label: "peers"},
		"in their own way":                 {of: Model{Peer: remote(own), Client: prod.Client}, known: both, renews: true, url: "https://192.0.2.9", label: "hosts", profile: "hosts-peer"},
		"two":                              {of: Model{Peer: remote(as), Client: remote(as)}, known: both, renews: true, url: "https://192.0.2.8", label: "peers", clients: true},
		"left out":                         {of: Model{Peer: leftOut, Client: leftOut}},
		"left out beside":                  {of: Model{Peer: remote(as), Client: leftOut}, known: api.RenewalPlaces{Peers: true}, renews: true, url: "https://192.0.2.8", label: "peers"},
		"a server beside one left out":     {of: Model{Peer: remote(func(r *Remote) { r.OnHosts = nil }), Client: leftOut}, known: api.RenewalPlaces{Peers: true}},
		"a key that is known after apply":  {of: Model{Peer: remote(func(r *Remote) { r.OnHosts.AuthKey = sensitive.Unknown() }), Client: prod.Client}, known: api.RenewalPlaces{Clients: true}, opens: true},
		"a URL that is known after apply":  {of: Model{Peer: remote(func(r *Remote) { r.URL = types.StringUnknown() }), Client: prod.Client}, known: api.RenewalPlaces{Clients: true}, opens: true},
		"a URL that is, and none of hosts": {of: Model{Peer: remote(func(r *Remote) { r.URL, r.OnHosts = types.StringUnknown(), nil }), Client: prod.Client}, known: both},
	} {
		renewal, known := c.of.OnHosts("prod", time.Hour, time.Minute)
		if known != c.known || (renewal != nil) != c.renews || c.of.OpenOnHosts() != c.opens {
			t.Errorf("%s: %+v, %v, open %v", name, renewal, known, c.of.OpenOnHosts())
		}
		if renewal == nil {
			continue
		}
		p := renewal.Peers
		if p.URL != c.url || p.Label != c.label || p.Profiles["peer"] != c.profile || p.Key.Reveal() != theirs || renewal.Validity != time.Hour || renewal.Before != time.Minute || (renewal.Clients != nil) != c.clients || p.Digest == "" {
			t.Errorf("%s: %+v, %+v", name, renewal, p)
		}
		other, _ := c.of.OnHosts("main", time.Hour, time.Minute)
		later, _ := c.of.OnHosts("prod", time.Hour, time.Second)
		if other.Peers.Digest == p.Digest || later.Peers.Digest == p.Digest {
			t.Errorf("%s: its digest tells neither clusters nor settings apart", name)
		}
	}
	for name, c := range map[string]struct {
		edit func(*Remote)
		says string
	}{
		"sound":       {own, ""},
		"a short key": {func(r *Remote) { r.OnHosts.AuthKey = sensitive.Of("00") }, "pki.peer: remote.on_hosts.auth_key: it has 1 bytes"},
		"no TLS":      {func(r *Remote) { r.OnHosts.URL = types.StringValue("http://192.0.2.9") }, "pki.peer: remote.on_hosts.url: "},
		"a profile more": {func(r *Remote) {
			r.OnHosts.Profiles = types.MapValueMust(types.StringType, map[string]attr.Value{"peers": types.StringValue("x")})
		}, "pki.peer: remote.on_hosts.profiles: "},
		"not known yet": {func(r *Remote) { r.OnHosts.AuthKey = sensitive.Unknown() }, ""},
	} {
		t.Run(name, func(t *testing.T) { say(t, Model{Peer: remote(c.edit), Client: prod.Client}.Check(), c.says) })
	}
}
