package acctest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/embedded"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
)

// BenchmarkCreate makes a cluster of three on fresh hosts: with terraform apply, and by the floor, which is
// all that cannot be left out, done by hand with everything made beforehand. It reports both in seconds,
// and their ratio.
func BenchmarkCreate(b *testing.B) {
	var applied, floored time.Duration
	for b.Loop() {
		b.StopTimer()
		l := up(b, lab.Config{Hosts: members("a", "b", "c")})
		floor := stageFloor(b, l)
		started := time.Now()
		floor.run()
		floored += time.Since(started)

		for _, h := range l.Hosts {
			if err := h.Wipe(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		w := newWorkspace(b, l, configuration(b, l, setup{}))
		b.StartTimer()
		started = time.Now()
		w.apply()
		applied += time.Since(started)
		b.StopTimer()
		if err := l.Down(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	beside(b, applied, floored)
}

// BenchmarkPlan plans an unchanged cluster of five.
func BenchmarkPlan(b *testing.B) {
	l := up(b, lab.Config{Hosts: members("a", "b", "c", "d", "e")})
	w := newWorkspace(b, l, configuration(b, l, setup{}))
	w.apply()
	for b.Loop() {
		w.mustBeSettled()
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "plan-s")
	b.ReportMetric(0, "ns/op")
}

// floor is the least that makes three hosts a healthy TLS cluster.
type floor struct {
	b      *testing.B
	lab    *lab.Lab
	dir    string
	known  string
	client []string
}

// stageFloor makes all that the floor does not have to make: keys, certificates, flags, units, and the
// binary, in a folder for each host.
func stageFloor(b *testing.B, l *lab.Lab) *floor {
	b.Helper()
	f := &floor{b: b, lab: l, dir: b.TempDir()}
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	write := func(path string, content []byte, mode os.FileMode) {
		b.Helper()
		must(os.MkdirAll(filepath.Dir(path), 0o755))
		must(os.WriteFile(path, content, mode))
	}
	binary := storeBinary(b)
	authority, err := pki.NewAuthority("floor", pki.ECDSAP256, pki.DefaultAuthorityLifetime, time.Now())
	must(err)
	leaf := func(dir, name string, want pki.Request) {
		b.Helper()
		pair, err := authority.NewLeaf(b.Context(), want, pki.ECDSAP256, time.Now())
		must(err)
		key, err := pair.PrivateKeyPEM()
		must(err)
		write(filepath.Join(dir, name+".crt"), pair.CertificatePEM(), 0o644)
		write(filepath.Join(dir, name+".key"), key, 0o600)
	}
	leaf(f.dir, "client", pki.Request{Profile: pki.Client, CommonName: "client"})
	write(filepath.Join(f.dir, "ca.crt"), authority.CertificatePEM(), 0o644)

	var cluster, endpoints, known []string
	for _, h := range l.Hosts {
		cluster = append(cluster, fmt.Sprintf("%s=https://%s:2380", h.Config.Name, h.Address()))
		endpoints = append(endpoints, fmt.Sprintf("https://%s:2379", h.Address()))
		known = append(known, h.Address()+" "+hostKey(b, h))
	}
	for _, h := range l.Hosts {
		root, etc := filepath.Join(f.dir, h.Config.Name), filepath.Join(f.dir, h.Config.Name, "etc/floor")
		leaf(etc, "member", pki.Request{Profile: pki.Peer, CommonName: h.Config.Name, IPs: []netip.Addr{netip.MustParseAddr(h.Address())}})
		write(filepath.Join(etc, "ca.crt"), authority.CertificatePEM(), 0o644)
		write(filepath.Join(root, "usr/local/bin/etcd"), binary, 0o755)
		write(filepath.Join(root, "etc/systemd/system/floor.service"), fmt.Appendf(nil, `[Service]
Type=notify
ExecStart=/usr/local/bin/etcd --name=%[1]s --data-dir=/var/lib/floor --initial-cluster=%[2]s --initial-cluster-state=new --initial-advertise-peer-urls=https://%[3]s:2380 --listen-peer-urls=https://%[3]s:2380 --advertise-client-urls=https://%[3]s:2379 --listen-client-urls=https://%[3]s:2379 --client-cert-auth --peer-client-cert-auth --cert-file=/etc/floor/member.crt --key-file=/etc/floor/member.key --trusted-ca-file=/etc/floor/ca.crt --peer-cert-file=/etc/floor/member.crt --peer-key-file=/etc/floor/member.key --peer-trusted-ca-file=/etc/floor/ca.crt
`, h.Config.Name, strings.Join(cluster, ","), h.Address()), 0o644)
	}
	f.known = filepath.Join(f.dir, "known_hosts")
	write(f.known, []byte(strings.Join(known, "\n")+"\n"), 0o600)
	f.client = []string{"--cacert=" + filepath.Join(f.dir, "ca.crt"), "--cert=" + filepath.Join(f.dir, "client.crt"), "--key=" + filepath.Join(f.dir, "client.key"),
		"--endpoints=" + strings.Join(endpoints, ","), "endpoint", "health"}
	return f
}

// run does it: one tar over one SSH connection to each host, all at once, a start, and a wait for health.
func (f *floor) run() {
	f.b.Helper()
	var group errgroup.Group
	for _, h := range f.lab.Hosts {
		group.Go(func() error {
			line := fmt.Sprintf("tar -C %s -c . | gzip -1 | ssh -i %s -o UserKnownHostsFile=%s root@%s 'tar -xz -C / --no-same-owner && systemctl daemon-reload && systemctl start floor'",
				filepath.Join(f.dir, h.Config.Name), f.lab.KeyFile(), f.known, h.Address())
			return f.try("sh", "-c", line)
		})
	}
	if err := group.Wait(); err != nil {
		f.b.Fatal(err)
	}
	for started := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := f.try(os.Getenv("ETCD_ETCDCTL"), f.client...)
		if err == nil {
			return
		}
		if time.Since(started) > 2*time.Minute {
			f.b.Fatal(err)
		}
	}
}

// try runs a program in the lab's network.
func (f *floor) try(name string, args ...string) error {
	if output, err := f.lab.Command(f.b.Context(), name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, output)
	}
	return nil
}

// storeBinary is the store that the provider carries for this machine.
func storeBinary(b *testing.B) []byte {
	b.Helper()
	library, err := embedded.Built()
	if err != nil {
		b.Fatal(err)
	}
	store, err := library.Find("", runtime.GOARCH)
	if err != nil {
		b.Fatal(err)
	}
	archive, err := library.Archive(store.SHA256)
	if err != nil {
		b.Fatal(err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		b.Fatal(err)
	}
	binary, err := io.ReadAll(reader)
	if err != nil {
		b.Fatal(err)
	}
	return binary
}
