package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// Data reads the state of a data directory. A directory that exists and cannot be read is an error.
func (d Dir) Data() (api.Data, error) {
	data := api.Data{Path: d.Path}
	entries, err := d.Contents()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return data, err
	default:
		data.Exists, data.Empty = true, len(entries) == 0
		data.HasMember = d.etcd().HasMember()
	}
	if data.Aside, err = d.Aside(); err != nil {
		return data, err
	}
	nearest, err := d.Files.Nearest(d.Path)
	if err != nil {
		return data, err
	}
	mount, err := disks.MountOf(nearest)
	if err != nil {
		return data, err
	}
	data.Filesystem = mount.Kind
	var space unix.Statfs_t
	if err := unix.Statfs(nearest, &space); err != nil {
		return data, fmt.Errorf("free space of %s: %w", nearest, err)
	}
	data.FreeBytes = int64(space.Bavail) * space.Frsize
	data.Full = data.HasMember && data.FreeBytes < api.LogSegmentBytes
	return data, nil
}

// Contents returns the names in a data directory that count as data: neither what mkfs makes in a new file system nor
// what was moved aside.
func (d Dir) Contents() ([]string, error) {
	around, name, err := inside.Around(d.path())
	if err != nil {
		return nil, err
	}
	defer around.Close()
	info, err := around.Lstat(name)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("data directory %s is no directory of its own, but a %s: name the directory itself", d.Path, info.Mode().Type())
	}
	if err != nil {
		return nil, err
	}
	lies, err := around.In(name)
	if err != nil {
		return nil, err
	}
	defer lies.Close()
	entries, err := lies.ReadDir()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if name := entry.Name(); name != "lost+found" && !strings.HasPrefix(name, api.AsidePrefix) {
			names = append(names, name)
		}
	}
	return names, nil
}
