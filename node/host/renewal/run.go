package renewal

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/keys"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/order"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/remote"
)

const (
	// servesWithin is how long a member may take to serve the certificate in its file: it reads the file at the next
	// handshake.
	servesWithin = 10 * time.Second
	// servesPoll is how long to wait before the member is asked again.
	servesPoll = 100 * time.Millisecond
	// tolerated is a key usage that a signing server may add to what TLS requires, as most profiles of cfssl do.
	tolerated = x509.KeyUsageKeyEncipherment
)

// profiles are what the certificates of a member's keys may be used for, by the name of the key.
var profiles = map[string]order.Profile{api.KeyPeer: order.Peer, api.KeyServer: order.Server, api.KeyAdmin: order.Client}

type run struct {
	Host
	marker   api.Marker
	settings api.Renewal
	all      bool // also renew certificates that are not due
	say      func(string)
	result   api.RenewalRun
}

// Run renews the member's certificates that are due, or all of them, and records the result. It reports what it does by
// say.
func (h Host) Run(ctx context.Context, cluster string, all bool, say func(string)) error {
	marker, err := h.Records.Marker(cluster)
	if err != nil {
		return err
	}
	if marker == nil {
		return api.Refuse("%s: there is no %s", records.NoCluster, api.MarkerFile(cluster))
	}
	settings, err := h.settings(cluster)
	if err != nil {
		return err
	}
	if settings == nil {
		return api.Refuse("this host renews no certificates of cluster %s by itself", cluster)
	}
	return h.Locks.Alone(ctx, locks.Renewal(cluster), func() error {
		r := &run{Host: h, marker: *marker, settings: *settings, all: all, say: say}
		r.result.Began = h.Now().UTC()
		err := r.renewAll(ctx)
		return errors.Join(err, r.record(err))
	})
}

// renewAll renews one certificate after another. If one cannot be renewed, it goes on with the next.
func (r *run) renewAll(ctx context.Context) error {
	if r.marker.Phase != api.PhaseFormed {
		return fmt.Errorf("member %s is no voter of its cluster yet: nothing was renewed", r.marker.Member)
	}
	var failures []error
	// A pair whose replacement was cut short is completed now, and not only by the next apply.
	if err := r.Locks.Idle(ctx, r.marker.Cluster, func() error { return r.Keys.CompletePairs(r.marker.Cluster) }); err != nil {
		failures = append(failures, err)
	}
	for _, name := range api.KeyNames {
		place := r.settings.For(name)
		if place == nil {
			r.say(fmt.Sprintf("certificate %s is not this host's to renew: no signing server is given for it", name))
			continue
		}
		renewed, err := r.renew(ctx, name, *place)
		if err != nil {
			failures = append(failures, fmt.Errorf("certificate %s was not renewed, and is as it was: %w", name, err))
		}
		if renewed {
			r.result.Renewed = append(r.result.Renewed, name)
		}
	}
	if len(r.result.Renewed) > 0 {
		_ = r.Keys.PutMetrics(r.marker.Cluster, r.marker.Member) // renewals do not fail for a full disk elsewhere
	}
	return errors.Join(failures...)
}

// renew renews one certificate if it is due.
func (r *run) renew(ctx context.Context, name string, place api.SigningPlace) (bool, error) {
	issuer, chain, err := ask(place)
	if err != nil {
		return false, err
	}
	old, err := r.Keys.Pair(r.marker.Cluster, name)
	if err != nil {
		return false, fmt.Errorf("%w; the next apply gives the member another one", err)
	}
	now := r.Now()
	chain = currentChain(old, chain, now)
	switch ends := old.Leaf.NotAfter.UTC().Format(time.RFC3339); {
	case now.Before(old.Leaf.NotBefore):
		return false, fmt.Errorf("the host's clock says %s, and the certificate is valid from %s: set the clock right", now.UTC().Format(time.RFC3339), old.Leaf.NotBefore.UTC().Format(time.RFC3339))
	case r.all:
	case !r.settings.IsDue(cert.InfoOf(old.Leaf), now):
		r.say(fmt.Sprintf("certificate %s is not due: it expires at %s", name, ends))
		return false, nil
	case !old.Leaf.NotAfter.Before(cert.FirstEnd(chain)):
		first := cert.FirstToEnd(chain)
		return false, fmt.Errorf("it expires at %s, and another would not end later, since the authority %q expires at %s: apply with another authority, or with the chain that was renewed above this one",
			ends, first.Subject.CommonName, first.NotAfter.UTC().Format(time.RFC3339))
	}
	if err := r.mayRenew(ctx, name, old, chain[0]); err != nil {
		return false, err
	}
	next, err := r.ordered(ctx, name, old, issuer, chain)
	if err != nil {
		return false, err
	}
	if err := r.Locks.Idle(ctx, r.marker.Cluster, func() error { return r.replace(ctx, name, place, old, next, chain[0]) }); err != nil {
		return false, err
	}
	r.say(fmt.Sprintf("certificate %s was renewed: it expires at %s, and no longer at %s", name, next.Leaf.NotAfter.UTC().Format(time.RFC3339), old.Leaf.NotAfter.UTC().Format(time.RFC3339)))
	return true, nil
}

// ask returns the signing server, and the chain of authorities that is to sign, the issuing one first.
func ask(place api.SigningPlace) (order.Issuer, []*x509.Certificate, error) {
	chain, err := cert.Parse([]byte(place.Authority))
	if err != nil {
		return nil, nil, fmt.Errorf("read the authority: %w", err)
	}
	// A call by SSH may have a proxy in its environment, and the unit has none. Neither uses a proxy, so that both
	// reach the same servers.
	server := remote.Server{URL: place.URL, Key: place.Key, Label: place.Label, CACertificate: place.CACertificate, Profiles: map[order.Profile]string{}, Direct: true}
	for kind, profile := range place.Profiles {
		server.Profiles[order.Profile(kind)] = profile
	}
	issuer, err := server.Issuer()
	return issuer, chain, err
}

// currentChain returns the authority that signs, followed by the intermediates that the last apply has written. An
// apply without a signer writes a renewed chain only behind the certificate, so the chain in the settings may be older.
// currentChain returns the chain in the settings if the one behind the certificate is not of the same authority, or not
// valid now.
func currentChain(old keys.Pair, settings []*x509.Certificate, now time.Time) []*x509.Certificate {
	chain := cert.Following(old.Certificate)
	if len(chain) == 0 || !chain[0].Equal(settings[0]) {
		return settings
	}
	for i, c := range chain {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) || i > 0 && chain[i-1].CheckSignatureFrom(c) != nil {
			return settings
		}
	}
	return chain
}

// mayRenew returns an error, before the signing server is asked, if the member would not use the new certificate or
// would not trust it.
func (r *run) mayRenew(ctx context.Context, name string, old keys.Pair, authority *x509.Certificate) error {
	if err := r.isOf(name, old, authority); err != nil {
		return err
	}
	if held, err := r.Locks.IsRunning(r.marker.Cluster); err != nil || held {
		return cmp.Or(err, errors.New("a run of the provider holds the cluster's lock: the next run of this timer looks again"))
	}
	if name == api.KeyAdmin && !r.Now().Before(old.Leaf.NotAfter) {
		return r.answers(ctx) // etcd refuses an expired certificate
	}
	if why := r.unserved(ctx, name, old); why != "" {
		return fmt.Errorf("nothing was signed: %s", why)
	}
	return nil
}

// answers returns an error if the member's client port does not answer: no certificate would help.
func (r *run) answers(ctx context.Context) error {
	flags, err := r.Flags(r.marker.Cluster)
	if err != nil {
		return err
	}
	if _, answers := r.Member(r.marker).Served(ctx, flags)[api.KeyServer]; !answers {
		return fmt.Errorf("nothing was signed: the client port of member %s does not answer", r.marker.Member)
	}
	return nil
}

// isOf returns an error if the member does not trust the authority, or if the authority has not signed the present
// certificate. Only the provider exchanges authorities, since it looks at what the other members trust.
func (r *run) isOf(name string, old keys.Pair, authority *x509.Certificate) error {
	trusted, err := r.Keys.Authorities(r.marker.Cluster, name)
	switch {
	case err != nil:
		return err
	case !slices.ContainsFunc(trusted, authority.Equal):
		return fmt.Errorf("the member does not trust the authority %q (%s) that is to sign: apply, so that the host learns which one is", authority.Subject.CommonName, cert.Name(authority))
	case old.Leaf.CheckSignatureFrom(authority) != nil:
		return fmt.Errorf("its certificate is not of the authority %q (%s) that is to sign: an apply gives it one of that", authority.Subject.CommonName, cert.Name(authority))
	}
	return nil
}

// mustBeUnchanged returns an error if the member's identity, or the authority of its certificate, has changed since the
// run began.
func (r *run) mustBeUnchanged(name string, place api.SigningPlace) error {
	marker, err := r.Records.Marker(r.marker.Cluster)
	if err != nil {
		return err
	}
	settings, err := r.Host.settings(r.marker.Cluster)
	if err != nil {
		return err
	}
	if marker == nil || marker.Owner != r.marker.Owner || marker.Member != r.marker.Member || marker.Phase != r.marker.Phase ||
		settings == nil || settings.For(name) == nil || settings.For(name).Digest != place.Digest {
		return errors.New("the host was told otherwise while the signing server was asked")
	}
	return nil
}

// ordered has a certificate signed that expires later than the old one.
func (r *run) ordered(ctx context.Context, name string, old keys.Pair, issuer order.Issuer, chain []*x509.Certificate) (keys.Pair, error) {
	next, err := r.signed(ctx, name, old, issuer, chain)
	if err == nil && (next.Leaf.NotAfter.Before(old.Leaf.NotAfter) || !r.all && next.Leaf.NotAfter.Equal(old.Leaf.NotAfter)) {
		err = fmt.Errorf("the signed certificate was discarded: it expires at %s, and the present one at %s: it would be no gain", next.Leaf.NotAfter.UTC().Format(time.RFC3339), old.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return next, err
}

// signed makes a new key and has a certificate signed for it that says what the old one says. It compares the signed
// certificate with what was requested.
func (r *run) signed(ctx context.Context, name string, old keys.Pair, issuer order.Issuer, chain []*x509.Certificate) (keys.Pair, error) {
	info := cert.InfoOf(old.Leaf)
	want := order.Request{Profile: profiles[name], CommonName: info.CommonName, Organization: info.Organization, DNSNames: info.DNSNames, IPs: info.IPs, Lifetime: r.settings.Validity}
	if err := want.Check(); err != nil {
		return keys.Pair{}, err
	}
	algorithm := keys.AlgorithmOf(old.Key)
	if algorithm == "" {
		return keys.Pair{}, errors.New("its key is of no algorithm that keys are made of")
	}
	key, err := r.Keys.New(algorithm)
	if err != nil {
		return keys.Pair{}, err
	}
	wanted := api.KeyRequest{Name: name, Algorithm: algorithm, CommonName: info.CommonName, Organization: info.Organization, DNSNames: info.DNSNames}
	for _, ip := range info.IPs {
		wanted.IPs = append(wanted.IPs, ip.String())
	}
	request, err := r.Keys.RequestFor(key, wanted)
	if err != nil {
		return keys.Pair{}, err
	}
	now := r.Now()
	signed, err := issuer.Issue(ctx, order.Order{Request: want, RequestPEM: []byte(request), NotBefore: now.Add(-cert.Backdate), NotAfter: now.Add(want.LifetimeOrDefault())})
	if err != nil {
		return keys.Pair{}, err
	}
	leaf, err := cert.ParseOne(signed)
	if err == nil {
		err = order.Check(leaf, chain, key.Public(), want, tolerated, r.Now())
	}
	if err != nil {
		return keys.Pair{}, order.Discarded(issuer, err)
	}
	return keys.Pair{Key: key, Leaf: leaf, Certificate: cert.Encode(append([]*x509.Certificate{leaf}, cert.Behind(chain)...)...)}, nil
}

// replace replaces the pair, and restores the old one if the member does not serve the new one. The cluster's lock is
// held, so replace first looks again at everything that the new certificate was based on.
func (r *run) replace(ctx context.Context, name string, place api.SigningPlace, old, next keys.Pair, authority *x509.Certificate) error {
	etcd, err := r.SystemUser()
	if err != nil {
		return err
	}
	if err := r.mustBeUnchanged(name, place); err != nil {
		return err
	}
	if err := r.isOf(name, old, authority); err != nil {
		return err
	}
	if now, err := r.Keys.Pair(r.marker.Cluster, name); err != nil || !now.Leaf.Equal(old.Leaf) {
		return cmp.Or(err, errors.New("it was replaced while the signing server was asked"))
	}
	err = r.Keys.Replace(r.marker.Cluster, name, next, etcd)
	if err == nil {
		// A shutdown of the host does not end the wait: the certificate is renewed in any case.
		if why := r.unserved(context.WithoutCancel(ctx), name, next); why != "" {
			err = errors.New(why)
		}
	}
	if err == nil {
		return nil
	}
	if now, unread := r.Keys.Pair(r.marker.Cluster, name); unread != nil || !now.Leaf.Equal(old.Leaf) {
		if failed := r.Keys.Replace(r.marker.Cluster, name, old, etcd); failed != nil {
			return errors.Join(err, fmt.Errorf("put the one before back: %w", failed))
		}
	}
	return err
}

// unserved waits until the member serves, or accepts, a certificate. It returns why the member does not, or "".
func (r *run) unserved(ctx context.Context, name string, pair keys.Pair) (why string) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.Patience, servesWithin))
	defer cancel()
	for {
		if why = r.unservedNow(ctx, name, pair); why == "" {
			return ""
		}
		select {
		case <-ctx.Done():
			return why
		case <-time.After(servesPoll):
		}
	}
}

func (r *run) unservedNow(ctx context.Context, name string, pair keys.Pair) string {
	flags, err := r.Flags(r.marker.Cluster)
	if err != nil {
		return err.Error()
	}
	member := r.Member(r.marker)
	if name == api.KeyAdmin {
		if view := member.Look(ctx); !view.Responding {
			return "the member does not answer to the administrator's certificate: " + view.Error
		}
		return ""
	}
	served, answers := member.Served(ctx, flags)[name]
	switch {
	case !answers:
		return fmt.Sprintf("the port of member %s that serves it does not answer", r.marker.Member)
	case served.SHA256 != cert.InfoOf(pair.Leaf).SHA256:
		return fmt.Sprintf("member %s serves another certificate than its file has: the next apply mends that", r.marker.Member)
	}
	return ""
}

// record records a run that has ended, and writes its metrics. Failing to write the metrics is no error.
func (r *run) record(failed error) error {
	if settings, err := r.Host.settings(r.marker.Cluster); err == nil && settings == nil {
		return nil // renewals were switched off meanwhile, and leave nothing behind
	}
	if last := r.last(r.marker.Cluster); last != nil {
		r.result.Good = last.Good
	}
	r.result.Ended = r.Now().UTC()
	if failed == nil {
		r.result.Good = r.result.Ended
	} else {
		r.result.Error = failed.Error()
	}
	text, err := json.MarshalIndent(r.result, "", "  ")
	if err != nil {
		return err
	}
	_, err = r.Files.Put(files.File{Path: api.RenewalRecordFile(r.marker.Cluster), Text: append(text, '\n'), Owner: files.RootUser, Mode: files.KeyFile})
	if err != nil {
		err = fmt.Errorf("record the renewal: %w", err)
		r.result.Error = cmp.Or(r.result.Error, err.Error())
	}
	if _, err := r.Files.Put(files.File{Path: api.RenewalMetricsFile(r.marker.Cluster), Text: []byte(metrics(r.marker, r.result)), Owner: files.RootUser, Mode: files.UnitFile}); err != nil {
		r.say(fmt.Sprintf("monitoring was not told: %s", err))
	}
	return err
}

// metrics returns the last run in Prometheus' text format.
func metrics(m api.Marker, r api.RenewalRun) string {
	var b strings.Builder
	tell := func(name, help string, value int64) {
		name = "etcd_certificate_renewal_" + name
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n%s{cluster=%q,member=%q} %d\n", name, help, name, name, m.Cluster, m.Member, value)
	}
	tell("last_run_timestamp_seconds", "When the last run ended that looked for certificates to renew on this host.", r.Ended.Unix())
	tell("last_run_success", "Whether all that were due were renewed.", map[bool]int64{true: 1}[r.Error == ""])
	if !r.Good.IsZero() {
		tell("last_success_timestamp_seconds", "When the last run ended that succeeded.", r.Good.Unix())
	}
	return b.String()
}
