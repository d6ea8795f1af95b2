package renewal

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/keys"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

const authKey = "00112233445566778899aabbccddeeff"

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// authority is an authority that signs in tests.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return authority{key, must[*x509.Certificate](t)(x509.ParseCertificate(der))}
}

// leaf returns a certificate with the content of a member's.
func leaf(name string) *x509.Certificate {
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if name == api.KeyAdmin {
		usages = usages[1:]
	}
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: "a", Organization: []string{"etcd"}}, DNSNames: []string{"a.example.com"}, IPAddresses: []net.IP{net.ParseIP("192.0.2.11")},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: usages, NotBefore: time.Now().Add(-cert.Backdate), NotAfter: time.Now().Add(8760 * time.Hour),
	}
}

func (a authority) sign(t *testing.T, template *x509.Certificate, public crypto.PublicKey) string {
	t.Helper()
	template.SerialNumber = must[*big.Int](t)(rand.Int(rand.Reader, big.NewInt(1<<62)))
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key))
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// signer is a signing server with cfssl's API. It signs what is requested, for a year. edit changes what is signed, and
// answer replaces the whole answer.
type signer struct {
	t      *testing.T
	by     authority
	edit   func(name string, template *x509.Certificate, public *crypto.PublicKey)
	answer http.HandlerFunc

	mu    sync.Mutex
	calls int
}

func (s *signer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.calls++
	s.mu.Unlock()
	if s.answer != nil {
		s.answer(w, r)
		return
	}
	var call struct{ Token, Request []byte }
	var request struct {
		Hosts   []string
		Request string `json:"certificate_request"`
		Profile string
		Subject struct {
			CN    string
			Names []struct{ O string }
		}
	}
	key, _ := hex.DecodeString(authKey)
	mac := hmac.New(sha256.New, key)
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		s.t.Error(err)
	}
	mac.Write(call.Request)
	if !hmac.Equal(mac.Sum(nil), call.Token) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"success":false,"errors":[{"code":1,"message":"invalid token"}]}`))
		return
	}
	if err := json.Unmarshal(call.Request, &request); err != nil {
		s.t.Error(err)
	}
	block, _ := pem.Decode([]byte(request.Request))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil {
		s.t.Errorf("the request is no good: %v", err)
	}
	names := map[string]string{"peer": api.KeyPeer, "short": api.KeyPeer, "server": api.KeyServer, "client": api.KeyAdmin}
	template := leaf(names[request.Profile])
	if request.Profile == "short" { // due 2h30 before its end
		template.NotAfter = template.NotBefore.Add(6 * time.Hour)
	}
	template.Subject = pkix.Name{CommonName: request.Subject.CN}
	for _, name := range request.Subject.Names {
		template.Subject.Organization = append(template.Subject.Organization, name.O)
	}
	template.DNSNames, template.IPAddresses = nil, nil
	for _, host := range request.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	var public crypto.PublicKey = csr.PublicKey
	if s.edit != nil {
		s.edit(names[request.Profile], template, &public)
	}
	answer, err := json.Marshal(map[string]any{"success": true, "result": map[string]string{"certificate": s.by.sign(s.t, template, public)}})
	if err != nil {
		s.t.Error(err)
	}
	_, _ = w.Write(answer)
}

// member is a member that reads its files at each handshake, as etcd does, unless stuck has a certificate that it goes
// on serving.
type member struct {
	h     Host
	down  bool
	stuck map[string]string // SHA-256 by name of key
	admin bool              // whether the member lets nobody in
}

func (m *member) Served(context.Context, []string) map[string]api.Served {
	served := map[string]api.Served{}
	for _, name := range []string{api.KeyPeer, api.KeyServer} {
		pair, err := m.h.Keys.Pair("main", name)
		if m.down || err != nil {
			continue
		}
		sum := cert.InfoOf(pair.Leaf).SHA256
		if old, is := m.stuck[name]; is {
			sum = old
		}
		served[name] = api.Served{SHA256: sum}
	}
	return served
}

func (m *member) Look(context.Context) api.Member {
	return api.Member{Responding: !m.down && !m.admin, Error: "it was told so"}
}

// fakeUnits is a fake of systemd.
type fakeUnits struct {
	enabled  map[string]bool
	stale    map[string]bool // it has not read them since they were changed
	commands []string
	fails    string // the command that fails
}

func (u *fakeUnits) do(command, unit string) error {
	u.commands = append(u.commands, command+" "+unit)
	if u.fails == command {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (u *fakeUnits) State(_ context.Context, unit string) (api.UnitState, error) {
	state := api.UnitState{LoadState: "loaded", ActiveState: "inactive", FileState: "disabled", NeedReload: u.stale[unit]}
	if u.enabled[unit] {
		state.ActiveState, state.FileState = "active", "enabled"
	}
	return state, nil
}
func (u *fakeUnits) Reload(context.Context) error {
	clear(u.stale)
	return u.do("reload", "")
}
func (u *fakeUnits) Start(_ context.Context, unit string) error {
	u.enabled[unit] = true
	return u.do("start", unit)
}
func (u *fakeUnits) Stop(_ context.Context, unit string) error { return u.do("stop", unit) }
func (u *fakeUnits) Disable(_ context.Context, unit string) error {
	delete(u.enabled, unit)
	return u.do("disable", unit)
}

// world is a host whose certificates are near their end, and its signing server.
type world struct {
	Host
	units   *fakeUnits
	member  *member
	signer  *signer
	renewal api.Renewal
	said    []string
}

// newWorld returns a host whose certificates began an age ago, and are valid for the time that is left.
func newWorld(t *testing.T, age, left time.Duration) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("gives files to other users: run as root")
	}
	root := must[string](t)(filepath.EvalSymlinks(t.TempDir()))
	etcd := files.Owner{UID: 64123, GID: 64124}
	w := &world{units: &fakeUnits{enabled: map[string]bool{}, stale: map[string]bool{}}, signer: &signer{t: t, by: newAuthority(t, "main")}}
	tree := files.Tree{Root: root}
	systemUser := func() (files.Owner, error) { return etcd, nil }
	w.Host = Host{
		Files: tree, Records: records.Records{Files: tree, SystemUser: systemUser},
		Keys:  keys.Keys{Files: tree, Random: rand.Reader, SystemUser: func(context.Context) (files.Owner, bool, error) { return etcd, true, nil }},
		Locks: locks.Host{Files: tree, Now: time.Now}, Units: w.units, Now: time.Now, SystemUser: systemUser,
		Flags: func(string) ([]string, error) { return nil, nil }, Patience: time.Second,
	}
	w.member = &member{h: w.Host}
	w.Host.Member = func(api.Marker) Member { return w.member }
	for _, dir := range []string{api.TLSDir("main"), "/etc/systemd/system", api.MetricsDir} {
		if err := os.MkdirAll(tree.Path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	marker := api.Marker{Cluster: "main", Owner: "us", Member: "a", Phase: api.PhaseFormed, DataDir: "/var/lib/etcd/main", InitialCluster: "a=https://192.0.2.11:2380"}
	if err := w.Records.PutMarker(marker, etcd); err != nil {
		t.Fatal(err)
	}
	w.trust(t, w.signer.by)
	for _, name := range api.KeyNames {
		key := must[crypto.Signer](t)(w.Keys.New("ecdsa-p384"))
		template := leaf(name)
		template.NotBefore, template.NotAfter = time.Now().Add(-age), time.Now().Add(left)
		text := w.signer.by.sign(t, template, key.Public())
		if err := w.Keys.Replace("main", name, keys.Pair{Key: key, Certificate: text}, etcd); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewTLSServer(w.signer)
	t.Cleanup(server.Close)
	place := api.SigningPlace{
		Digest: "1", Authority: cert.Encode(w.signer.by.cert), URL: server.URL, Key: secret.New(authKey), CACertificate: cert.Encode(server.Certificate()),
	}
	w.renewal = api.Renewal{Peers: &place, Clients: &place}
	w.setUp(t)
	w.signer.calls = 0 // setUp has tried the server
	return w
}

// both says that hosts renew by both authorities.
var both = api.RenewalPlaces{Peers: true, Clients: true}

// trust has the member trust these authorities.
func (w *world) trust(t *testing.T, authorities ...authority) {
	t.Helper()
	text := ""
	for _, a := range authorities {
		text += cert.Encode(a.cert)
	}
	for _, bundle := range []string{api.PeerCAFile("main"), api.ClientCAFile("main")} {
		must[bool](t)(w.Files.Put(files.File{Path: bundle, Text: []byte(text), Owner: files.RootFor(files.Owner{UID: 64123, GID: 64124}), Mode: files.ConfigFile}))
	}
}

// meanwhile has something happen once, while the signing server is asked.
func (w *world) meanwhile(happens func()) {
	w.signer.edit = func(string, *x509.Certificate, *crypto.PublicKey) {
		w.signer.edit = nil
		happens()
	}
}

func (w *world) setUp(t *testing.T) {
	t.Helper()
	if err := w.SetUp(t.Context(), "main", api.RenewOnHostRequest{Owner: "us", Renewal: &w.renewal, Of: both}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) run(t *testing.T, all bool) error {
	t.Helper()
	w.said = nil
	return w.Run(t.Context(), "main", all, func(text string) { w.said = append(w.said, text) })
}

// pairs returns the contents of the host's keys and certificates.
func (w *world) pairs(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	entries := must[[]os.DirEntry](t)(os.ReadDir(w.Files.Path(api.TLSDir("main"))))
	for _, entry := range entries {
		texts[entry.Name()] = string(must[[]byte](t)(os.ReadFile(w.Files.Path(filepath.Join(api.TLSDir("main"), entry.Name())))))
	}
	return texts
}
