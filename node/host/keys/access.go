package keys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// read reads a file of root's directory of keys and certificates. What else lies there under its name, a link or a
// pipe, is nothing that can be used: it is not followed and not waited for, and the next file that is written takes its
// place.
func (k Keys) read(path string) ([]byte, fs.FileInfo, error) {
	around, name, err := inside.Around(k.Files.Path(path))
	if err != nil {
		return nil, nil, err
	}
	defer around.Close()
	info, err := around.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("it is no file (%s)", info.Mode())
	}
	file, err := around.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return nil, nil, err
	}
	if info.Size() > largest {
		return nil, nil, fmt.Errorf("it has %d bytes", info.Size())
	}
	text, err := io.ReadAll(io.LimitReader(file, largest))
	return text, info, err
}

// largest is far more than any key or bundle has, and little enough to be read.
const largest = 4 << 20

// exposed tells whether others than the user of a key can read or change its file, or could: one that has another name
// may be reached by that.
func exposed(info fs.FileInfo, user files.Owner) bool {
	owner := files.OwnerOf(info)
	return info.Mode().Perm()&0o077 != 0 || owner.UID != user.UID && owner.UID != files.RootUser.UID || info.Sys().(*syscall.Stat_t).Nlink > 1
}

// userOf is whose one of the keys is: etcd's, or root's.
func userOf(key string, etcd files.Owner) files.Owner {
	if key == api.KeyAdmin {
		return files.RootUser
	}
	return etcd
}

// mayRead refuses a file that the system user, whom etcd runs as, cannot read. It reads it at its start, or at each
// handshake.
func (k Keys) mayRead(cluster string, info fs.FileInfo, etcd files.Owner) error {
	for _, dir := range []string{api.ConfigDir(cluster), api.TLSDir(cluster)} {
		around, err := os.Stat(k.Files.Path(dir))
		if err != nil {
			return err
		}
		if !permits(around, etcd, 0o1) {
			return fmt.Errorf("user %s cannot enter %s (%s)", api.SystemUser, dir, around.Mode())
		}
	}
	if !permits(info, etcd, 0o4) {
		return fmt.Errorf("user %s cannot read it (%s)", api.SystemUser, info.Mode())
	}
	return nil
}

// permits tells whether the mode of a file lets a user do something: 4 read, 1 enter.
func permits(info fs.FileInfo, user files.Owner, what fs.FileMode) bool {
	owner := files.OwnerOf(info)
	switch {
	case owner.UID == user.UID:
		what <<= 6
	case owner.GID == user.GID:
		what <<= 3
	}
	return info.Mode().Perm()&what != 0
}

// give puts a key that is fit into its user's hands, whose it may have ceased to be.
func (k Keys) give(path string, user files.Owner) error {
	file, err := inside.OpenFile(k.Files.Path(path), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && files.OwnerOf(info) != user {
		err = file.Chown(user.UID, user.GID)
	}
	if err == nil && info.Mode().Perm() != files.KeyFile {
		err = file.Chmod(files.KeyFile)
	}
	return errors.Join(err, file.Close())
}
