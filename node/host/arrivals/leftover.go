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

// LeftAfter is the age from which on a part of an upload, or a snapshot that was fetched and never restored, counts as
// left behind: whoever goes on with one after a weekend finds it. It is brought again where it is desired after that.
const LeftAfter = 3 * 24 * time.Hour

// isLeft tells whether a file has been left behind: by the host's clock, and, where it has been written to since the
// host has booted, by the time since the boot too. The clock may have jumped ahead since.
func (h Host) isLeft(path string, info fs.FileInfo) bool {
	age, known := h.proc().AgeByBoot(h.Files.Path(sinceBoot(path)))
	return h.Now().Sub(info.ModTime()) >= LeftAfter && (!known || age >= LeftAfter)
}

// CleanUp removes what fetches have left for a restore that was given up before it fenced this host: no end of a
// restore, and no retirement, comes by to remove it. Of what may be gone on with yet, it gives back what a call that
// was killed had set aside for the rest. It is for a run that has just got the cluster's lock, before any of its calls:
// nobody else writes these files. A restore that is under way sees to its own.
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

// ownDataDir is where the data of a cluster lies on this host, or would by default where the host does not carry it;
// empty: that is another cluster's.
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
		return "", nil // what fetches make is root's
	}
	return dir, nil
}
