package files

import (
	"crypto/rand"
	"errors"
	"os"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// NamelessPrefix begins the names of files that stay on the host no longer than who fills them: snapshots that are
// sent, say.
const NamelessPrefix = "sending-"

// Nameless is a new file of root's that is gone once it is closed, however this process ends. A name that a call
// which was killed could not take away goes as well: whoever still writes to the file does not need it.
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
