package arrivals

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

// LeftAfter is the age from which a part of an upload, or a fetched snapshot that was never restored, counts as left
// behind. A run that continues after a weekend still finds it; a later one brings the snapshot again.
const LeftAfter = 3 * 24 * time.Hour

// isLeft tells whether a file has been left behind, by the host's clock. If the file was written to since the host has
// booted, it must also be old by the time since the boot, since the clock may have jumped ahead.
func (h Host) isLeft(path string, info fs.FileInfo) bool {
	age, known := h.proc().AgeByBoot(h.Files.Path(sinceBoot(path)))
	return h.Now().Sub(info.ModTime()) >= LeftAfter && (!known || age >= LeftAfter)
}

// CleanUp removes what fetches have left for a restore that was given up before it fenced this host: no end of a
// restore and no retirement removes that. It releases the space that a killed call has reserved for a part that can
// still be resumed. A run calls it when it has just acquired the cluster's lock, before any other call, since nobody
// else writes these files then. While a restore is under way, CleanUp does nothing: the restore removes its own files.
func (h Host) CleanUp(cluster string) error {
	under, err := h.Records.Restoration(cluster)
	if err != nil || under != nil {
		return err
	}
	dataDir, err := h.ownDataDir(cluster)
	if err != nil || dataDir == "" {
		return err
	}
	dir := api.SnapshotDir(dataDir)
	var released []error
	err = h.Files.RemoveIn(dir, func(entry fs.DirEntry) bool {
		name := entry.Name()
		info, err := entry.Info()
		switch {
		case err != nil || !info.Mode().IsRegular():
		case h.isLeft(filepath.Join(dir, name), info):
			return name == Fetching || fetchedName.MatchString(name) || ArrivingName.MatchString(name)
		case ArrivingName.MatchString(name):
			released = append(released, h.Release(filepath.Join(dir, name)))
		}
		return false
	})
	return errors.Join(append(released, err)...)
}

// ownDataDir returns the data directory of the cluster on this host, or the default one if the host does not carry the
// cluster. It returns "" if the default directory is another cluster's, or holds no snapshots that root has put there.
func (h Host) ownDataDir(cluster string) (string, error) {
	marker, err := h.Records.Marker(cluster)
	if err != nil {
		return "", err
	}
	if marker != nil {
		return marker.DataDir, nil
	}
	dir := api.DefaultDataDir(cluster)
	neighbours, err := h.Records.Neighbours(cluster)
	if err != nil || slices.ContainsFunc(neighbours, func(other api.Marker) bool { return other.DataDir == dir }) {
		return "", err
	}
	if info, err := os.Lstat(h.Files.Path(api.SnapshotDir(dir))); err != nil || !info.IsDir() || files.OwnerOf(info) != files.RootUser {
		return "", nil // fetches make the directory as root
	}
	return dir, nil
}
