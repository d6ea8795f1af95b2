package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// leftAfter is the age from which on a part of an upload, or a snapshot that was fetched and never restored, counts as
// left behind: whoever goes on with one after a weekend finds it. It is brought again where it is desired after that.
const leftAfter = 3 * 24 * time.Hour

// isLeft tells whether a file has been left behind: by the host's clock, and, where it has been written to since the host has
// booted, by the time since the boot too. The clock may have jumped ahead since.
func (m *Machine) isLeft(path string, info fs.FileInfo) bool {
	age, known := m.ageByBoot(m.path(sinceBoot(path)))
	return m.Now().Sub(info.ModTime()) >= leftAfter && (!known || age >= leftAfter)
}

// tidyLeftovers removes what fetches have left for a restore that was given up before it fenced this host: no end of a
// restore, and no retirement, comes by to remove it. Of what may be gone on with yet, it gives back what a call that was
// killed had set aside for the rest. It is for a run that has just got the cluster's lock, before any of its calls: nobody
// else writes these files. A restore that is under way sees to its own.
func (m *Machine) tidyLeftovers(cluster string) error {
	under, err := m.records().Restoration(cluster)
	if err != nil || under != nil {
		return err
	}
	dataDir, err := m.ownDataDir(cluster)
	if err != nil || dataDir == "" {
		return err
	}
	dir := api.SnapshotDir(dataDir)
	var released []error
	err = m.files().RemoveIn(dir, func(entry fs.DirEntry) bool {
		name := entry.Name()
		info, err := entry.Info()
		switch {
		case err != nil || !info.Mode().IsRegular():
		case m.isLeft(filepath.Join(dir, name), info):
			return name == fetching || fetchedName.MatchString(name) || arrivingName.MatchString(name)
		case arrivingName.MatchString(name):
			released = append(released, m.release(filepath.Join(dir, name)))
		}
		return false
	})
	return errors.Join(append(released, err)...)
}

// ownDataDir is where the data of a cluster lies on this host, or would by default where the host does not carry it; empty:
// that is another cluster's.
func (m *Machine) ownDataDir(cluster string) (string, error) {
	marker, err := m.records().Marker(cluster)
	if err != nil {
		return "", err
	}
	if marker != nil {
		return marker.DataDir, nil
	}
	dir := api.DefaultDataDir(cluster)
	neighbours, err := m.records().Neighbours(cluster)
	if err != nil || slices.ContainsFunc(neighbours, func(other api.Marker) bool { return other.DataDir == dir }) {
		return "", err
	}
	if info, err := os.Lstat(m.path(api.SnapshotDir(dir))); err != nil || !info.IsDir() || files.OwnerOf(info) != files.RootUser {
		return "", nil // what fetches make is root's
	}
	return dir, nil
}
