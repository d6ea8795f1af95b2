package host

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Configure writes everything that a member runs by, selects its store, and has systemd read its unit. It stops and
// starts nothing. It refuses a request whose parts do not fit together, and waits for other calls, before it writes
// anything.
func (m *Machine) Configure(ctx context.Context, cluster string, r api.ConfigureRequest) error {
	old, err := m.mayConfigure(cluster, r)
	if err != nil {
		return err
	}
	etcd, err := m.systemUser()
	if err != nil {
		return err
	}
	// A call that does not get the lock says that the host is busy, and has written nothing.
	if err := m.locks().Alone(ctx, locks.Shared, func() error { return m.writeFiles(cluster, r, etcd) }); err != nil {
		return err
	}
	if err := m.putUnit(ctx, cluster, r.Unit); err != nil {
		return err
	}
	if m.mustBeAlone(*old, nil) == nil || isAlone(m.local(*old).Look(ctx)) { // else it is gone on with
		if err := m.records().EndRecovery(cluster); err != nil { // it is to run by what was written just now
			return err
		}
	}
	// The marker comes last, so that a host which says that it is formed has everything that belongs to that.
	marker := m.keepFormed(old, r.Marker)
	marker.Mount, marker.Former = old.Mount, old.Former // the host's own to say
	if err := m.records().PutMarker(marker, etcd); err != nil {
		return err
	}
	// The directory may be on a full disk, or on one that hangs: neither keeps a certificate from being renewed, nor a
	// call for another cluster waiting.
	_ = m.keys().PutMetrics(cluster, marker.Member)
	return nil
}

// writeFiles writes the files that a member runs by, apart from its unit, and selects its store.
func (m *Machine) writeFiles(cluster string, r api.ConfigureRequest, etcd files.Owner) error {
	readable := func(path, text string) files.File {
		return files.File{Path: path, Text: []byte(text), Owner: files.RootFor(etcd), Mode: files.ConfigFile}
	}
	for path, bundle := range bundles(r) {
		if _, err := m.files().Put(readable(path, bundle)); err != nil {
			return err
		}
	}
	if err := m.keys().CompletePairs(cluster); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Certificates)) {
		if err := m.keys().PutPair(cluster, name, readable(api.CertificateFile(cluster, name), r.Certificates[name])); err != nil {
			return err
		}
	}
	// After the pairs, since etcd refuses whoever has a certificate that is in it, the store too.
	if r.ClientCRL != "" {
		list, err := cert.ParseRevocationList([]byte(r.ClientCRL))
		if err != nil {
			return err
		}
		if _, err := m.files().Put(readable(api.ClientCRLFile(cluster), string(list.Raw))); err != nil {
			return err
		}
	}
	// The flags come after the files that they name: systemd may start the member meanwhile.
	if _, err := m.files().Put(readable(api.FlagsFile(cluster), strings.Join(r.Flags, "\n")+"\n")); err != nil {
		return err
	}
	return m.stores().Select(cluster, r.Store)
}

// bundles returns the CA bundles that a request holds, by their path.
func bundles(r api.ConfigureRequest) map[string]string {
	given := map[string]string{}
	if r.PeerCA != "" {
		given[api.PeerCAFile(r.Marker.Cluster)] = r.PeerCA
	}
	if r.ClientCA != "" {
		given[api.ClientCAFile(r.Marker.Cluster)] = r.ClientCA
	}
	return given
}

// putUnit writes the unit file, and has systemd read it if it has not yet.
func (m *Machine) putUnit(ctx context.Context, cluster, text string) error {
	changed, err := m.files().Put(files.File{Path: api.UnitFile(cluster), Text: []byte(text), Owner: files.RootUser, Mode: files.UnitFile})
	if err != nil {
		return err
	}
	if !changed {
		// An interrupted call may have written the file without telling systemd.
		state, err := m.Units.State(ctx, api.Unit(cluster))
		if err != nil || state.LoadState == "loaded" && !state.NeedReload {
			return err
		}
	}
	return m.Units.Reload(ctx)
}

// mayConfigure refuses a request whose parts do not fit together, or do not fit the host. It returns the host's marker.
func (m *Machine) mayConfigure(cluster string, r api.ConfigureRequest) (*api.Marker, error) {
	if r.Marker.Cluster != cluster {
		return nil, refuse("the marker is of cluster %q and the call of cluster %q", r.Marker.Cluster, cluster)
	}
	old, err := m.records().Owned(cluster, r.Marker.Owner)
	if err != nil {
		return nil, err
	}
	if old.DataDir != r.Marker.DataDir || old.Member != r.Marker.Member {
		return nil, refuse("this host was prepared for member %s with its data in %s, and is to be configured for member %s with its data in %s: prepare it for that first", old.Member, old.DataDir, r.Marker.Member, r.Marker.DataDir)
	}
	if !m.stores().IsInstalled(r.Store) {
		return nil, refuse("store %q is not installed on this host", r.Store)
	}
	if r.Unit == "" {
		return nil, refuse("the unit to write is empty")
	}
	if err := api.CheckFlags(r.Flags, r.Marker); err != nil {
		return nil, err
	}
	return old, m.mayInstallCertificates(cluster, r)
}

// mayInstallCertificates refuses certificates and bundles that a member could not run with.
func (m *Machine) mayInstallCertificates(cluster string, r api.ConfigureRequest) error {
	for path, bundle := range bundles(r) {
		if _, err := cert.Parse([]byte(bundle)); err != nil {
			return refuse("the bundle for %s cannot be used: %s", path, err)
		}
	}
	if r.ClientCRL != "" {
		if _, err := cert.ParseRevocationList([]byte(r.ClientCRL)); err != nil {
			return refuse("the list of revoked certificates for %s cannot be used: %s", api.ClientCRLFile(cluster), err)
		}
	}
	for name, text := range r.Certificates {
		if err := api.CheckKeyName(name); err != nil {
			return err
		}
		if err := m.keys().MayPair(cluster, name, text); err != nil {
			return err
		}
	}
	return nil
}
