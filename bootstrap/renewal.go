package bootstrap

import (
	"cmp"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/order"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// Renewal is how long members' certificates are valid, and when they are renewed.
type Renewal struct {
	Before time.Duration // before its end a certificate is renewed; 0: in the last third of its life
	// Validity is that of new certificates, and one that is valid for longer is renewed. 0: the default, and no
	// certificate is renewed for its validity.
	Validity time.Duration
}

// due says which of a member's certificates are to be renewed by now, though they hold; empty: none. One that ends with
// its authority is left as it is, since another would end at the same time: exhausted says which does.
func (c Cluster) due(m membership.Member, held map[string]api.Certificate, known trust, now time.Time) (due, exhausted string) {
	if tooLong := c.validTooLong(m, held); tooLong != "" || now.IsZero() {
		return tooLong, ""
	}
	for _, want := range c.Keys(m) {
		leaf, err := cert.ParseLeaf([]byte(held[want.Name].PEM))
		if err != nil || !cert.NeedsRenewal(cert.InfoOf(leaf), now, c.Renewal.Before) {
			continue
		}
		expires := fmt.Sprintf("its %s certificate expires at %s", want.Name, leaf.NotAfter.UTC().Format(time.RFC3339))
		if !endsWithItsAuthority(held[want.Name].PEM, known.of(want.Name)) {
			return expires, exhausted
		}
		exhausted = cmp.Or(exhausted, expires)
	}
	return "", exhausted
}

// validTooLong says which of a member's certificates is valid for longer than the configuration says; empty: none.
// Certificates say whole seconds.
func (c Cluster) validTooLong(m membership.Member, held map[string]api.Certificate) string {
	for _, want := range c.Keys(m) {
		leaf, err := cert.ParseLeaf([]byte(held[want.Name].PEM))
		if err != nil || c.Renewal.Validity == 0 {
			continue
		}
		if lasts := leaf.NotAfter.Sub(cert.Issued(leaf)); lasts > c.Renewal.Validity+time.Second {
			return fmt.Sprintf("its %s certificate is valid for %s, and validity is %s", want.Name, membership.Short(lasts), membership.Short(c.Renewal.Validity))
		}
	}
	return ""
}

// endsWithItsAuthority tells whether a certificate was cut short at the end of the authority that it is of, or of one
// above that.
func endsWithItsAuthority(text string, known authorities) bool {
	chain, err := cert.Parse([]byte(text))
	return err == nil && slices.ContainsFunc(known, func(authority *x509.Certificate) bool {
		return chain[0].CheckSignatureFrom(authority) == nil && !chain[0].NotAfter.Before(cert.FirstEnd(append(chain[1:], authority)))
	})
}

// RenewedOnHosts returns the cluster whose hosts renew certificates so by themselves; nil: not at all. What is not
// known of it stays as each host has it.
func (c Cluster) RenewedOnHosts(by *api.Renewal, of api.RenewalPlaces) Cluster {
	c.OnHosts, c.OnHostsOf, c.Renewals = by, of, describeRenewal(by, of)
	c.OtherRenewals = !of.Peers || !of.Clients
	return c
}

// NoRenewals says that a host is to renew certificates by itself and was never configured to.
const NoRenewals = "it does not renew certificates by itself yet"

// Unrenewed returns how the way in which a host renews certificates by itself differs from what is desired, or "".
func (c Cluster) Unrenewed(m membership.Member, o *api.Observation) string {
	switch has := o.Renewal; {
	case c.OnHostsOf == (api.RenewalPlaces{}) || c.OnHosts == nil && c.RenewsAs(has):
		return ""
	case c.lost(has):
		return LostRenewals
	case c.OnHosts == nil:
		return "it renews certificates by itself, which the configuration does not ask for"
	case has == nil:
		return NoRenewals
	case !c.RenewsAs(has):
		return "it renews certificates by other settings"
	case !has.Enabled:
		return "its renewals are switched off: their timer does not run"
	case has.NeedReload:
		return "systemd has not read the units of its renewals since they were changed"
	case c.hasOldRenewals(m, o) && c.versionOf(o.Store.Selected) != "":
		return OtherRenewals
	}
	return ""
}

// OtherRenewals says that a host renews certificates by the right settings, but with other units than its store would
// write.
const OtherRenewals = "the units of its renewals are not as this version of the provider writes them"

// hasOldRenewals tells whether a host renews certificates by the right settings but its units differ from the desired
// ones. A store that this build of the provider does not carry writes its own units, which are right until the member
// gets another store.
func (c Cluster) hasOldRenewals(m membership.Member, o *api.Observation) bool {
	has := o.Renewal
	switch {
	case c.OnHosts == nil || has == nil || !c.RenewsAs(has):
		return false // it is told anew anyway
	case !c.OnHostsOf.Peers && has.Peers != "" || !c.OnHostsOf.Clients && has.Clients != "":
		return false // nobody knows which units it needs
	}
	return has.Units != c.renewalUnits(m)
}

// LostRenewals says that nobody knows what a host did for an authority whose signer the configuration leaves out. The
// host refuses to be told of the other one alone.
const LostRenewals = "what it renews certificates by cannot be read, and pki leaves the signer of one authority out"

// lost tells whether a host's settings cannot be read, and the configuration does not know those of one authority.
func (c Cluster) lost(has *api.RenewalStatus) bool {
	return has != nil && has.Damaged && has.Peers == "" && has.Clients == "" && c.OnHostsOf.Peers != c.OnHostsOf.Clients
}

// otherStoreRenews is why a member is restarted whose store may not understand how its host is to renew certificates.
const otherStoreRenews = "its store is of another release, and may not understand how its host is to renew certificates"

// mayMisunderstandRenewals tells whether a host's store is not one of this build's, shows in nothing that it knows each
// authority's renewals by themselves, and can be exchanged for one that does. It may be of a release that had them
// otherwise, or not at all, and refuses then.
func (c Cluster) mayMisunderstandRenewals(o *api.Observation) bool {
	has := o.Renewal
	understands := has != nil && (has.Damaged || has.Peers != "" || has.Clients != "")
	return !understands && o.Store.Selected != "" && !c.Carries(o.Store.Selected) && c.Stores[o.Facts.Architecture] != ""
}

// RenewsAs tells whether a host renews by the servers that are desired, as far as they are known. One whose store of
// another release does not say by which does not.
func (c Cluster) RenewsAs(has *api.RenewalStatus) bool {
	switch {
	case has == nil:
		has = &api.RenewalStatus{}
	case has.Peers == "" && has.Clients == "" && c.OnHostsOf != (api.RenewalPlaces{}):
		return false
	}
	peers, clients := c.OnHosts.Digests()
	return !has.Damaged && (!c.OnHostsOf.Peers || has.Peers == peers) && (!c.OnHostsOf.Clients || has.Clients == clients)
}

// renewalUnits returns the digest of the units by which a member's host is to renew certificates.
func (c Cluster) renewalUnits(m membership.Member) string {
	units, err := systemd.RenderRenewal(systemd.RenewOptions{
		Cluster: c.Name, Store: api.SelectedStore(c.Name), ConfigDir: api.ConfigDir(c.Name), Metrics: api.MetricsDir, RunDir: api.RunDir,
		Reaches: c.OnHosts.Reaches(c.PeerURL(m)),
	})
	if err != nil {
		return "" // the host refuses it
	}
	return systemd.Digest(units)
}

// describeRenewal describes for steps by whom certificates are renewed. Secrets do not show, as in describeBackup.
func describeRenewal(r *api.Renewal, of api.RenewalPlaces) string {
	if r == nil {
		return ""
	}
	open := *r
	var by []string
	for _, one := range []struct {
		whose string
		place **api.SigningPlace
		kinds []order.Profile // of the certificates that the authority signs
	}{{"peers'", &open.Peers, []order.Profile{order.Peer}}, {"servers' and the administrator's", &open.Clients, []order.Profile{order.Server, order.Client}}} {
		if *one.place == nil {
			continue
		}
		by = append(by, fmt.Sprintf("%s by %s", one.whose, describeSigner(**one.place, one.kinds)))
		keyless := **one.place
		keyless.Key, keyless.Digest = secret.Text{}, ""
		*one.place = &keyless
	}
	if !of.Peers || !of.Clients {
		by = append(by, "the others' as before")
	}
	text, _ := json.Marshal(open) // plain values always encode
	return fmt.Sprintf("%s (settings %s)", strings.Join(by, ", "), digest(string(text))[:8])
}

// describeSigner describes which authority of a signing server signs, and by which of its profiles, where these are
// not the server's only one and those that are named after what a certificate is for.
func describeSigner(at api.SigningPlace, kinds []order.Profile) string {
	var by []string
	if at.Label != "" {
		by = append(by, fmt.Sprintf("label %q", at.Label))
	}
	for _, kind := range kinds {
		if profile := at.Profiles[string(kind)]; profile != "" && profile != string(kind) {
			by = append(by, fmt.Sprintf("profile %q for %s", profile, kind))
		}
	}
	if len(by) == 0 {
		return at.URL
	}
	return fmt.Sprintf("%s (%s)", at.URL, strings.Join(by, ", "))
}

// servesOther says at which ports a member serves a certificate that is not the one in its file. etcd reads its files
// at each handshake, so that such a member has to be restarted. Of a port that nobody has looked at, it says nothing.
func (c Cluster) servesOther(o api.Observation) (serves membership.Served) {
	for _, key := range []string{api.KeyPeer, api.KeyServer} {
		served, seen := o.Served[key]
		leaf, err := cert.ParseLeaf([]byte(o.Certificates[key].PEM))
		if !seen || err != nil || !o.Certificates[key].HasKey || served.SHA256 == cert.InfoOf(leaf).SHA256 {
			continue
		}
		*api.ForKey(key, &serves.Peers, &serves.Clients) = fmt.Sprintf("it serves the certificate with serial %s at its %s, and its file has the one with serial %s", served.Serial, c.PortOf(key), cert.InfoOf(leaf).SerialNumber)
	}
	return serves
}

// PortOf names the port that serves a key's certificate.
func (c Cluster) PortOf(key string) string {
	if key == api.KeyPeer {
		return fmt.Sprintf("peer port %d", c.PeerPort)
	}
	return fmt.Sprintf("client port %d", c.ClientPort)
}
