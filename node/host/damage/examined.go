package damage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// fileStamp shows whether a file has changed since it was read.
type fileStamp struct {
	Path     string    `json:"path"`
	Inode    uint64    `json:"inode"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
}

// stamps returns the stamps of files of the host, or nothing if one of them cannot be looked at.
func (r Reader) stamps(paths []string) (found []fileStamp) {
	for _, file := range paths {
		info, err := os.Stat(r.Files.Path(file))
		if err != nil {
			return nil
		}
		found = append(found, fileStamp{file, files.InodeOf(info), info.Size(), info.ModTime().UTC()})
	}
	return found
}

// finding is what a check has found in files.
type finding struct {
	Files []fileStamp `json:"files"`
	Says  string      `json:"says"` // empty: nothing is wrong with them
	// Restarts is how often systemd had started the member in vain until the check.
	Restarts int `json:"restarts,omitempty"`
	// At is how far an interrupted check has read the files; nil: to their end.
	At *etcdfs.Position `json:"at,omitempty"`
}

// stillSound tells whether sound files still count as sound although the member, which got as far as that, has written
// to them since. A large database is not read after each start in vain, but only after twice as many of them, or if the
// files were exchanged.
func (f finding) stillSound(now []fileStamp, restarts int) bool {
	same := func(a, b fileStamp) bool { return a.Path == b.Path && a.Inode == b.Inode }
	return f.Says == "" && f.Restarts > 0 && restarts >= f.Restarts && restarts < 2*f.Restarts && slices.EqualFunc(f.Files, now, same)
}

// examined is what was found in the files of a member since the host has booted. A member that crashes over and over is
// observed again and again, and its database may take minutes to read.
type examined struct {
	of    Reader
	path  string
	found map[string]finding // by check
}

// examinedFile is where findings are kept. They end with the boot, after which another disk may be mounted there.
func examinedFile(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(api.RunDir, "examined-"+hex.EncodeToString(sum[:8])+".json")
}

// examined reads what was found in the data directory. If that cannot be read, the files are checked again.
func (r Reader) examined() *examined {
	e := &examined{of: r, path: examinedFile(r.Dir)}
	text, err := inside.ReadFile(r.Files.Path(e.path))
	if err != nil || json.Unmarshal(text, &e.found) != nil || e.found == nil {
		e.found = map[string]finding{}
	}
	return e
}

// settled is the age from which on another write to a file changes its time: file systems round times to some
// milliseconds.
const settled = time.Second

// once returns what a check has found in these files, or runs the check. It continues an interrupted check if the files
// are the same.
func (e *examined) once(check string, paths []string, do func(at *etcdfs.Position) error) error {
	now, before := e.of.Now(), e.of.stamps(paths)
	unchanged := func(since []fileStamp) bool { return slices.EqualFunc(since, before, fileStamp.equal) }
	if says, known := e.kept(check, paths); known {
		if says != "" {
			return etcdfs.Damaged(says)
		}
		return nil
	}
	var at etcdfs.Position
	if old := e.found[check]; old.At != nil && len(before) > 0 && unchanged(old.Files) {
		at = *old.At
	}
	err := do(&at)
	var found etcdfs.Damaged
	recent := func(file fileStamp) bool { return now.Sub(file.Modified) < settled }
	if len(before) == 0 || slices.ContainsFunc(before, recent) || !unchanged(e.of.stamps(paths)) {
		return err
	}
	switch {
	case err == nil || errors.As(err, &found):
		e.keep(check, finding{Files: before, Says: string(found), Restarts: e.of.Restarts})
	case at.Bucket != nil:
		e.keep(check, finding{Files: before, At: &at})
	}
	return err
}

// keep records what a check has found. If that fails, the next observation reads the files again.
func (e *examined) keep(check string, found finding) {
	e.found[check] = found
	if text, failed := json.Marshal(e.found); failed == nil && e.of.Files.EnsureDir(api.RunDir, files.RootUser, 0o700) == nil {
		_, _ = e.of.Files.Put(files.File{Path: e.path, Text: text, Owner: files.RootUser, Mode: files.KeyFile})
	}
}

// kept returns what a check has found in files that have not changed since, or in a database that still counts as
// sound; false: neither.
func (e *examined) kept(check string, paths []string) (says string, known bool) {
	old, known := e.found[check]
	now := e.of.stamps(paths)
	if !known || old.At != nil || len(now) == 0 {
		return "", false
	}
	if slices.EqualFunc(old.Files, now, fileStamp.equal) || check == etcdfs.CheckDatabase && old.stillSound(now, e.of.Restarts) {
		return old.Says, true
	}
	return "", false
}

func (s fileStamp) equal(other fileStamp) bool {
	return s.Path == other.Path && s.Inode == other.Inode && s.Size == other.Size && s.Modified.Equal(other.Modified)
}
