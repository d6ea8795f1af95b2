package disks

import (
	"errors"
	"io"
	"os"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/durable"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// WriteNew writes a new file of about this size, in bytes, readable by root alone, and syncs it.
func (d Disks) WriteNew(path string, size int64, content io.Reader) error {
	out, err := inside.OpenFile(d.Files.Path(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, files.KeyFile)
	if err != nil {
		return err
	}
	if err := Reserve(out, size); err != nil {
		return errors.Join(err, out.Close())
	}
	disk := durable.NewWriter(out)
	_, err = io.Copy(disk, content)
	return errors.Join(err, durable.Release(out), disk.Sync(), out.Close())
}
