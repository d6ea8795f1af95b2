package renewal

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/keys"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// tryTimeout bounds for how long a signing server is tried that may be away, once for each certificate.
const tryTimeout = time.Minute

// SetUp has the host renew certificates by a timer, or disables that.
//
// What it goes by is written after the units, so that who finds it knows that they are there, and before the timer
// runs.
func (h Host) SetUp(ctx context.Context, cluster string, r api.RenewOnHostRequest) error {
	marker, err := h.Records.Owned(cluster, r.Owner)
	if err != nil {
		return err
	}
	has, err := h.settings(cluster)
	var next *api.Renewal
	switch {
	case errors.Is(err, errSettings):
		next, err = r.OverDamaged(cluster)
	case err == nil:
		next, err = r.Over(has)
	}
	switch {
	case err != nil:
		return err
	case next == nil:
		return h.Disable(ctx, cluster)
	}
	if err := check(*next); err != nil {
		return err
	}
	if err := h.try(ctx, *marker, *next, has); err != nil {
		return err
	}
	units, err := UnitTexts(*marker, *next)
	if err != nil {
		return api.Refuse("%s", err)
	}
	if err := h.unitFiles().Put(ctx, unitNames(cluster), units); err != nil {
		return err
	}
	text, err := json.MarshalIndent(secret.Revealed(*next), "", "  ")
	if err != nil {
		return errors.New("encode how certificates are renewed") // and nothing of what is in it
	}
	if _, err := h.Files.Put(files.File{Path: api.RenewalFile(cluster), Text: append(text, '\n'), Owner: files.RootUser, Mode: files.KeyFile}); err != nil {
		return err
	}
	return h.Units.Start(ctx, api.RenewalUnit(cluster)+".timer")
}

// check refuses what no run could go by.
func check(r api.Renewal) error {
	for _, key := range []string{api.KeyPeer, api.KeyServer} {
		if place := r.For(key); place != nil {
			if _, _, err := ask(*place); err != nil {
				return api.Refuse("who signs the %s certificate: %s", key, err)
			}
		}
	}
	return nil
}

// try has servers that the host has not asked so before sign for keys that nobody keeps. Without it a wrong key or
// profile would show months later, when the first certificate is due.
func (h Host) try(ctx context.Context, marker api.Marker, next api.Renewal, has *api.Renewal) error {
	r := &run{Host: h, marker: marker, settings: next}
	for _, name := range api.KeyNames {
		place := next.For(name)
		if place == nil || has != nil && has.For(name) != nil && has.For(name).Digest == place.Digest {
			continue
		}
		old, err := h.Keys.Pair(marker.Cluster, name)
		if err != nil {
			continue // the provider gives the member another one, and says why
		}
		issuer, chain, err := ask(*place)
		if err == nil {
			tried, cancel := context.WithTimeout(ctx, tryTimeout)
			var signed keys.Pair
			if signed, err = r.signed(tried, name, old, issuer, chain); err == nil {
				err = lastsLongEnough(signed.Leaf, chain, next)
			}
			cancel()
		}
		if err != nil {
			return fmt.Errorf("the host cannot renew certificate %s by on_hosts, as it has tried for a key that nobody keeps; nothing was changed: %w", name, err)
		}
	}
	return nil
}

// lastsLongEnough refuses a server that signs for so short a time that the timer may not look at a certificate between
// the time when it is due and its end. One that ends with its authority says nothing of the server.
func lastsLongEnough(leaf *x509.Certificate, chain []*x509.Certificate, by api.Renewal) error {
	window := by.Window(leaf.NotAfter.Sub(leaf.NotBefore))
	if window >= api.RenewalWindow || !leaf.NotAfter.Before(cert.FirstEnd(chain)) {
		return nil
	}
	return fmt.Errorf("the server signs for %s, and the host would have %s to renew such a certificate. Its timer looks once an hour, up to 50 minutes late, so it needs %s: have the server sign for longer, or set a longer certificates.renew_before",
		leaf.NotAfter.Sub(cert.Issued(leaf)).Round(time.Second), window.Round(time.Minute), api.RenewalWindow)
}

// UnitTexts are the units by which a host renews, by their names.
func UnitTexts(marker api.Marker, r api.Renewal) (map[string]string, error) {
	return systemd.RenderRenewal(systemd.RenewOptions{
		Cluster: marker.Cluster, Store: api.SelectedStore(marker.Cluster), ConfigDir: api.ConfigDir(marker.Cluster), Metrics: api.MetricsDir,
		RunDir: api.RunDir, Reaches: r.Reaches(marker.PeerURL()),
	})
}

// unitNames are the units; what starts another comes first.
func unitNames(cluster string) []string {
	unit := api.RenewalUnit(cluster)
	return []string{unit + ".timer", unit + ".service"}
}

// Disable removes all by which the host renews certificates, the key that the signing servers know it by among it. The
// certificates stay. What says that there is something to remove goes last.
func (h Host) Disable(ctx context.Context, cluster string) error {
	if err := h.unitFiles().Put(ctx, unitNames(cluster), nil); err != nil {
		return err
	}
	// Whatever else lies there keeps no cluster from leaving.
	_ = files.Remove(h.Files.Path(api.RenewalMetricsFile(cluster)))
	settings := h.Files.Path(api.RenewalFile(cluster))
	// A call that was cut short has left the key beside its place.
	for _, file := range []string{h.Files.Path(api.RenewalRecordFile(cluster)), files.NextName(settings), settings} {
		if err := files.Remove(file); err != nil {
			return err
		}
	}
	return nil
}

// settings are what the host renews by; nil: it does not.
func (h Host) settings(cluster string) (*api.Renewal, error) {
	r, err := records.Settings[api.Renewal](h.Files.Path(api.RenewalFile(cluster)), errSettings)
	if err != nil || r == nil {
		return nil, err
	}
	for _, place := range []*api.SigningPlace{r.Peers, r.Clients} {
		if place != nil && place.Digest == "" {
			place.Digest = earlierDigest
		}
	}
	return r, nil
}

// earlierDigest stands for that of a place which an earlier store has written, with one digest for both: it is no
// place's that is desired, so that such a place is replaced or removed once it is known what is desired, and kept until
// then.
const earlierDigest = "earlier"

// errSettings is said of a RenewalFile that no call of this store can have written.
var errSettings = errors.New("the file that says how certificates are renewed cannot be read: apply again")

// Status is what the host knows of its renewals; nil: it makes none.
func (h Host) Status(ctx context.Context, cluster string) (*api.RenewalStatus, error) {
	r, err := h.settings(cluster)
	switch {
	case errors.Is(err, errSettings):
		return &api.RenewalStatus{Damaged: true}, nil
	case err != nil || r == nil:
		return nil, err
	}
	status := &api.RenewalStatus{Last: h.last(cluster)}
	status.Peers, status.Clients = r.Digests()
	if info, err := os.Lstat(h.Files.Path(api.RenewalFile(cluster))); err != nil || info.Mode() != files.KeyFile || files.OwnerOf(info) != files.RootUser {
		status.Damaged = true
	}
	has, err := h.unitFiles().Status(ctx, unitNames(cluster), []string{api.RenewalUnit(cluster) + ".timer"})
	if err != nil {
		return nil, err
	}
	status.Units, status.Enabled, status.NeedReload = has.Units, has.Enabled, has.NeedReload
	return status, nil
}

// last is the last run; nil: none was. A record that cannot be read is none: the next run writes it anew.
func (h Host) last(cluster string) *api.RenewalRun {
	var run api.RenewalRun
	text, err := inside.ReadFile(h.Files.Path(api.RenewalRecordFile(cluster)))
	if err != nil || json.Unmarshal(text, &run) != nil {
		return nil
	}
	return &run
}
