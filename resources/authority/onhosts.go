package authority

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// OnHosts returns how the hosts of a cluster renew certificates by themselves, as long as they are valid for no longer
// than validity, and so long before their end; nil: they do not. of are the authorities of which that is known: not of
// one whose key or server is left out of the configuration, or of which a part of what hosts go by is known after
// apply.
func (a Model) OnHosts(cluster string, validity, before time.Duration) (_ *api.Renewal, of api.RenewalPlaces) {
	renewal := api.Renewal{Validity: validity, Before: before}
	for _, one := range []struct {
		pair  KeyPair
		place **api.SigningPlace
		known *bool
	}{{a.Peer, &renewal.Peers, &of.Peers}, {a.Client, &renewal.Clients, &of.Clients}} {
		if !one.pair.Signs() || !one.pair.knownOnHosts() {
			continue
		}
		if r := one.pair.Remote; r != nil && r.OnHosts != nil {
			at := r.asHosts()
			profiles, err := at.profiles()
			if err != nil {
				continue // the authority is refused
			}
			place := &api.SigningPlace{
				Authority: one.pair.Certificate.ValueString(), URL: at.URL.ValueString(), Key: secret.New(at.AuthKey.Reveal()),
				Label: at.Label.ValueString(), Profiles: profiles, CACertificate: at.CACertificate.ValueString(),
			}
			place.Digest = digest(api.Renewal{Peers: place, Validity: validity, Before: before}, cluster)
			*one.place = place
		}
		*one.known = true
	}
	if renewal.Peers == nil && renewal.Clients == nil {
		return nil, of
	}
	return &renewal, of
}

// OpenOnHosts tells whether a part of what hosts renew certificates by is known after apply: steps cannot be planned
// then.
func (a Model) OpenOnHosts() bool { return !a.Peer.knownOnHosts() || !a.Client.knownOnHosts() }

// knownOnHosts tells whether it is known whether and how hosts ask the server of an authority. One whose own attributes
// are not known may be one that hosts ask.
func (k KeyPair) knownOnHosts() bool {
	switch r := k.Remote; {
	case r == nil:
		return true
	case r.OnHosts == nil:
		return !r.URL.IsUnknown() || !r.AuthKey.IsUnknown() // else the whole object is not known
	default:
		return r.known() && r.OnHosts.known() && !k.Certificate.IsUnknown()
	}
}

// digest returns what tells one configuration from another. It is kept on hosts, and tells nobody the keys that are in
// it, which have more entropy than can be tried.
func digest(r api.Renewal, cluster string) string {
	text, _ := json.Marshal(secret.Revealed(r)) // of plain values it does not fail
	sum := hmac.New(sha256.New, []byte(cluster))
	sum.Write(text)
	return hex.EncodeToString(sum.Sum(nil))
}
