package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// marker reads a cluster's marker; nil: this host carries no such cluster. One that is there and
// cannot be read is an error: it is not known whose host this is.
func (m *Machine) marker(cluster string) (*api.Marker, error) {
	text, err := os.ReadFile(m.path(api.MarkerFile(cluster)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var marker api.Marker
	if err == nil {
		err = json.Unmarshal(text, &marker)
	}
	if err == nil {
		err = checkMarker(cluster, marker)
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read, so it is not known whose host this is: %w; find out what has written it", api.MarkerFile(cluster), err)
	}
	return &marker, nil
}

// checkMarker refuses a marker that no call of this store can have written: by what it names, data is
// moved and deleted.
func checkMarker(cluster string, marker api.Marker) error {
	if marker.Cluster != cluster {
		return fmt.Errorf("it is of cluster %q", marker.Cluster)
	}
	if err := systemd.CheckDataDir(marker.DataDir); err != nil {
		return fmt.Errorf("data directory %q: %w", marker.DataDir, err)
	}
	return nil
}

// putMarker records the marker. etcd's group may read it, for the guard.
func (m *Machine) putMarker(marker api.Marker, etcd files.Owner) error {
	text, err := json.MarshalIndent(marker, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the marker: %w", err)
	}
	_, err = m.files().Put(files.File{Path: api.MarkerFile(marker.Cluster), Text: append(text, '\n'), Owner: files.RootFor(etcd), Mode: files.ConfigFile})
	return err
}

// rewriteMarker records a marker anew, readable for whom it was.
func (m *Machine) rewriteMarker(marker api.Marker) error {
	etcd, err := m.systemUser()
	if err != nil {
		return err
	}
	return m.putMarker(marker, etcd)
}

// owned reads the marker of a cluster that is to be changed, and refuses if there is none or its
// owner is another.
func (m *Machine) owned(cluster, owner string) (*api.Marker, error) {
	marker, err := m.marker(cluster)
	switch {
	case err != nil:
		return nil, err
	case marker == nil:
		return nil, refuse("this host carries no cluster %s: there is no %s", cluster, api.MarkerFile(cluster))
	case marker.Owner != owner:
		return nil, refuse("cluster %s on this host is managed by another Terraform object: its owner token is not the one that was given; change it from the state that holds it", cluster)
	}
	return marker, nil
}

// neighbours are the markers of the other clusters on this host; of all, where none is named.
func (m *Machine) neighbours(cluster string) ([]api.Marker, error) {
	clusters, err := os.ReadDir(m.path(filepath.Dir(api.ConfigDir("any"))))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var markers []api.Marker
	for _, entry := range clusters {
		if entry.Name() == cluster || !api.ClusterName.MatchString(entry.Name()) {
			continue
		}
		marker, err := m.marker(entry.Name())
		if err != nil {
			return nil, err
		}
		if marker != nil {
			markers = append(markers, *marker)
		}
	}
	return markers, nil
}

// collides says what a cluster would share with a neighbour that no two clusters can share; empty:
// nothing.
func collides(a, b api.Marker) string {
	if api.Within(a.DataDir, b.DataDir) || api.Within(b.DataDir, a.DataDir) {
		return fmt.Sprintf("data directory %s, beside %s", a.DataDir, b.DataDir)
	}
	for _, p := range []int{a.ClientPort, a.PeerPort, a.MetricsPort} {
		if p == b.ClientPort || p == b.PeerPort || p == b.MetricsPort {
			return fmt.Sprintf("port %d", p)
		}
	}
	return ""
}
