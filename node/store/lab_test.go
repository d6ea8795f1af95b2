package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/version"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// booted is a host with a store, and the one-member cluster that it is to carry. It has a block device of this many
// bytes.
func booted(t *testing.T, device int64) (*session, bootstrap.Cluster) {
	t.Helper()
	if os.Getenv("ETCD_LAB_REQUIRED") == "" {
		t.Skip("boots a host: set ETCD_LAB_REQUIRED=1, as root")
	}
	l, err := lab.Up(t.Context(), lab.Config{Name: fmt.Sprintf("s%d", os.Getpid()), Hosts: []lab.HostConfig{{Name: "a", DeviceBytes: device}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	binary := filepath.Join(t.TempDir(), "store")
	// GOFLAGS names the minor version, as it does for this test.
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
		Spec:         membership.Spec{Name: "main", Version: version.Version, Members: []membership.Member{{Name: "a", Address: s.host.Address()}}},
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

// formation is the attempt in which tests form a cluster.
var formation = bootstrap.Formation{Owner: "owner-1", Token: "token-1"}

// prepare has the host make its keys, and returns the request to configure it.
func (s *session) prepare(c bootstrap.Cluster) api.ConfigureRequest {
	s.t.Helper()
	m := c.Members[0]
	forming := c.Marker(m, formation, api.PhaseForming)
	prepared := must[api.Prepared](s, api.OpPrepare, api.PrepareRequest{Marker: forming, Keys: c.Keys(m)})
	unit, err := c.Unit(must[api.Observation](s, api.OpObserve, c.Ask()).Facts.MemoryBytes)
	if err != nil {
		s.t.Fatal(err)
	}
	ca := newAuthority(s.t)
	configuration := api.ConfigureRequest{Marker: forming, Store: s.store, PeerCA: ca.pem, ClientCA: ca.pem,
		Flags: c.Flags(m, formation, bootstrap.StateNew), Unit: unit, Certificates: map[string]string{}}
	for name, request := range prepared.Requests {
		configuration.Certificates[name] = ca.sign(request)
	}
	return configuration
}

// form makes the host a formed cluster of one member.
func (s *session) form(c bootstrap.Cluster) api.Observation {
	s.t.Helper()
	configuration := s.prepare(c)
	must[api.Done](s, api.OpConfigure, configuration)
	must[api.Done](s, api.OpStart, api.StartRequest{})
	o := s.await(c)
	configuration.Marker.Phase = api.PhaseFormed
	configuration.Marker.ClusterID, configuration.Marker.MemberID = o.Member.ClusterID, o.Member.MemberID
	configuration.Flags = c.Flags(c.Members[0], formation, bootstrap.StateExisting)
	must[api.Done](s, api.OpConfigure, configuration)
	return o
}

// await waits until the member is ready.
func (s *session) await(c bootstrap.Cluster) api.Observation {
	s.t.Helper()
	o := must[api.Observation](s, api.OpAwait, api.AwaitRequest{ObserveRequest: c.Ask(), Members: 1, Timeout: time.Minute})
	if o.Unit.ActiveState != "active" || !o.Member.Ready || !o.Member.Healthy {
		s.t.Fatalf("the member is not ready: %+v, %+v", o.Unit, o.Member)
	}
	return o
}

// TestMemberOnABootedHost takes a member through its life by the provider's calls, on a host with real systemd.
func TestMemberOnABootedHost(t *testing.T) {
	s, c := booted(t, 0)
	o := must[api.Observation](s, api.OpObserve, c.Ask())
	if o.Marker != nil || o.Unit.LoadState != "not-found" || o.Data.Exists || len(o.Listeners) != 0 || o.Store.SHA256 != s.store {
		t.Errorf("a bare host reads %+v", o)
	}
	// No lock is held.
	s.refused(api.CodeRefused, api.OpPrepare, api.PrepareRequest{Marker: c.Marker(c.Members[0], formation, api.PhaseForming)})
	kill := s.lock()

	o = s.form(c)
	if o.Member.Version != version.Version || o.Store.EtcdVersion != version.Version {
		t.Errorf("etcd %s runs from store %+v, and not %s", o.Member.Version, o.Store, version.Version)
	}
	if o.Unit.FileState != "enabled" || o.Unit.NeedReload || o.Unit.Restarts != 0 {
		t.Errorf("the unit reads %+v", o.Unit)
	}
	if len(o.Listeners) == 0 {
		t.Error("nobody listens")
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
	again := must[api.Observation](s, api.OpObserve, c.Ask())
	if again.Unit.MainPID != o.Unit.MainPID {
		t.Error("to configure a running member has restarted it")
	}
	if p := again.Unit.Process; p == nil || p.Store != s.store || !slices.Contains(p.Flags, "--initial-cluster-state="+bootstrap.StateNew) || len(p.UnitSHA256) != 64 || len(p.PeerCA) != 64 {
		t.Errorf("its process reads %+v", p)
	}
	if again.Guard != "" || again.Marker.Mount == "" {
		t.Errorf("the guard says %q, and the data lies on what is mounted on %q", again.Guard, again.Marker.Mount)
	}
	s.mustYield()
	// systemd records how far the member's database has come, whoever stops the member.
	s.shell("systemctl stop " + api.Unit(c.Name) + "")
	if said := s.shell("cat " + api.ProgressFile(c.Name) + "; systemctl show --property=Result --value " + api.Unit(c.Name)); !strings.Contains(said, o.Member.MemberID) || !strings.Contains(said, "success") {
		t.Errorf("it recorded %q", said)
	}
	must[api.Done](s, api.OpStart, api.StartRequest{})
	s.await(c)
	// 1.2 of 10; a unit without a sandbox has 9.6.
	s.shell("systemd-analyze security --threshold=12 " + api.Unit(c.Name))
	s.refused(api.CodeRefused, api.OpRetire, api.RetireRequest{Owner: "another"})

	// If a failed start takes long, the host knows it by the duration of the one before, and finds its damaged database
	// in between.
	dropIn := "/etc/systemd/system/" + api.Unit(c.Name) + ".d"
	s.shell("systemctl stop " + api.Unit(c.Name) + " && truncate --size=8000 " + c.DataDir + "/member/snap/db && mkdir " + dropIn +
		" && printf '[Service]\\nExecStart=\\nExecStart=/bin/sh -c \"sleep 4; exec " + api.SelectedStore(c.Name) + "/store run " + c.Name + "\"\\n' >" + dropIn + "/slow.conf && systemctl daemon-reload" +
		" && systemctl start --no-block " + api.Unit(c.Name))
	end := time.Now().Add(3 * time.Minute)
	for ask := c.Ask(); ; time.Sleep(time.Second) {
		ask.Patience = time.Minute
		if o = must[api.Observation](s, api.OpObserve, ask); o.Unit.Restarts >= 3 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it is not started in vain: %+v", o.Unit)
		}
	}
	if o.Data.Damage == "" || !o.Unit.Looping {
		t.Errorf("it reads %+v, %+v", o.Unit, o.Data)
	}
	for o.Unit.MainPID == 0 {
		o = must[api.Observation](s, api.OpObserve, api.ObserveRequest{DataDir: c.DataDir})
	}
	if o.Unit.Vain < 4*time.Second || o.Unit.Vain > time.Minute || o.Data.Damage == "" {
		t.Errorf("while it runs it reads %+v, %+v", o.Unit, o.Data)
	}
	s.shell("systemctl stop " + api.Unit(c.Name) + " && rm -r " + dropIn + " && systemctl daemon-reload")

	// The next run acquires the lock as soon as the one before is gone.
	kill()
	s.holder = "run-2"
	kill = s.lock()
	defer kill()
	retired := must[api.Retired](s, api.OpRetire, api.RetireRequest{Owner: formation.Owner})
	if !strings.HasPrefix(retired.Path, c.DataDir+"."+api.AsidePrefix) {
		t.Errorf("the data lies in %q", retired.Path)
	}
	s.mustBeBare()
}

// mustYield fails the test if a snapshot is taken with the priority of a login, or the lock is held with that of a
// snapshot. The snapshot's storage does not answer, so that the call stays.
func (s *session) mustYield() {
	s.t.Helper()
	var answer bytes.Buffer
	command := s.ssh(s.t.Context(), api.InstalledStore(s.store)+" call")
	command.Stdin = bytes.NewReader(s.request(api.OpSave, api.SaveRequest{Owner: formation.Owner, S3: &api.S3{
		Bucket: "b", Key: "k", Region: "r", Endpoint: "https://127.0.0.1:1", AccessKeyID: "a", SecretAccessKey: secret.New("s"),
	}}))
	command.Stdout, command.Stderr = &answer, &answer
	if err := command.Start(); err != nil {
		s.t.Fatal(err)
	}
	const look = `for p in $(pgrep --full '/store call$'); do
		echo $(grep -o '[^/]*$' /proc/$p/cgroup | grep --max-count=1 etcd-call || echo login) $(cut -d' ' -f19 /proc/$p/stat) $(ionice -p $p)
	done; true`
	said := ""
	for end := time.Now().Add(time.Minute); !strings.Contains(said, "etcd-call-") && time.Now().Before(end); time.Sleep(time.Second) {
		said = s.shell(look)
	}
	call := regexp.MustCompile(`(?m)^(etcd-call-` + s.cluster + `-\d+\.scope) 10 best-effort: prio 7$`).FindStringSubmatch(said)
	if call == nil || !regexp.MustCompile(`(?m)^login \d none: prio \d$`).MatchString(said) {
		s.t.Fatalf("calls run as:\n%s\nand it answers %s", said, answer.String())
	}
	if has := s.shell("systemctl show --property=Slice --property=CPUWeight --property=IOWeight " + call[1]); has != "Slice=system.slice\nCPUWeight=20\nIOWeight=20\n" {
		s.t.Errorf("its scope has %s", has)
	}
	s.shell("systemctl stop " + call[1])
	_ = command.Wait() // it was ended
	if left := s.shell("systemctl list-units --all --no-legend 'etcd-call-*'"); left != "" {
		s.t.Errorf("it has left %s", left)
	}
}

// mustBeBare fails the test if the host still carries anything of a cluster but data.
func (s *session) mustBeBare() {
	s.t.Helper()
	left := s.shell("ls -d /etc/etcd /usr/local/bin/etcd* /etc/systemd/system/*/etcd* /etc/systemd/system/etcd* " + api.StoreRoot + " 2>/dev/null || true; systemctl list-units --all --no-legend 'etcd@*'")
	if left != "" {
		s.t.Errorf("these are left:\n%s", left)
	}
}

// TestGuardOnABootedHost removes a formed member's data, in each way that happens. The member stays down, with the
// reason in its journal, until the data is back. It starts by itself once a disk is mounted.
func TestGuardOnABootedHost(t *testing.T) {
	sample.LeaveToNewestMinor(t, "a member whose data is gone does not come to start etcd")
	s, c := booted(t, 600<<20)
	kill := s.lock()
	defer kill()
	s.shell("mkfs.ext4 -q /dev/sdb && mkdir -p " + c.DataDir + " && mount /dev/sdb " + c.DataDir)
	s.form(c)
	unit := api.Unit(c.Name)
	for name, test := range map[string]struct{ take, give, says string }{
		"the disk is not mounted":   {"umount " + c.DataDir, "mount /dev/sdb " + c.DataDir, "is mounted on " + c.DataDir},
		"the data is lost":          {"mv " + c.DataDir + "/member /var/kept", "mv /var/kept " + c.DataDir + "/member", "holds no member's data"},
		"the mount point is lost":   {"umount " + c.DataDir + " && rmdir " + c.DataDir, "mkdir " + c.DataDir + " && mount /dev/sdb " + c.DataDir, "is mounted on " + c.DataDir},
		"the marker is lost":        {"mv " + api.MarkerFile(c.Name) + " /var/kept", "mv /var/kept " + api.MarkerFile(c.Name), "there is no " + api.MarkerFile(c.Name)},
		"another directory is told": {"sed -i.kept s,data-dir=.*,data-dir=/var/empty, " + api.FlagsFile(c.Name), "mv " + api.FlagsFile(c.Name) + ".kept " + api.FlagsFile(c.Name), "/var/empty"},
	} {
		s.shell("systemctl stop " + unit + " && " + test.take)
		s.shell("systemctl start --no-block " + unit + "; sleep 4") // longer than systemd waits to start it again
		state := s.shell("for p in ActiveState NRestarts ExecMainStatus; do systemctl show --property=$p --value " + unit + "; done")
		want := "failed 0 78"
		if waits := strings.Contains(test.take, "umount"); waits {
			want = "activating 0 0"
		}
		if got := strings.Join(strings.Fields(state), " "); got != want {
			t.Errorf("%s: state, restarts and status of the unit are %q", name, got)
		}
		if said := s.shell("journalctl --quiet --output=cat --lines=20 --unit=" + unit); !strings.Contains(said, test.says) {
			t.Errorf("%s: the journal does not say %q:\n%s", name, test.says, said)
		}
		s.shell(test.give)
		if want == "failed 0 78" {
			must[api.Done](s, api.OpStart, api.StartRequest{})
		}
		s.await(c)
	}

	// Data that is moved aside stays on its disk.
	retired := must[api.Retired](s, api.OpRetire, api.RetireRequest{Owner: formation.Owner})
	if !strings.HasPrefix(retired.Path, c.DataDir+"/"+api.AsidePrefix) {
		t.Errorf("the data lies in %q", retired.Path)
	}
	s.shell("test -d " + retired.Path + "/member/wal && mountpoint -q " + c.DataDir)
	s.mustBeBare()
}
