package files

import (
	"crypto/rand"
	"errors"
	"os"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// NamelessPrefix begins the names of files that stay on the host no longer than the process that fills them, such as
// snapshots that are sent.
const NamelessPrefix = "sending-"

// Nameless returns a new file owned by root that is gone once it is closed, however this process ends. It removes the
// names that killed calls have left: a process that still writes to such a file does not need the name.
func (t Tree) Nameless(dir string) (*os.File, error) {
	in, err := inside.Open(t.Path(dir))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	left, err := in.ReadDir()
	if err != nil {
		return nil, err
	}
	for _, entry := range left {
		if !strings.HasPrefix(entry.Name(), NamelessPrefix) {
			continue
		}
		if err := removeFrom(in, entry.Name()); err != nil {
			return nil, err
		}
	}
	name := NamelessPrefix + rand.Text()
	file, err := in.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, KeyFile)
	if err != nil {
		return nil, err
	}
	if err := removeFrom(in, name); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
