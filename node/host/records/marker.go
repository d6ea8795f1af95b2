// Package records keeps what a host has written down of its clusters: the marker, which says whose host it is, a
// restore or a recovery that is under way, and how far the member's database has come.
package records

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// Records are what the host has written down, each in a file of its own below /etc/etcd.
type Records struct {
	Files files.Tree
	// SystemUser finds the user that members run as, whose group may read what the guard goes by.
	SystemUser func() (files.Owner, error)
}

// Marker reads a cluster's marker; nil: this host carries no such cluster. A marker that exists and cannot be read is
// an error, since nobody knows whose host this is.
func (r Records) Marker(cluster string) (*api.Marker, error) {
	text, err := inside.ReadFile(r.Files.Path(api.MarkerFile(cluster)))
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

// checkMarker refuses a marker that no call of this store can have written: calls move and delete the data that a
// marker names.
func checkMarker(cluster string, marker api.Marker) error {
	if marker.Cluster != cluster {
		return fmt.Errorf("it is of cluster %q", marker.Cluster)
	}
	if err := systemd.CheckDataDir(marker.DataDir); err != nil {
		return fmt.Errorf("data directory %q: %w", marker.DataDir, err)
	}
	return nil
}

// PutMarker records the marker. etcd's group may read it, for the guard.
func (r Records) PutMarker(marker api.Marker, etcd files.Owner) error {
	text, err := json.MarshalIndent(marker, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the marker: %w", err)
	}
	_, err = r.Files.Put(files.File{Path: api.MarkerFile(marker.Cluster), Text: append(text, '\n'), Owner: files.RootFor(etcd), Mode: files.ConfigFile})
	return err
}

// RewriteMarker records a marker anew, readable for the system user's group.
func (r Records) RewriteMarker(marker api.Marker) error {
	etcd, err := r.SystemUser()
	if err != nil {
		return err
	}
	return r.PutMarker(marker, etcd)
}

// Owned reads the marker of a cluster that is to be changed. It refuses a host without one, and another owner.
func (r Records) Owned(cluster, owner string) (*api.Marker, error) {
	marker, err := r.Marker(cluster)
	switch {
	case err != nil:
		return nil, err
	case marker == nil:
		return nil, api.Refuse("this host carries no cluster %s: there is no %s", cluster, api.MarkerFile(cluster))
	case marker.Owner != owner:
		return nil, api.Refuse("cluster %s on this host is managed by another Terraform object: its owner token is not the one that was given; change it from the state that holds it", cluster)
	}
	return marker, nil
}

// Neighbours returns the markers of the other clusters on this host, or of all clusters if the name is empty.
func (r Records) Neighbours(cluster string) ([]api.Marker, error) {
	clusters, err := os.ReadDir(r.Files.Path(filepath.Dir(api.ConfigDir("any"))))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var markers []api.Marker
	for _, entry := range clusters {
		// A regular file is somebody else's.
		if entry.Name() == cluster || !api.ClusterName.MatchString(entry.Name()) || entry.Type().IsRegular() {
			continue
		}
		marker, err := r.Marker(entry.Name())
		if err != nil {
			return nil, err
		}
		if marker != nil {
			markers = append(markers, *marker)
		}
	}
	return markers, nil
}

// NoCluster is the error of a member on a host without a marker.
const NoCluster = "this host carries no such cluster"
