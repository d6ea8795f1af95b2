package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// expiries returns the metrics of a cluster's certificates, by the names of their files, as node_exporter would read
// them.
func expiries(t *testing.T, m *Machine, cluster string) map[string][]string {
	t.Helper()
	mustHave(t, m, api.CertificateMetricsFile(cluster), files.RootUser, 0o644)
	text, err := os.ReadFile(m.path(api.CertificateMetricsFile(cluster)))
	if err != nil {
		t.Fatal(err)
	}
	found, seen := map[string][]string{}, map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "# ") {
			continue
		}
		labels, value, is := strings.Cut(strings.TrimSpace(line), "} ")
		_, file, named := strings.Cut(labels, `file="`)
		file, _, _ = strings.Cut(file, `"`)
		if !is || !named || seen[labels] || !strings.HasPrefix(line, "etcd_certificate_expiry_timestamp_seconds{cluster=\""+cluster+"\",member=\"a\",") {
			t.Errorf("node_exporter would refuse %q", line)
		}
		seen[labels] = true
		found[file] = append(found[file], value)
	}
	return found
}

// TestExpiryIsMeasured holds that monitoring reads on the host when each certificate and authority expires, after
// whatever has changed them, and no longer once the cluster has left.
func TestExpiryIsMeasured(t *testing.T) {
	sample.LeaveToNewestMinor(t, "certificates are the same in each")
	m, _ := newMachine(t)
	ca, next := newAuthority(t), newAuthority(t)
	r := prepareOf("main")
	c := configureOf(t, r, prepared(t, m, r), ca)
	c.ClientCA = ca.pem + next.pem + ca.pem // an authority twice
	written := 0
	m.beforeRename = func(path string) {
		if path != m.path(api.CertificateMetricsFile("main")) {
			return
		}
		written++
		ended, end := context.WithCancel(t.Context())
		end()
		if err := m.locks().Alone(ended, locks.Shared, func() error { return nil }); err != nil {
			t.Errorf("where the directory hangs, calls for other clusters wait: %v", err)
		}
	}
	if err := m.Configure(t.Context(), "main", c); err != nil {
		t.Fatal(err)
	}
	mustSay := func(when string, authorities map[string]int) {
		t.Helper()
		said := expiries(t, m, "main")
		for _, name := range api.KeyNames {
			leaf, err := cert.ParseLeaf([]byte(m.held()[name].PEM))
			if err != nil || fmt.Sprint(said[name]) != fmt.Sprintf("[%d]", leaf.NotAfter.Unix()) {
				t.Errorf("%s, %s expires at %v, %v", when, name, said[name], err)
			}
		}
		for name, n := range authorities {
			if len(said[name]) != n {
				t.Errorf("%s, %s is %v", when, name, said[name])
			}
		}
	}
	mustSay("configured", map[string]int{"peer-ca": 1, "client-ca": 2})
	if written != 1 {
		t.Errorf("they were written %d times", written)
	}

	c = configureOf(t, r, prepared(t, m, r), next)
	c.Marker.Member = "a"
	if err := m.Configure(t.Context(), "main", c); err != nil {
		t.Fatal(err)
	}
	mustSay("renewed", map[string]int{"peer-ca": 1, "client-ca": 1})

	// What somebody has removed is told of anew once the member has ended; what cannot be read is not told.
	if err := os.RemoveAll(m.path("/var/lib/etcd-metrics")); err != nil {
		t.Fatal(err)
	}
	if err := m.Record(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
	mustSay("ended", nil)
	writeFile(t, m, api.PeerCAFile("main"), "garbage")
	if err := m.Record(t.Context(), "main"); err != nil || len(expiries(t, m, "main")["peer-ca"]) > 0 {
		t.Errorf("of garbage it says %v, %v", expiries(t, m, "main"), err)
	}

	// A place that nobody can write to keeps no certificate from being renewed.
	if err := os.RemoveAll(m.path("/var/lib/etcd-metrics")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, m, "/var/lib/etcd-metrics", "in the way")
	if err := m.Configure(t.Context(), "main", configureOf(t, r, prepared(t, m, r), ca)); err != nil {
		t.Error(err)
	}
	if err := os.Remove(m.path("/var/lib/etcd-metrics")); err != nil {
		t.Fatal(err)
	}
	if err := m.Record(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Retire(t.Context(), "main", api.RetireRequest{Owner: r.Marker.Owner}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(m.path("/var/lib/etcd-metrics")); !os.IsNotExist(err) {
		t.Errorf("after the cluster has left: %v", err)
	}
}

// TestMetricsAmongOthers: a link of an administrator's to node_exporter's own directory is followed, and stays as it is
// with what it leads to; and what is in the way of the directory keeps no cluster from leaving.
func TestMetricsAmongOthers(t *testing.T) {
	sample.LeaveToNewestMinor(t, "certificates are the same in each")
	m, _ := newMachine(t)
	r := prepareOf("main")
	theirs := t.TempDir()
	if err := os.Chmod(theirs, 0o775); err != nil {
		t.Fatal(err)
	}
	place := m.path("/var/lib/etcd-metrics")
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(theirs, place); err != nil {
		t.Fatal(err)
	}
	configure := func() {
		t.Helper()
		if err := m.Configure(t.Context(), "main", configureOf(t, r, prepared(t, m, r), newAuthority(t))); err != nil {
			t.Fatal(err)
		}
	}
	retire := func() {
		t.Helper()
		if _, err := m.Retire(t.Context(), "main", api.RetireRequest{Owner: r.Marker.Owner}); err != nil {
			t.Error(err)
		}
	}
	configure()
	if written, err := os.ReadDir(theirs); err != nil || len(written) != 1 {
		t.Errorf("in the directory that the link leads to is %v, %v", written, err)
	}
	retire()
	if left, err := os.ReadDir(theirs); err != nil || len(left) != 0 {
		t.Errorf("after the cluster has left, there is %v, %v", left, err)
	}
	if is, err := os.Stat(theirs); err != nil || is.Mode().Perm() != 0o775 {
		t.Errorf("it has mode %v, %v", is.Mode(), err)
	}
	if _, err := os.Readlink(place); err != nil {
		t.Errorf("the link is gone: %v", err)
	}

	m, _ = newMachine(t)
	configure()
	if err := os.RemoveAll(m.path("/var/lib/etcd-metrics")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, m, "/var/lib/etcd-metrics", "in the way")
	retire()
}
