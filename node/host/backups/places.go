package backups

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// mayWriteTo refuses a directory that runs cannot write to. It also refuses one that holds, or lies in, the directories
// of any member on this host: those are moved and deleted as a whole.
func (h Host) mayWriteTo(marker api.Marker, what, dir string) error {
	if dir == "" {
		return nil
	}
	if err := systemd.CheckDataDir(dir); err != nil {
		return api.Refuse("%s %q: %s", what, dir, err)
	}
	clusters, err := h.Records.Neighbours(marker.Cluster)
	if err != nil {
		return err
	}
	for _, of := range append(clusters, marker) {
		own, err := h.overlap(dir, of.DataDir)
		if err != nil {
			return api.Refuse("%s %s: %s: see whether the server of its file system is there, or unmount it (umount -l)", what, dir, err)
		}
		if own != "" {
			return api.Refuse("%s %s lies in %s, or that in it, which is the member's own (cluster %s) and is moved or deleted as a whole: choose a directory apart from it, like /var/backups/etcd", what, dir, own, of.Cluster)
		}
	}
	return nil
}

// overlap is api.Overlap for directories of the host, behind all links and mounts. It fails if a file system does not
// answer.
func (h Host) overlap(dir, dataDir string) (string, error) {
	if own := api.Overlap(dir, dataDir); own != "" {
		return own, nil
	}
	return backup.UnlessItHangs(h.HangsAfter(), func(func()) (string, error) { return h.realOverlap(dir, dataDir), nil })
}

func (h Host) realOverlap(dir, dataDir string) string {
	real := h.realPath(dir)
	// The data directory is no link, and what lies beside it keeps its name.
	data := filepath.Join(h.realPath(filepath.Dir(dataDir)), filepath.Base(dataDir))
	if api.Overlap(real, data) != "" {
		return dataDir
	}
	for _, own := range []string{dataDir, api.BackupStateDir(dataDir), api.SnapshotDir(dataDir)} {
		if isOrHolds(h.Files.Path(own), real) || isOrHolds(h.Files.Path(dir), h.realPath(own)) {
			return own
		}
	}
	return ""
}

// realPath resolves the links in a path of the host as far as it exists, and returns a path of this process.
func (h Host) realPath(path string) string {
	rest := ""
	for at := h.Files.Path(path); ; at = filepath.Dir(at) {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(real, rest)
		}
		if at == filepath.Dir(at) {
			return h.Files.Path(path)
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}

// isOrHolds tells whether a directory is one of those on the way to a path without links, wherever else it is mounted.
func isOrHolds(dir, path string) bool {
	is, err := os.Stat(dir)
	if err != nil {
		return false
	}
	for {
		if at, err := os.Stat(path); err == nil && os.SameFile(is, at) {
			return true
		}
		if path == filepath.Dir(path) {
			return false
		}
		path = filepath.Dir(path)
	}
}

// MustNotTake refuses a data directory for a new member in which a cluster on this host keeps its backups.
func (h Host) MustNotTake(marker api.Marker, others []api.Marker) error {
	if old, err := h.Records.Marker(marker.Cluster); err != nil || old != nil {
		return err
	}
	for _, other := range others {
		b, err := h.backup(other.Cluster)
		if err != nil || b == nil {
			continue // that cluster's own apply replaces its settings
		}
		for what, dir := range map[string]string{"backups": b.Directory, "metrics": b.MetricsDir} {
			if dir != "" && api.Overlap(dir, marker.DataDir) != "" {
				return api.Refuse("data directory %s lies in %s, or that in it, where cluster %s on this host keeps its %s: choose another", marker.DataDir, dir, other.Cluster, what)
			}
		}
	}
	return nil
}

// MustNotPurge refuses to delete backups along with the data. A store of an earlier release took any directory for
// backups.
func (h Host) MustNotPurge(marker api.Marker) error {
	clusters, err := h.Records.Neighbours(marker.Cluster)
	if err != nil {
		return err
	}
	for _, of := range append(clusters, marker) {
		b, err := h.backup(of.Cluster)
		if err != nil || b == nil || b.Directory == "" {
			continue
		}
		dir := filepath.Join(b.Directory, of.Cluster)
		own, err := h.overlap(dir, marker.DataDir)
		if err != nil || own == "" {
			continue // a file system that does not answer is not that of the data
		}
		entries, err := os.ReadDir(h.Files.Path(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, entry := range entries {
			if backup.IsObject(entry.Name()) {
				return api.Refuse("backups of cluster %s lie in %s (%s is one), and a purge deletes %s: move them elsewhere, or purge no data", of.Cluster, dir, entry.Name(), own)
			}
		}
	}
	return nil
}

// mostWritable is the greatest number of directories, besides its state, that a run writes to.
const mostWritable = 2

// Reach finds out which of the directories that runs write to answer, and has the sandbox of the next run allow those
// and no others. It says which do not answer. It also names the runs for what they write.
func (h Host) Reach(cluster string, say func(string)) error {
	b, err := h.backup(cluster)
	if err != nil || b == nil {
		return err
	}
	if err := h.Files.EnsureDir(systemd.LinkDir(cluster), files.RootUser, 0o700); err != nil {
		return err
	}
	dirs := b.Writable()
	answers := make([]error, len(dirs))
	var asked sync.WaitGroup
	for i, dir := range dirs {
		asked.Go(func() { answers[i] = h.answers(dir) })
	}
	asked.Wait()
	failed := []error{h.nameWriter(cluster)}
	for i := range mostWritable {
		link := systemd.WritableLink(cluster, i)
		if i < len(dirs) && answers[i] == nil {
			failed = append(failed, h.Files.Link(link, dirs[i]))
			continue
		}
		if i < len(dirs) {
			say(fmt.Sprintf("the next run writes nothing to %s: %s", dirs[i], answers[i]))
		}
		failed = append(failed, files.Remove(h.Files.Path(link)))
	}
	return errors.Join(failed...)
}

// writerFile holds a random name for the runs of a cluster on this host. It goes with the boot, so that no copy of the
// host's disks takes the name.
func writerFile(cluster string) string { return filepath.Join(systemd.LinkDir(cluster), "writer") }

// nameWriter gives the runs of a cluster on this host their name, if they have none yet.
func (h Host) nameWriter(cluster string) error {
	if h.writerName(cluster) != "" {
		return nil
	}
	_, err := h.Files.Put(files.File{Path: writerFile(cluster), Text: []byte(rand.Text()), Owner: files.RootUser, Mode: files.KeyFile})
	return err
}

// writerName returns the name of the runs of a cluster on this host, or "" if they have none.
func (h Host) writerName(cluster string) string {
	text, err := inside.ReadFile(h.Files.Path(writerFile(cluster)))
	if err != nil {
		return ""
	}
	return string(text)
}

// answers asks the file system of a directory for its free space: a network file system may know the directory from
// before, and only its server knows the space.
func (h Host) answers(dir string) error {
	_, err := backup.UnlessItHangs(h.HangsAfter(), func(func()) (struct{}, error) {
		var space unix.Statfs_t
		_, err := os.Stat(h.Files.Path(dir))
		if err == nil {
			err = unix.Statfs(h.Files.Path(dir), &space)
		}
		return struct{}{}, err
	})
	return err
}

// removeLinks removes what Reach has made.
func (h Host) removeLinks(cluster string) error {
	dir := systemd.LinkDir(cluster)
	if !files.IsDir(h.Files.Path(dir)) {
		return nil
	}
	for i := range mostWritable {
		link := h.Files.Path(systemd.WritableLink(cluster, i))
		if err := errors.Join(files.Remove(link), files.Remove(files.NextName(link))); err != nil {
			return err
		}
	}
	name := h.Files.Path(writerFile(cluster))
	if err := errors.Join(files.Remove(name), files.Remove(files.NextName(name))); err != nil {
		return err
	}
	return errors.Join(h.Files.RemoveEmpty(dir), h.Files.RemoveEmpty(filepath.Dir(dir)))
}

// RemoveState removes the files of runs beside the data, and nothing else: somebody may keep backups there.
func (h Host) RemoveState(cluster, dataDir string) error {
	dir := api.BackupStateDir(dataDir)
	if err := errors.Join(files.RemoveAll(h.Files.Path(RehearsalDir(dataDir))), h.removeLinks(cluster)); err != nil {
		return err
	}
	left, err := filepath.Glob(h.Files.Path(filepath.Join(dir, files.NamelessPrefix+"*")))
	if err != nil {
		return err
	}
	for _, kind := range Kinds {
		for _, file := range []string{RecordFile(dataDir, kind), AskedFile(dataDir, kind), LockFile(dataDir, kind), MetricsFile(dir, kind, cluster)} {
			left = append(left, h.Files.Path(file), files.NextName(h.Files.Path(file)))
		}
	}
	for _, file := range left {
		if err := files.Remove(file); err != nil {
			return err
		}
	}
	return h.Files.RemoveEmpty(dir)
}
