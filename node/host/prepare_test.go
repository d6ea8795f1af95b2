package host

import (
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

func TestPrepareMakesUserAndDirectories(t *testing.T) {
	m, _ := newMachine(t)
	r := prepareOf("main")
	prepared(t, m, r)
	mustHave(t, m, "/etc/etcd", files.RootUser, 0o755)
	mustHave(t, m, "/etc/etcd/main", files.Owner{UID: 0, GID: etcdOwner.GID}, 0o750)
	mustHave(t, m, api.MarkerFile("main"), files.Owner{UID: 0, GID: etcdOwner.GID}, 0o640)
	mustHave(t, m, r.Marker.DataDir, etcdOwner, 0o700)
	mustHave(t, m, "/var/lib/etcd", files.RootUser, 0o755)
	if r.Marker.Mount, _ = m.disks().MountPoint(r.Marker.DataDir); r.Marker.Mount == "" {
		t.Error("nothing is mounted where the data lies")
	}
	marker, err := m.records().Marker("main")
	if diff := cmp.Diff(&r.Marker, marker); err != nil || diff != "" {
		t.Errorf("the marker reads back as another: %v\n%s", err, diff)
	}
}

func TestPrepareAgainChangesNothing(t *testing.T) {
	m, _ := newMachine(t)
	prepared(t, m, prepareOf("main"))
	before := tree(t, m, "/")
	prepared(t, m, prepareOf("main"))
	if diff := cmp.Diff(before, tree(t, m, "/")); diff != "" {
		t.Errorf("the second call has changed the host:\n%s", diff)
	}
}

// TestMarkerComesFirst holds that a host which an operation has touched says whose work that is,
// wherever the operation was cut short.
func TestMarkerComesFirst(t *testing.T) {
	m, _ := newMachine(t)
	m.Users = &fakeUsers{fail: errors.New("useradd: cannot lock /etc/passwd")}
	r := prepareOf("main")
	if _, err := m.Prepare(t.Context(), "main", r); err == nil {
		t.Fatal("it succeeded without a user")
	}
	marker, err := m.records().Marker("main")
	if err != nil || marker == nil || marker.Owner != r.Marker.Owner {
		t.Errorf("the marker is %+v, %v", marker, err)
	}
	if _, err := os.Stat(m.path(api.TLSDir("main"))); !os.IsNotExist(err) {
		t.Errorf("more than the marker is there: %v", err)
	}
	// And the next call goes on.
	m.Users = &fakeUsers{}
	prepared(t, m, r)
}

func TestPrepareRefuses(t *testing.T) {
	formed := markerOf("main")
	formed.Phase = api.PhaseFormed
	for name, test := range map[string]struct {
		host  func(t *testing.T, m *Machine)
		ask   func(r *api.PrepareRequest)
		texts []string
	}{
		"a cluster of another owner": {
			host:  func(t *testing.T, m *Machine) { record(t, m, formed) },
			ask:   func(r *api.PrepareRequest) { r.Marker.Owner = "another" },
			texts: []string{"member a of cluster main", "import"},
		},
		"data that nobody claims": {
			host:  func(t *testing.T, m *Machine) { writeFile(t, m, "/var/lib/etcd/main/member/wal/0.wal", "") },
			texts: []string{"/var/lib/etcd/main is not empty"},
		},
		"data of an earlier formation": {
			host: func(t *testing.T, m *Machine) {
				marker := markerOf("main")
				marker.Token = "an earlier one"
				record(t, m, marker)
				writeFile(t, m, "/var/lib/etcd/main/member/wal/0.wal", "")
			},
			texts: []string{"was not made by this cluster"},
		},
		"a cluster of another owner, which it joins": {
			host: func(t *testing.T, m *Machine) {
				joining := markerOf("main")
				joining.Phase = api.PhaseJoining
				record(t, m, joining)
			},
			ask:   func(r *api.PrepareRequest) { r.Marker.Owner = "another" },
			texts: []string{"member a of cluster main", "import"},
		},
		"a learner on a member's data": {
			host: func(t *testing.T, m *Machine) {
				record(t, m, formed)
				writeFile(t, m, "/var/lib/etcd/main/member/wal/0.wal", "")
			},
			ask:   func(r *api.PrepareRequest) { r.Marker.Phase = api.PhaseJoining },
			texts: []string{"set that aside first"},
		},
		"a disk that is not mounted": {
			host: func(t *testing.T, m *Machine) {
				marker := formed
				marker.Mount = "/var/lib/etcd/main"
				record(t, m, marker)
			},
			ask:   func(r *api.PrepareRequest) { r.Marker.Phase = api.PhaseJoining },
			texts: []string{"mounted on /var/lib/etcd/main", "mount what belongs there"},
		},
		"a neighbour's data directory": {
			host: func(t *testing.T, m *Machine) {
				marker := markerOf("events")
				marker.DataDir, marker.ClientPort, marker.PeerPort, marker.MetricsPort = "/var/lib/etcd", 1, 2, 3
				record(t, m, marker)
			},
			texts: []string{"cluster events", "/var/lib/etcd"},
		},
		"where a neighbour keeps its backups": {
			host: func(t *testing.T, m *Machine) {
				marker := markerOf("events")
				marker.DataDir, marker.ClientPort, marker.PeerPort, marker.MetricsPort = "/data/events", 1, 2, 3
				record(t, m, marker)
				b := backupOf()
				b.Directory = "/var/lib/etcd"
				mustNotFail(t, m.Backups().Put(marker, b))
			},
			texts: []string{"/var/lib/etcd", "cluster events", "backups"},
		},
		"a neighbour's port": {
			host: func(t *testing.T, m *Machine) {
				marker := markerOf("events")
				marker.ClientPort, marker.PeerPort, marker.MetricsPort = 3379, 2381, 3381
				record(t, m, marker)
			},
			texts: []string{"cluster events", "port 2381"},
		},
		"a directory of the system": {
			ask:   func(r *api.PrepareRequest) { r.Marker.DataDir = "/etc" },
			texts: []string{"/etc"},
		},
		"a marker of another cluster": {
			ask:   func(r *api.PrepareRequest) { r.Marker.Cluster = "../../root" },
			texts: []string{"../../root"},
		},
		"an unknown algorithm": {
			ask:   func(r *api.PrepareRequest) { r.Keys[0].Algorithm = "dsa" },
			texts: []string{"dsa"},
		},
		"an unknown key": {
			ask:   func(r *api.PrepareRequest) { r.Keys[0].Name = "../flags" },
			texts: []string{"../flags"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			if test.host != nil {
				test.host(t, m)
			}
			r := prepareOf("main")
			if test.ask != nil {
				test.ask(&r)
			}
			before := tree(t, m, "/")
			_, err := m.Prepare(t.Context(), "main", r)
			mustRefuse(t, err, test.texts...)
			if diff := cmp.Diff(before, tree(t, m, "/")); diff != "" {
				t.Errorf("a refused call has changed the host:\n%s", diff)
			}
		})
	}
}

// TestMarkerThatCannotBeRead holds that what is not known stops: it is neither absent nor ours.
func TestMarkerThatCannotBeRead(t *testing.T) {
	for _, cluster := range []string{"main", "events"} {
		for _, text := range []string{"", "{", "{}", `{"cluster":"other","data_dir":"/data"}`, `{"cluster":"` + cluster + `","data_dir":"/"}`} {
			m, _ := newMachine(t)
			writeFile(t, m, api.MarkerFile(cluster), text)
			_, err := m.Prepare(t.Context(), "main", prepareOf("main"))
			mustFail(t, err, api.CodeFailed, api.MarkerFile(cluster))
			_, err = m.Retire(t.Context(), cluster, api.RetireRequest{Purge: true})
			mustFail(t, err, api.CodeFailed, api.MarkerFile(cluster))
		}
	}
}

// TestSymbolicLinkIsNoDataDirectory holds that a link, which set-aside would move without what it
// leads to, is not taken for the directory.
func TestSymbolicLinkIsNoDataDirectory(t *testing.T) {
	m, _ := newMachine(t)
	writeFile(t, m, "/ssd/etcd/kept", "")
	if err := os.MkdirAll(m.path("/var/lib/etcd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(m.path("/ssd/etcd"), m.path("/var/lib/etcd/main")); err != nil {
		t.Fatal(err)
	}
	_, err := m.Prepare(t.Context(), "main", prepareOf("main"))
	mustFail(t, err, api.CodeFailed, "name the directory itself")
}

func TestTwoClustersAreKeptApartWhenPreparedAtOnce(t *testing.T) {
	m, _ := newMachine(t)
	events := prepareOf("events") // with the ports of main
	var group sync.WaitGroup
	failures := make([]error, 2)
	for i, r := range []api.PrepareRequest{prepareOf("main"), events} {
		group.Go(func() { _, failures[i] = m.Prepare(t.Context(), r.Marker.Cluster, r) })
	}
	group.Wait()
	if (failures[0] == nil) == (failures[1] == nil) {
		t.Errorf("one of two clusters with the same ports can be prepared, got %v and %v", failures[0], failures[1])
	}
}

// record puts a marker on a host by hand.
func record(t *testing.T, m *Machine, marker api.Marker) {
	t.Helper()
	if err := m.putClaim(marker, etcdOwner); err != nil {
		t.Fatal(err)
	}
}
