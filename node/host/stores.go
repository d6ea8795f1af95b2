package host

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
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// programs are the names under which the store is etcd's programs.
var programs = []string{"etcd", "etcdctl", "etcdutl"}

// toolsDir is where an operator who logs in finds the programs.
const toolsDir = "/usr/local/bin"

// storeHash is the name of the directory of an installed store: the SHA-256 of its binary.
var storeHash = regexp.MustCompile(`^[0-9a-f]{64}$`)

// store says which store this is, which are installed, and which the cluster selects.
func (m *Machine) store(cluster string) (api.Store, error) {
	s := api.Store{EtcdVersion: m.EtcdVersion}
	var err error
	if s.SHA256, err = m.hash(); err != nil {
		return s, err
	}
	if s.Selected, err = m.selected(cluster); err != nil {
		return s, err
	}
	s.Installed, err = m.installed()
	return s, err
}

// hash is the SHA-256 of the store that this is. An installed one has it in its name, which was
// verified when it was installed.
func (m *Machine) hash() (string, error) {
	if name := filepath.Base(filepath.Dir(m.Binary)); storeHash.MatchString(name) && m.isStore(m.Binary, name) {
		return name, nil
	}
	binary, err := os.Open(m.Binary)
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

// selected is the hash of the store that a cluster selects; empty: none.
func (m *Machine) selected(cluster string) (string, error) {
	target, err := os.Readlink(m.path(api.SelectedStore(cluster)))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return path.Base(target), err
}

// installed are the hashes of the installed stores, sorted.
func (m *Machine) installed() ([]string, error) {
	entries, err := os.ReadDir(m.path(api.StoreRoot))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var found []string
	for _, entry := range entries {
		if entry.IsDir() && storeHash.MatchString(entry.Name()) && m.isInstalled(entry.Name()) {
			found = append(found, entry.Name())
		}
	}
	return found, nil
}

// isInstalled tells whether a store can be run.
func (m *Machine) isInstalled(hash string) bool {
	info, err := os.Stat(m.path(api.InstalledStore(hash)))
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o100 != 0
}

// selectStore makes a cluster run an installed store, in one rename, and gives operators its programs.
func (m *Machine) selectStore(cluster, hash string) error {
	for _, program := range programs {
		if err := m.files().Link(path.Join(api.StoreRoot, hash, program), "store"); err != nil {
			return err
		}
	}
	if err := m.files().Link(api.SelectedStore(cluster), hash); err != nil {
		return err
	}
	if err := files.Remove(m.path(api.WantedStore(cluster, hash))); err != nil { // it is kept by that from now on
		return err
	}
	if err := os.MkdirAll(m.path(toolsDir), files.PublicDir); err != nil {
		return err
	}
	for _, program := range programs {
		if err := m.offer(cluster, program); err != nil {
			return err
		}
	}
	return nil
}

// offer links a program for operators, unless something else has its name already: another etcd, or
// another cluster's.
func (m *Machine) offer(cluster, program string) error {
	tool := path.Join(toolsDir, program)
	if _, err := os.Lstat(m.path(tool)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return m.files().Link(tool, path.Join(api.SelectedStore(cluster), program))
}

// deselect takes a cluster's selection back: the programs that it offered, its link, and the stores
// that no cluster selects any more.
func (m *Machine) deselect(cluster string) error {
	selected, err := m.selected(cluster)
	if err != nil {
		return err
	}
	for _, program := range programs {
		tool := m.path(path.Join(toolsDir, program))
		if target, err := os.Readlink(tool); err == nil && target == path.Join(api.SelectedStore(cluster), program) {
			if err := files.Remove(tool); err != nil {
				return err
			}
		}
	}
	if err := files.Remove(m.path(api.SelectedStore(cluster))); err != nil {
		return err
	}
	return m.sweep(cluster, selected)
}

// recent is for how long a store is another run's that has said that it wants it, or, of an older version's, that has brought it:
// a create installs stores before it has the lock.
const recent = time.Hour

// leaving is in front of the name of a store that is removed.
const leaving = ".leaving-"

// sweep removes the stores that no cluster selects, and none wants: dropped, the one that was just taken back, and others,
// unless they are recent, or as young as a run of another cluster that is under way: a slow upgrade selects a store long after
// it has installed it. The programs go on to the first of the clusters that are left.
func (m *Machine) sweep(cluster, dropped string) error {
	entries, err := os.ReadDir(m.path(api.StoreRoot))
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
		hash, err := m.selected(entry.Name())
		if err != nil {
			return err
		}
		kept[hash] = true
		for _, program := range programs {
			if err := m.offer(entry.Name(), program); err != nil {
				return err
			}
		}
	}
	since := m.Now()
	if began, found, err := m.otherRuns(cluster); err != nil {
		return err
	} else if found && began.Before(since) {
		since = began
	}
	for _, entry := range entries {
		info, err := entry.Info()
		hash, cutShort := strings.CutPrefix(entry.Name(), leaving)
		if err != nil || !storeHash.MatchString(hash) || kept[entry.Name()] {
			continue
		}
		if cutShort || hash == dropped || since.Sub(info.ModTime()) > recent {
			if err := m.removeStore(cluster, hash, cutShort); err != nil {
				return fmt.Errorf("remove store %s: %w", hash, err)
			}
		}
	}
	// Gone only where it was the last: a directory that holds something stays.
	return m.files().RemoveEmpty(api.StoreRoot)
}

// removeStore removes a store that no run of another cluster wants, or what is left of one whose removal was cut short. It is moved
// away before it is asked for the last time: who finds it in its place has said by then that it wants it.
func (m *Machine) removeStore(cluster, hash string, cutShort bool) error {
	place, away := m.path(filepath.Join(api.StoreRoot, hash)), m.path(filepath.Join(api.StoreRoot, leaving+hash))
	if cutShort {
		return files.RemoveAll(away)
	}
	wanted, err := m.wantedByOthers(cluster, hash)
	if err != nil || wanted {
		return err
	}
	if err := errors.Join(files.RemoveAll(away), os.Rename(place, away)); err != nil {
		return err
	}
	if wanted, err = m.wantedByOthers(cluster, hash); wanted && os.Rename(away, place) == nil {
		return nil
	}
	return errors.Join(err, files.RemoveAll(away)) // where it was wanted, it was brought anew meanwhile
}

// wantedByOthers tells whether a run of another cluster wants a store: one that is under way, or may not have its lock yet.
func (m *Machine) wantedByOthers(cluster, hash string) (bool, error) {
	entries, err := os.ReadDir(m.path(api.RunDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, entry := range entries {
		other, found := strings.CutPrefix(entry.Name(), path.Base(api.WantedStore("", hash)))
		if !found || other == cluster {
			continue
		}
		lock, err := m.openLock(other + runLock)
		if err != nil {
			return false, err
		}
		held, err := lock.held()
		if err = errors.Join(err, lock.Close()); err != nil || held {
			return held, err
		}
		file := m.path(api.WantedStore(other, hash))
		if age, known := m.proc().AgeByBoot(file); !known || age < recent {
			return true, nil
		}
		if err := files.Remove(file); err != nil {
			return false, err
		}
	}
	return false, nil
}
