// Package stores manages the stores installed on a host: it says which there are and which a cluster selects, and
// removes those that no cluster needs any more.
package stores

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
)

// programs are the names of etcd's programs. Each is a link to the store.
var programs = []string{"etcd", "etcdctl", "etcdutl"}

// toolsDir is the directory of the programs for operators who log in.
const toolsDir = "/usr/local/bin"

// name matches the directory of an installed store: the SHA-256 of its binary.
var name = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Stores are the stores of a host.
type Stores struct {
	Files       files.Tree
	Binary      string // path of the store that runs this code, links resolved
	EtcdVersion string // of the store that runs this code
	Now         func() time.Time

	// OtherRuns returns when the oldest run began that is under way for another cluster on this host, if there is any.
	// Such a run may have installed a store that it has yet to select.
	OtherRuns func(cluster string) (began time.Time, found bool, err error)
	// IsRunning tells whether a run is under way for a cluster.
	IsRunning func(cluster string) (bool, error)
}

// State reports which store runs this code, which are installed, and which the cluster selects.
func (s Stores) State(cluster string) (api.Store, error) {
	state := api.Store{EtcdVersion: s.EtcdVersion}
	var err error
	if state.SHA256, err = s.Hash(); err != nil {
		return state, err
	}
	if state.Selected, err = s.Selected(cluster); err != nil {
		return state, err
	}
	state.Installed, err = s.Installed()
	return state, err
}

// Hash returns the SHA-256 of the store that runs this code. An installed store has it in the name of its directory,
// which was verified at its installation.
func (s Stores) Hash() (string, error) {
	if hash := s.Of(s.Binary); hash != "" {
		return hash, nil
	}
	binary, err := os.Open(s.Binary)
	if err != nil {
		return "", err
	}
	defer binary.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, binary); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Selected returns the hash of the store that a cluster selects, or "" if it selects none.
func (s Stores) Selected(cluster string) (string, error) {
	target, err := os.Readlink(s.Files.Path(api.SelectedStore(cluster)))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return path.Base(target), err
}

// Installed returns the hashes of the installed stores, sorted.
func (s Stores) Installed() ([]string, error) {
	entries, err := os.ReadDir(s.Files.Path(api.StoreRoot))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var found []string
	for _, entry := range entries {
		if entry.IsDir() && s.IsInstalled(entry.Name()) {
			found = append(found, entry.Name())
		}
	}
	return found, nil
}

// IsInstalled tells whether a store is installed and executable.
func (s Stores) IsInstalled(hash string) bool {
	if !name.MatchString(hash) {
		return false
	}
	info, err := os.Stat(s.Files.Path(api.InstalledStore(hash)))
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o100 != 0
}

// Select makes a cluster run an installed store, in one rename, and links the store's programs for operators.
func (s Stores) Select(cluster, hash string) error {
	for _, program := range programs {
		if err := s.Files.Link(path.Join(api.StoreRoot, hash, program), "store"); err != nil {
			return err
		}
	}
	if err := s.Files.Link(api.SelectedStore(cluster), hash); err != nil {
		return err
	}
	// The cluster's selection keeps the store from now on.
	if err := files.Remove(s.Files.Path(api.WantedStore(cluster, hash))); err != nil {
		return err
	}
	for _, program := range programs {
		if err := s.offer(cluster, program); err != nil {
			return err
		}
	}
	return nil
}

// offer links a program for operators, unless something else has its name already, such as another etcd or another
// cluster's program, or nothing can be written there.
func (s Stores) offer(cluster, program string) error {
	tool := path.Join(toolsDir, program)
	err := os.MkdirAll(s.Files.Path(toolsDir), files.PublicDir)
	if err == nil {
		if _, err = os.Lstat(s.Files.Path(tool)); errors.Is(err, fs.ErrNotExist) {
			err = s.Files.Link(tool, path.Join(api.SelectedStore(cluster), program))
		}
	}
	return unlessClosed(err)
}

// unlessClosed returns an error unless it says that nothing can be written to a place.
func unlessClosed(err error) error {
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return nil
	}
	return err
}

// Deselect removes a cluster's selection: the links to its programs, the link to its store, and the stores that no
// cluster selects any more.
func (s Stores) Deselect(cluster string) error {
	selected, err := s.Selected(cluster)
	if err != nil {
		return err
	}
	for _, program := range programs {
		tool := s.Files.Path(path.Join(toolsDir, program))
		if target, err := os.Readlink(tool); err == nil && target == path.Join(api.SelectedStore(cluster), program) {
			if err := unlessClosed(files.Remove(tool)); err != nil {
				return err
			}
		}
	}
	if err := files.Remove(s.Files.Path(api.SelectedStore(cluster))); err != nil {
		return err
	}
	return s.sweep(cluster, selected)
}

// Recent is how long a store is kept for another cluster's run that has demanded it, and for a run of an earlier
// release, which only installs it: a create installs stores before it acquires the lock.
const Recent = time.Hour

// Leaving begins the name of a store that is being removed.
const Leaving = ".leaving-"

// sweep removes the stores that no cluster selects and no run has demanded. dropped is the store that was just
// deselected. Another store is kept if it is recent, or as young as a run of another cluster that is under way: a slow
// upgrade selects a store long after it has installed it. The links for operators go to the first of the remaining
// clusters.
func (s Stores) sweep(cluster, dropped string) error {
	entries, err := os.ReadDir(s.Files.Path(api.StoreRoot))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	kept := map[string]bool{}
	for _, entry := range entries {
		if entry.Type() != fs.ModeSymlink {
			continue
		}
		hash, err := s.Selected(entry.Name())
		if err != nil {
			return err
		}
		kept[hash] = true
		for _, program := range programs {
			if err := s.offer(entry.Name(), program); err != nil {
				return err
			}
		}
	}
	since := s.Now()
	if began, found, err := s.OtherRuns(cluster); err != nil {
		return err
	} else if found && began.Before(since) {
		since = began
	}
	for _, entry := range entries {
		info, err := entry.Info()
		hash, cutShort := strings.CutPrefix(entry.Name(), Leaving)
		if err != nil || !name.MatchString(hash) || kept[entry.Name()] {
			continue
		}
		if cutShort || hash == dropped || since.Sub(info.ModTime()) > Recent {
			if err := s.removeStore(cluster, hash, cutShort); err != nil {
				return fmt.Errorf("remove store %s: %w", hash, err)
			}
		}
	}
	if err := s.sweepUploads(cluster, entries); err != nil {
		return err
	}
	// RemoveEmpty keeps a directory that holds anything.
	return s.Files.RemoveEmpty(api.StoreRoot)
}

// upload matches the directory of an upload: the boot, the number of its shell, and its cluster.
var upload = regexp.MustCompile(`^\.incoming\.([0-9a-f-]{36})\.([0-9]+)\.(.+)-[^-]{6}$`)

// sweepUploads removes what is left of uploads that were cut off, which the next upload would go on with: those for
// this cluster, and those that are not recent or of an earlier boot.
func (s Stores) sweepUploads(cluster string, entries []fs.DirEntry) error {
	boot, err := os.ReadFile(s.Files.Path("/proc/sys/kernel/random/boot_id"))
	if err != nil {
		return nil // nobody knows which are under way
	}
	kernel := procfs.FS{Root: s.Files.Root}
	for _, entry := range entries {
		of := upload.FindStringSubmatch(entry.Name())
		if of == nil {
			continue
		}
		isNow := of[1] == strings.TrimSpace(string(boot))
		if shell, err := strconv.Atoi(of[2]); err != nil || isNow && kernel.Runs(shell) {
			continue
		}
		info, err := entry.Info()
		if err != nil || isNow && of[3] != cluster && s.Now().Sub(info.ModTime()) < Recent {
			continue
		}
		if err := files.RemoveAll(s.Files.Path(filepath.Join(api.StoreRoot, entry.Name()))); err != nil {
			return fmt.Errorf("remove an upload that was cut off: %w", err)
		}
	}
	return nil
}

// removeStore removes a store that no run of another cluster has demanded, or the rest of one whose removal was cut
// short. It moves the store away before it looks for demands for the last time: a run that has found the store in its
// place has written its demand before that.
func (s Stores) removeStore(cluster, hash string, cutShort bool) error {
	place, away := s.Files.Path(filepath.Join(api.StoreRoot, hash)), s.Files.Path(filepath.Join(api.StoreRoot, Leaving+hash))
	if cutShort {
		return files.RemoveAll(away)
	}
	wanted, err := s.wantedByOthers(cluster, hash)
	if err != nil || wanted {
		return err
	}
	if err := errors.Join(files.RemoveAll(away), os.Rename(place, away)); err != nil {
		return err
	}
	if wanted, err = s.wantedByOthers(cluster, hash); wanted && os.Rename(away, place) == nil {
		return nil
	}
	// If a run demands the store, that run has installed it again meanwhile.
	return errors.Join(err, files.RemoveAll(away))
}

// wantedByOthers tells whether a run of another cluster has demanded a store, and is under way or may not have its lock
// yet.
func (s Stores) wantedByOthers(cluster, hash string) (bool, error) {
	entries, err := os.ReadDir(s.Files.Path(api.RunDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, entry := range entries {
		other, found := strings.CutPrefix(entry.Name(), path.Base(api.WantedStore("", hash)))
		if !found || other == cluster {
			continue
		}
		if runs, err := s.IsRunning(other); err != nil || runs {
			return runs, err
		}
		file := s.Files.Path(api.WantedStore(other, hash))
		if age, known := (procfs.FS{Root: s.Files.Root}).AgeByBoot(file); !known || age < Recent {
			return true, nil
		}
		if err := files.Remove(file); err != nil {
			return false, err
		}
	}
	return false, nil
}

// Of returns the hash of the installed store at the path of a binary, or "" if the binary is no installed store. The
// kernel names the file by its resolved path, and the directory of stores may be reached through a link: /usr/local is
// one on image-based systems.
func (s Stores) Of(binary string) string {
	hash := filepath.Base(filepath.Dir(binary))
	if !name.MatchString(hash) {
		return ""
	}
	installed := s.Files.Path(api.InstalledStore(hash))
	if lies, err := filepath.EvalSymlinks(installed); binary == installed || err == nil && binary == lies {
		return hash
	}
	return ""
}
