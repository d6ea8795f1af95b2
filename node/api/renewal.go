package api

import (
	"net/netip"
	"net/url"
	"path"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// OpRenewOnHost has the host renew its member's certificates by itself, or stop doing so.
const OpRenewOnHost Operation = "renew-on-host" // RenewOnHostRequest -> Done; wants the lock

// RenewalFile holds the Renewal as JSON, with the keys by which the signing servers know the host. Only root can read
// it.
func RenewalFile(cluster string) string { return path.Join(ConfigDir(cluster), "renewal.json") }

// RenewalRecordFile holds the result of the last RenewalRun.
func RenewalRecordFile(cluster string) string { return path.Join(ConfigDir(cluster), "renewed.json") }

// RenewalMetricsFile says, for node_exporter's textfile collector, how the last run went. Everybody can read it.
func RenewalMetricsFile(cluster string) string {
	return path.Join(MetricsDir, "etcd_renewal_"+cluster+".prom")
}

// RenewalUnit is a service and the timer that starts it.
func RenewalUnit(cluster string) string { return "etcd-renew@" + cluster }

// Renewal configures how a host renews its member's certificates. All members of a cluster have the same.
type Renewal struct {
	Peers   *SigningPlace `json:"peers,omitempty"`   // who signs for KeyPeer; nil: the host does not renew it
	Clients *SigningPlace `json:"clients,omitempty"` // who signs for the others; nil: the host does not renew them
	// Validity is the longest that a certificate may be valid, in nanoseconds; 0: as long as the server says.
	Validity time.Duration `json:"validity,omitempty"`
	Before   time.Duration `json:"before,omitempty"` // nanoseconds before its end; 0: the last third of its life
}

// SigningPlace is a cfssl server, and the authority that it signs by.
type SigningPlace struct {
	Digest        string            `json:"digest"`    // of everything here: any change of it changes the digest
	Authority     string            `json:"authority"` // its certificate, PEM, and those above it as far as known
	URL           string            `json:"url"`
	Key           secret.Text       `json:"auth_key"`
	Label         string            `json:"label,omitempty"`
	Profiles      map[string]string `json:"profiles,omitempty"`       // by what a certificate is for
	CACertificate string            `json:"ca_certificate,omitempty"` // PEM; empty: the system's
}

// For returns the signing server for a key's certificate, or nil if there is none.
func (r Renewal) For(key string) *SigningPlace { return ForKey(key, r.Peers, r.Clients) }

// Digests returns the digests of both servers, or "" for one that is not set.
func (r *Renewal) Digests() (peers, clients string) {
	if r != nil && r.Peers != nil {
		peers = r.Peers.Digest
	}
	if r != nil && r.Clients != nil {
		clients = r.Clients.Digest
	}
	return peers, clients
}

// A host renews this long before a plan would, so that no plan finds a certificate due.
const renewalLead = 48 * time.Hour

// IsDue tells whether the host is to renew a certificate now.
func (r Renewal) IsDue(info cert.Info, now time.Time) bool {
	return !now.Before(info.NotAfter.Add(-r.Window(info.NotAfter.Sub(info.NotBefore))))
}

// RenewalWindow is how long before its end a certificate has to be due at least that hosts are to renew. Their timer
// has them look once an hour, each time up to 50 minutes late: in three hours they look twice, so that one look may be
// in vain.
const RenewalWindow = 3 * time.Hour

// Window returns how long before its end a certificate of that lifetime is due on its host.
func (r Renewal) Window(lifetime time.Duration) time.Duration {
	return cert.DueFor(lifetime, r.Before) + min(renewalLead, lifetime/12)
}

// Reaches returns the addresses that a run connects to, sorted: those of the servers, and the member's among its peers.
// It returns nil if any of them is no IP address, since the run may connect to any address then.
func (r Renewal) Reaches(peerURL string) (addresses []string) {
	urls := []string{peerURL}
	for _, place := range []*SigningPlace{r.Peers, r.Clients} {
		if place != nil {
			urls = append(urls, place.URL)
		}
	}
	for _, text := range urls {
		at, err := url.Parse(text)
		if err != nil {
			return nil
		}
		ip, err := netip.ParseAddr(at.Hostname())
		if err != nil || ip.Zone() != "" {
			return nil
		}
		addresses = append(addresses, ip.Unmap().String())
	}
	slices.Sort(addresses)
	return slices.Compact(addresses)
}

// RenewOnHostRequest has the host renew certificates by itself or, with a nil Renewal, stop doing so. Files and units
// that are right already stay as they are.
type RenewOnHostRequest struct {
	Owner   string        `json:"owner"` // must be the marker's
	Renewal *Renewal      `json:"renewal"`
	Of      RenewalPlaces `json:"of"` // which places Renewal sets; the host keeps its own of the other
}

// RenewalPlaces says which places of a Renewal are meant.
type RenewalPlaces struct {
	Peers   bool `json:"peers"`
	Clients bool `json:"clients"`
}

// Over returns the configuration of a host that has has, once r is set. nil means that the host renews nothing.
func (r RenewOnHostRequest) Over(has *Renewal) (*Renewal, error) {
	var next Renewal
	switch {
	case r.Renewal != nil:
		next = *r.Renewal
	case has != nil:
		next.Validity, next.Before = has.Validity, has.Before
	}
	if r.Of == (RenewalPlaces{}) || next.Peers != nil && !r.Of.Peers || next.Clients != nil && !r.Of.Clients {
		return nil, Refuse("it does not say whose certificates are renewed so")
	}
	if has != nil && !r.Of.Peers {
		next.Peers = has.Peers
	}
	if has != nil && !r.Of.Clients {
		next.Clients = has.Clients
	}
	switch {
	case next.Peers != nil && next.Peers.Digest == "" || next.Clients != nil && next.Clients.Digest == "":
		return nil, Refuse("it is no renewal without a digest")
	case next.Peers != nil || next.Clients != nil:
		return &next, nil
	case r.Renewal != nil:
		return nil, Refuse("it is no renewal without a signing server")
	}
	return nil, nil
}

// OverDamaged returns what the host is to renew by whose own settings cannot be read, as Over does.
func (r RenewOnHostRequest) OverDamaged(cluster string) (*Renewal, error) {
	if r.Of.Peers != r.Of.Clients {
		return nil, Refuse("what this host renews certificates by cannot be read (%s), and pki leaves the signer of one authority out, so that it would no longer renew the certificates of that one: "+
			"apply once with the signers of both", RenewalFile(cluster))
	}
	return r.Over(nil)
}

// RenewalStatus is what a host knows about its renewals.
type RenewalStatus struct {
	Peers   string `json:"peers"`   // digest of the server for these certificates; empty: the host renews none
	Clients string `json:"clients"` // likewise
	Damaged bool   `json:"damaged"` // its Renewal cannot be read, or anyone but root can read it
	Units   string `json:"units"`   // digest of its units (systemd.Digest)
	Enabled bool   `json:"enabled"` // its timer is enabled and running
	// NeedReload tells that the file of one of its units has changed since systemd read it.
	NeedReload bool        `json:"need_reload,omitempty"`
	Last       *RenewalRun `json:"last"` // nil: there was none
}

// RenewalRun is the result of a run.
type RenewalRun struct {
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
	Renewed []string  `json:"renewed,omitempty"` // names of the keys whose certificates were renewed
	Error   string    `json:"error,omitempty"`   // empty: it succeeded, or nothing was due
	Good    time.Time `json:"good,omitzero"`     // when the last run ended that succeeded
}
