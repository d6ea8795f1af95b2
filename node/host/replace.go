package host

import (
	"errors"
	"path/filepath"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// The old data is moved aside, and the restored data into its place. Each step is recorded before it is taken, so that
// after an interruption it is known whose data lies where.

// clearData moves the contents of the data directory aside, to where the record says.
func (m *Machine) clearData(cluster string, under *records.Restoration) error {
	if under.Cleared {
		return nil
	}
	data := m.dataDir(under.DataDir)
	names, err := data.Contents()
	if err != nil {
		return err
	}
	if under.Aside == "" && len(names) > 0 {
		if under.Aside, err = data.PathAside("restore"); err != nil {
			return err
		}
		if err := m.records().PutRestoration(cluster, under); err != nil {
			return err
		}
	}
	if len(names) > 0 {
		if err := data.SetContentsAside(names, under.Aside); err != nil {
			return err
		}
	}
	if err := data.SyncMoved(); err != nil { // what a call that was killed has moved
		return err
	}
	under.Cleared = true                                   // which is written down before anything is put there
	return files.Remove(m.path(api.ProgressFile(cluster))) // the old member's, which the record has
}

// placeData moves restored data into the data directory, in place of what an interrupted call has put there.
func (m *Machine) placeData(cluster, next string, under *records.Restoration) error {
	names, err := m.dataDir(under.DataDir).Contents()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := files.RemoveAll(m.path(filepath.Join(under.DataDir, name))); err != nil {
			return err
		}
	}
	if err := m.records().PutRestoration(cluster, under); err != nil {
		return err
	}
	return m.moveContents(next, under.DataDir)
}

// restoreOldData moves the old data back, after it has moved aside what the restore has put in its place.
func (m *Machine) restoreOldData(cluster string, under *records.Restoration) error {
	if under.Cleared {
		if _, err := m.dataDir(under.DataDir).SetAside("rolled-back"); err != nil {
			return err
		}
		under.Cleared, under.Made = false, ""
		if err := m.records().PutRestoration(cluster, under); err != nil {
			return err
		}
	}
	if under.DataDir == "" {
		return nil
	}
	if files.IsDir(m.path(under.DataDir)) {
		next, err := m.nextData(under.DataDir)
		if err != nil {
			return err
		}
		if err := files.RemoveAll(m.path(next)); err != nil {
			return err
		}
	}
	if under.Aside == "" {
		return nil
	}
	if !files.IsDir(m.path(under.Aside)) { // a call that was killed may have moved all of it
		return errors.Join(m.dataDir(under.DataDir).SyncMoved(), files.SyncAround(m.path(under.Aside)))
	}
	etcd, err := m.systemUser()
	if err != nil {
		return err
	}
	if err := m.files().EnsureDir(under.DataDir, etcd, files.DataMode); err != nil {
		return err
	}
	return m.moveContents(under.Aside, under.DataDir)
}

// moveContents moves the contents of a directory into another, and removes the directory.
func (m *Machine) moveContents(from, to string) error {
	entries, err := inside.ReadDir(m.path(from))
	if err != nil {
		return err
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if err := m.files().MoveNames(from, to, names); err != nil {
		return err
	}
	return files.Remove(m.path(from))
}
