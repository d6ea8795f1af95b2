package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// RollBack makes the host what it was before the restore. Until everything is back, the guard lets no member start.
func (m *Machine) RollBack(ctx context.Context, cluster string, r api.RollBackRequest) error {
	under, err := m.mayRollBack(cluster, r)
	if err != nil || under == nil {
		return err
	}
	if under.Stage != api.StageFenced {
		under.Stage, under.Token, under.Bump = api.StageFenced, "", 0
		if err := m.records().PutRestoration(cluster, under); err != nil {
			return err
		}
	}
	if err := m.Units.Stop(ctx, api.Unit(cluster)); err != nil {
		return err
	}
	if err := m.Units.Disable(ctx, api.Unit(cluster)); err != nil {
		return err
	}
	if err := m.restoreOldData(cluster, under); err != nil {
		return err
	}
	if under.Marker == nil {
		return m.forget(ctx, cluster, under)
	}
	if err := m.restoreOldConfiguration(ctx, cluster, under); err != nil {
		return err
	}
	return m.endRestoration(cluster, under.Beside())
}

// mayRollBack refuses a restore that cannot be rolled back. It returns nil if nothing is left to roll back.
func (m *Machine) mayRollBack(cluster string, r api.RollBackRequest) (*records.Restoration, error) {
	marker, err := m.records().Marker(cluster)
	if err == nil && marker != nil {
		_, err = m.records().Owned(cluster, r.Owner)
	}
	if err != nil {
		return nil, err
	}
	under, err := m.records().Restoration(cluster)
	switch {
	case err != nil || under == nil:
		return nil, err
	case under.Owner != r.Owner:
		return nil, refuse("%s, by another Terraform object: roll it back from the state that holds it", under)
	case under.Stage == api.StageOpened:
		return nil, refuse("%s: clients may have written to the restored cluster, and would lose that; the old data lies in %s", under, under.Aside)
	}
	if err := m.mustHaveDisk(marker, under); err != nil {
		return nil, err
	}
	if under.Cleared && under.Aside != "" && !files.IsDir(m.path(under.Aside)) {
		return nil, refuse("%s, and the old data is not in %s any more, where it was moved to: put it back there, or mount the disk that it is on; to go on without it, finish the restore (restore.roll_back = false)", under, under.Aside)
	}
	return under, nil
}

// restoreOldConfiguration puts back what the old member ran by, and the marker last.
func (m *Machine) restoreOldConfiguration(ctx context.Context, cluster string, under *records.Restoration) error {
	etcd, err := m.systemUser()
	if err != nil {
		return err
	}
	readable := files.RootFor(etcd)
	if err := m.putOrRemove(files.File{Path: api.FlagsFile(cluster), Text: []byte(strings.Join(under.Flags, "\n") + "\n"), Owner: readable, Mode: files.ConfigFile}, under.Flags != nil); err != nil {
		return err
	}
	text, err := json.Marshal(under.Progress)
	if err != nil {
		return fmt.Errorf("encode how far the member had come: %w", err)
	}
	if err := m.putOrRemove(files.File{Path: api.ProgressFile(cluster), Text: append(text, '\n'), Owner: readable, Mode: files.ConfigFile}, under.Progress != records.Progress{}); err != nil {
		return err
	}
	if m.stores().IsInstalled(under.Store) {
		if err := m.locks().Alone(ctx, locks.Shared, func() error { return m.stores().Select(cluster, under.Store) }); err != nil {
			return err
		}
	}
	if under.Unit != "" {
		if err := m.putUnit(ctx, cluster, under.Unit); err != nil {
			return err
		}
	}
	if under.Enabled {
		if err := m.Units.Enable(ctx, api.Unit(cluster)); err != nil {
			return err
		}
	}
	return m.records().RewriteMarker(*under.Marker)
}

// putOrRemove makes a file what it was, or removes it if there was none.
func (m *Machine) putOrRemove(f files.File, there bool) error {
	if !there {
		return errors.Join(files.Remove(m.path(f.Path)), files.SyncDir(m.path(path.Dir(f.Path))))
	}
	_, err := m.files().Put(f)
	return err
}

// forget removes from a host what a restore has made, if the host carried no cluster before. The record is removed
// last.
func (m *Machine) forget(ctx context.Context, cluster string, under *records.Restoration) error {
	if err := m.removeUnit(ctx, cluster); err != nil {
		return err
	}
	if err := m.arrivals().RemoveFetched(under.DataDir, "", false); err != nil {
		return err
	}
	m.keys().RemoveMetrics(cluster)
	if err := m.removeConfiguration(cluster, path.Base(api.RestoreFile(cluster))); err != nil {
		return err
	}
	return m.locks().Alone(ctx, locks.Shared, func() error { return m.stores().Deselect(cluster) })
}
