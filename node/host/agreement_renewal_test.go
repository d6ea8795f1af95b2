package host

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// renewingParty is what the machine and the fake do where hosts renew certificates.
type renewingParty interface {
	signer() api.SigningPlace // a server that hosts may ask, without a digest
	refuseToSign(at string, refuses bool)
	damageRenewals(at string)
}

// renewalOf describes how a host renews certificates, in words that both parties share.
func renewalOf(o api.Observation) string {
	r := o.Renewal
	if r == nil {
		return ""
	}
	return fmt.Sprintf("peers' %s, clients' %s, damaged %t, enabled %t, to be reread %t", r.Peers, r.Clients, r.Damaged, r.Enabled, r.NeedReload)
}

// machineNow is what the clock of a machine of newMachine says.
var machineNow = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// signingServer signs what machines ask for, as cfssl does.
type signingServer struct {
	t       *testing.T
	key     *ecdsa.PrivateKey
	cert    *x509.Certificate
	refuses atomic.Bool
	place   api.SigningPlace
}

func newSigningServer(t *testing.T) *signingServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a signing server's"}, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: machineNow.Add(-time.Hour), NotAfter: machineNow.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	s := &signingServer{t: t, key: key}
	s.cert, err = x509.ParseCertificate(der)
	must(t, err)
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	s.place = api.SigningPlace{
		Authority: encode("CERTIFICATE", der), URL: server.URL, Key: secret.New("00112233445566778899aabbccddeeff"), CACertificate: encode("CERTIFICATE", server.Certificate().Raw),
	}
	return s
}

func (s *signingServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.refuses.Load() {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"success":false,"errors":[{"code":1,"message":"invalid token"}]}`))
		return
	}
	var call struct{ Request []byte }
	var request struct {
		Hosts   []string
		Request string `json:"certificate_request"`
		Profile string
		Subject struct{ CN string }
	}
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		s.t.Error(err)
	}
	if err := json.Unmarshal(call.Request, &request); err != nil {
		s.t.Error(err)
	}
	block, _ := pem.Decode([]byte(request.Request))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		s.t.Error(err)
		return
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: request.Subject.CN}, NotBefore: machineNow.Add(-5 * time.Minute),
		NotAfter: machineNow.Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if request.Profile != "client" {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	for _, host := range request.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, s.cert, csr.PublicKey, s.key)
	if err != nil {
		s.t.Error(err)
	}
	answer, err := json.Marshal(map[string]any{"success": true, "result": map[string]string{"certificate": encode("CERTIFICATE", der)}})
	if err != nil {
		s.t.Error(err)
	}
	_, _ = w.Write(answer)
}

func (p *machineParty) signer() api.SigningPlace        { return p.signs.place }
func (p *machineParty) refuseToSign(_ string, why bool) { p.signs.refuses.Store(why) }

func (p *machineParty) damageRenewals(at string) {
	file := files.File{Path: api.RenewalFile("main"), Text: []byte("{"), Owner: files.RootUser, Mode: files.KeyFile}
	if _, err := p.hosts[at].Renewals().Files.Put(file); err != nil {
		p.t.Fatal(err)
	}
}

func (p *fakeParty) signer() api.SigningPlace {
	return api.SigningPlace{URL: "https://192.0.2.8", Key: secret.New("00")}
}

func (p *fakeParty) refuseToSign(at string, refuses bool) {
	p.host(at).SignerFails = ""
	if refuses {
		p.host(at).SignerFails = "invalid token"
	}
}

func (p *fakeParty) damageRenewals(at string) { p.host(at).DamageRenewals("main") }

// renewing has a host renew by a server of these digests for peers and for clients; empty: by none.
func renewing(peers, clients string, of api.RenewalPlaces) func(*stage) any {
	return func(s *stage) any {
		var by api.Renewal
		for digest, place := range map[*string]**api.SigningPlace{&peers: &by.Peers, &clients: &by.Clients} {
			if *digest != "" {
				signer := s.signer()
				signer.Digest = *digest
				*place = &signer
			}
		}
		if by == (api.Renewal{}) {
			return api.RenewOnHostRequest{Owner: fleetOwner, Of: of}
		}
		return api.RenewOnHostRequest{Owner: fleetOwner, Renewal: &by, Of: of}
	}
}

func signs(refuses bool) func(*stage) { return func(s *stage) { s.refuseToSign("a", refuses) } }

var (
	ofPeers, ofClients = api.RenewalPlaces{Peers: true}, api.RenewalPlaces{Clients: true}
	ofBoth             = api.RenewalPlaces{Peers: true, Clients: true}
)

// renewingHost renews certificates by itself. It tries servers that are new to it, and no others.
var renewingHost = arrangement{hosts: []string{"a"}, arrange: func(s *stage) { s.form("a") }, rows: []row{
	{name: "the server refuses", event: signs(true)},
	{name: "renew by a server that refuses", at: "a", op: api.OpRenewOnHost, body: renewing("1", "1", ofBoth), want: api.CodeFailed, says: "the host cannot renew certificate peer by on_hosts"},
	{name: "the server signs", event: signs(false)},
	{name: "renew by it", at: "a", op: api.OpRenewOnHost, body: renewing("1", "1", ofBoth)},
	{name: "the server refuses again", event: signs(true)},
	{name: "renew by what was tried", at: "a", op: api.OpRenewOnHost, body: renewing("1", "1", ofBoth)},
	{name: "renew those of servers by another", at: "a", op: api.OpRenewOnHost, body: renewing("1", "2", ofBoth), want: api.CodeFailed, says: "the host cannot renew certificate server by on_hosts"},
	{name: "the server signs again", event: signs(false)},
	{name: "renew peers' by another, and the others as before", at: "a", op: api.OpRenewOnHost, body: renewing("2", "", ofPeers)},
	{name: "its settings are damaged", event: func(s *stage) { s.damageRenewals("a") }},
	{name: "renew peers' by another, and nobody knows how the others", at: "a", op: api.OpRenewOnHost, body: renewing("3", "", ofPeers), want: api.CodeRefused, says: "apply once with the signers of both"},
	{name: "disable for clients, and nobody knows how the others", at: "a", op: api.OpRenewOnHost, body: renewing("", "", ofClients), want: api.CodeRefused, says: "apply once with the signers of both"},
	{name: "renew both over what is damaged", at: "a", op: api.OpRenewOnHost, body: renewing("3", "1", ofBoth)},
	{name: "disable for peers", at: "a", op: api.OpRenewOnHost, body: renewing("", "", ofPeers)},
	{name: "its settings are damaged again", event: func(s *stage) { s.damageRenewals("a") }},
	{name: "disable over what is damaged", at: "a", op: api.OpRenewOnHost, body: renewing("", "", ofBoth)},
}}
