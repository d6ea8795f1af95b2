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

// read reads a file of root's directory of keys and certificates. It returns an error for anything else with that name,
// such as a link or a pipe, and neither follows nor waits for it; the next write replaces it.
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

// largest bounds the size of a file, in bytes: far more than any key or bundle has, and little enough to be read.
const largest = 4 << 20

// exposed tells whether anyone but the user of a key can read or change the key's file, or may be able to: through
// another link to the file.
func exposed(info fs.FileInfo, user files.Owner) bool {
	owner := files.OwnerOf(info)
	return info.Mode().Perm()&0o077 != 0 || owner.UID != user.UID && owner.UID != files.RootUser.UID || info.Sys().(*syscall.Stat_t).Nlink > 1
}

// userOf returns the user of a key: root for the administrator's, and etcd for any other.
func userOf(key string, etcd files.Owner) files.Owner {
	if key == api.KeyAdmin {
		return files.RootUser
	}
	return etcd
}

// mayRead returns an error if the system user, whom etcd runs as, cannot read a file. etcd reads it at its start, or at
// each handshake.
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

// permits tells whether the mode of a file permits a user something: 4 read, 1 enter.
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

// give makes the user the owner of a key's file, and the only one who can read it.
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
