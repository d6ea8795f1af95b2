package host

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Read sends a file that lies below the directory of the cluster's snapshots. Nothing else of the host is read
// for a caller, by whatever path or link.
func (m *Machine) Read(cluster string, r api.ReadRequest, content io.Writer) (api.Read, error) {
	marker, err := m.marker(cluster)
	if err != nil {
		return api.Read{}, err
	}
	if marker == nil {
		return api.Read{}, refuse("%s: there is no %s", noCluster, api.MarkerFile(cluster))
	}
	dir := api.SnapshotDir(marker.DataDir)
	name, below := strings.CutPrefix(r.Path, dir+"/")
	if !below || !filepath.IsLocal(name) || filepath.Clean(name) != name {
		return api.Read{}, refuse("%q does not lie below %s, where the cluster keeps its snapshots", r.Path, dir)
	}
	file, err := openBelow(m.path(dir), name)
	if err != nil {
		return api.Read{}, refuse("%s cannot be read: %s", r.Path, err)
	}
	defer file.Close()
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(content, sum), file)
	if err != nil {
		return api.Read{}, fmt.Errorf("send %s: %w", r.Path, err)
	}
	return api.Read{SHA256: hex.EncodeToString(sum.Sum(nil)), SizeBytes: size}, nil
}

// openBelow opens a file below a directory, in which no part of the name is a link.
func openBelow(dir, name string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	parts := strings.Split(name, "/")
	for i := range parts {
		part := filepath.Join(parts[:i+1]...)
		info, err := root.Lstat(part)
		if err != nil {
			return nil, err
		}
		kind := info.Mode().Type()
		if last := i == len(parts)-1; last && kind != 0 || !last && kind != fs.ModeDir {
			return nil, fmt.Errorf("%s is no file below %s of its own", part, dir)
		}
	}
	return root.Open(name)
}
