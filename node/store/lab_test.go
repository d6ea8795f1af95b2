package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// booted is a host with a store on it, and the cluster of one that it is to carry.
func booted(t *testing.T) (*session, bootstrap.Cluster) {
	if os.Getenv("ETCD_LAB_REQUIRED") == "" {
		t.Skip("boots a host: set ETCD_LAB_REQUIRED=1, as root")
	}
	l, err := lab.Up(t.Context(), lab.Config{Name: "store-test", Hosts: []lab.HostConfig{{Name: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	binary := filepath.Join(t.TempDir(), "store")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the store: %v: %s", err, text)
	}
	text, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	s := &session{t: t, lab: l, host: l.Host("a"), cluster: "main", store: hex.EncodeToString(sum[:]), holder: "run-1"}
	s.trust()
	s.install(text)
	return s, bootstrap.Cluster{
		Spec:         membership.Spec{Name: "main", Version: "3.7", Members: []membership.Member{{Name: "a", Address: s.host.Address()}}},
		DataDir:      "/var/lib/etcd/main",
		ClientPort:   2379,
		PeerPort:     2380,
		MetricsPort:  2381,
		KeyAlgorithm: "ecdsa-p256",
	}
}

// authority is a throw-away CA.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{t, cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// sign signs whatever is requested.
func (a authority) sign(request string) string {
	a.t.Helper()
	block, _ := pem.Decode([]byte(request))
	if block == nil {
		a.t.Fatalf("no request: %q", request)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: csr.Subject, DNSNames: csr.DNSNames, IPAddresses: csr.IPAddresses,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, a.cert, csr.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestMemberOnABootedHost takes a member through its life by the calls that the provider makes, on a
// host with real systemd.
func TestMemberOnABootedHost(t *testing.T) {
	s, c := booted(t)
	m := c.Members[0]
	f := bootstrap.Formation{Owner: "owner-1", Token: "token-1"}

	o := must[api.Observation](s, api.OpObserve, c.Ask())
	if o.Marker != nil || o.Unit.LoadState != "not-found" || o.Data.Exists || len(o.Listeners) != 0 || o.Store.SHA256 != s.store {
		t.Errorf("a bare host reads %+v", o)
	}
	forming := c.Marker(m, f, api.PhaseForming)
	s.refused(api.CodeRefused, api.OpPrepare, api.PrepareRequest{Marker: forming, Keys: c.Keys(m)}) // no lock

	kill := s.lock()
	prepared := must[api.Prepared](s, api.OpPrepare, api.PrepareRequest{Marker: forming, Keys: c.Keys(m)})
	ca := newAuthority(t)
	unit, err := c.Unit(o.Facts.MemoryBytes)
	if err != nil {
		t.Fatal(err)
	}
	configuration := api.ConfigureRequest{Marker: forming, Store: s.store, PeerCA: ca.pem, ClientCA: ca.pem,
		Flags: c.Flags(m, f, bootstrap.StateNew), Unit: unit, Certificates: map[string]string{}}
	for name, request := range prepared.Requests {
		configuration.Certificates[name] = ca.sign(request)
	}
	must[api.Done](s, api.OpConfigure, configuration)
	must[api.Done](s, api.OpStart, api.StartRequest{})
	await := api.AwaitRequest{ObserveRequest: c.Ask(), Members: 1, Timeout: time.Minute}
	o = must[api.Observation](s, api.OpAwait, await)
	if !o.Member.Healthy || !o.Member.Ready || o.Unit.ActiveState != "active" || o.Unit.FileState != "enabled" || o.Unit.Text != unit || o.Unit.NeedReload {
		t.Fatalf("the member is not ready: %+v", o)
	}
	for _, l := range o.Listeners {
		if !l.Ours {
			t.Errorf("listener %+v is not known as ours", l)
		}
	}
	for _, key := range []string{api.KeyPeer, api.KeyServer, api.KeyAdmin} {
		if !o.Certificates[key].HasKey {
			t.Errorf("key %s is not known as its certificate's", key)
		}
	}

	configuration.Marker = c.Marker(m, f, api.PhaseFormed)
	configuration.Marker.ClusterID, configuration.Marker.MemberID = o.Member.ClusterID, o.Member.MemberID
	configuration.Flags = c.Flags(m, f, bootstrap.StateExisting)
	must[api.Done](s, api.OpConfigure, configuration)
	if again := must[api.Observation](s, api.OpObserve, c.Ask()); again.Unit.MainPID != o.Unit.MainPID {
		t.Error("to configure a running member has restarted it")
	}

	s.refused(api.CodeRefused, api.OpRetire, api.RetireRequest{Owner: "owner-2"})
	s.guardHolds(c)

	kill()
	s.holder = "run-2"
	kill = s.lock()
	defer kill()
	retired := must[api.Retired](s, api.OpRetire, api.RetireRequest{Owner: f.Owner})
	if !strings.HasPrefix(retired.Path, c.DataDir+"."+api.AsidePrefix) {
		t.Errorf("the data lies in %q", retired.Path)
	}
	if left := s.shell("ls -d /etc/etcd /usr/local/bin/etcd* /etc/systemd/system/*/etcd* /etc/systemd/system/etcd* " + api.StoreRoot + " 2>/dev/null || true"); left != "" {
		t.Errorf("these are left:\n%s", left)
	}
}

// guardHolds takes a formed member's data away, and wants the member to stay down until it is back.
func (s *session) guardHolds(c bootstrap.Cluster) {
	s.t.Helper()
	unit := api.Unit(c.Name)
	s.shell("systemctl stop " + unit + " && mv /var/lib/etcd/main/member /var/lib/etcd/kept")
	s.shell("systemctl start " + unit + " || true")
	o := must[api.Observation](s, api.OpAwait, api.AwaitRequest{ObserveRequest: c.Ask(), Members: 1, Timeout: 30 * time.Second})
	if o.Unit.ActiveState != "failed" || o.Unit.Restarts != 0 {
		s.t.Errorf("a member without its data is %s (%s), restarted %d times; want it failed", o.Unit.ActiveState, o.Unit.SubState, o.Unit.Restarts)
	}
	if said := strings.Join(o.Unit.Journal, "\n"); !strings.Contains(said, "holds no member's data") {
		s.t.Errorf("the journal does not say why:\n%s", said)
	}
	s.shell("mv /var/lib/etcd/kept /var/lib/etcd/main/member")
	must[api.Done](s, api.OpStart, api.StartRequest{})
	if o := must[api.Observation](s, api.OpAwait, api.AwaitRequest{ObserveRequest: c.Ask(), Members: 1, Timeout: time.Minute}); !o.Member.Healthy {
		s.t.Errorf("with its data back the member is not healthy: %+v", o)
	}
}
