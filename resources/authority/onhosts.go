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

// OnHosts returns how the hosts of a cluster renew certificates by themselves, as long as they are valid for no longer than validity, and
// so long before their end; nil: they do not. It is not known where a plan does without a key or a server, or where a part of what
// hosts go by is known after apply.
func (a Model) OnHosts(cluster string, validity, before time.Duration) (_ *api.Renewal, known bool) {
	renewal := api.Renewal{Validity: validity, Before: before}
	for _, of := range []struct {
		pair  KeyPair
		place **api.SigningPlace
	}{{a.Peer, &renewal.Peers}, {a.Client, &renewal.Clients}} {
		if !of.pair.Signs() || !of.pair.knownOnHosts() {
			return nil, false
		}
		if r := of.pair.Remote; r != nil && r.OnHosts != nil {
			at := r.asHosts()
			profiles, err := at.profiles()
			if err != nil {
				return nil, false // the authority is refused
			}
			*of.place = &api.SigningPlace{
				Authority: of.pair.Certificate.ValueString(), URL: at.URL.ValueString(), Key: secret.New(at.AuthKey.Reveal()),
				Label: at.Label.ValueString(), Profiles: profiles, CACertificate: at.CACertificate.ValueString(),
			}
		}
	}
	if renewal.Peers == nil && renewal.Clients == nil {
		return nil, true
	}
	renewal.Digest = digest(renewal, cluster)
	return &renewal, true
}

// OpenOnHosts tells whether a part of what hosts renew certificates by is known after apply: steps cannot be planned then.
func (a Model) OpenOnHosts() bool { return !a.Peer.knownOnHosts() || !a.Client.knownOnHosts() }

// knownOnHosts tells whether it is known whether and how hosts ask the server of an authority. One whose own attributes are not known
// may be one that hosts ask.
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

// digest returns what tells one configuration from another. It is kept on hosts, and tells nobody the keys that are in it, which have more entropy
// than can be tried.
func digest(r api.Renewal, cluster string) string {
	text, _ := json.Marshal(secret.Revealed(r)) // of plain values it does not fail
	sum := hmac.New(sha256.New, []byte(cluster))
	sum.Write(text)
	return hex.EncodeToString(sum.Sum(nil))
}
