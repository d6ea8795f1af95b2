package bootstrap_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
)

// now is when every test takes place.
var now = nodetest.Start

// ours is the attempt that tests go on with.
var ours = bootstrap.Formation{Owner: "us", Token: "prod-1"}

// The authorities: ours, and another pair that is called the same.
var (
	authority = sync.OnceValue(newAuthority)
	unmanaged = sync.OnceValue(newAuthority)
)

func newAuthority() *signing.Authority {
	a, err := signing.NewAuthority(now)
	if err != nil {
		panic(err)
	}
	return a
}

// cluster is prod, of the members a, b, c and so on at these addresses.
func cluster(addresses ...string) bootstrap.Cluster {
	var members []membership.Member
	for i, address := range addresses {
		members = append(members, membership.Member{Name: string(rune('a' + i)), Address: address})
	}
	return bootstrap.Cluster{
		Spec:         membership.Spec{Name: "prod", Version: "3.7.3", Members: members},
		DataDir:      "/var/lib/etcd/prod",
		ClientPort:   2379,
		PeerPort:     2380,
		MetricsPort:  2381,
		KeyAlgorithm: "ecdsa-p256",
		PeerCA:       authority().PeerCA(),
		ClientCA:     authority().ClientCA(),
		Stores:       map[string]string{"amd64": "5707e", "arm64": "a5707e"},
	}
}

// three is prod of three members.
func three() bootstrap.Cluster { return cluster("192.0.2.11", "192.0.2.12", "192.0.2.13") }

// bare is what is learned of a bare host that is fit for a member.
func bare(m membership.Member) bootstrap.Report {
	return bootstrap.Report{Contact: api.Contact{
		Kernel:    "6.1.0-28-amd64",
		Machine:   "x86_64",
		Systemd:   true,
		MachineID: "machine of " + m.Name,
		BootID:    "boot of " + m.Name,
		FreeBytes: 20 << 30,
	}}
}

// serving is what is learned of a host whose member is part of the cluster, in this phase.
func serving(t *testing.T, c bootstrap.Cluster, m membership.Member, phase api.Phase) bootstrap.Report {
	t.Helper()
	marker := c.Marker(m, ours, phase)
	state := bootstrap.StateNew
	if phase == api.PhaseFormed {
		state, marker.ClusterID, marker.MemberID = bootstrap.StateExisting, "c1", m.Name+"1"
	}
	const memory = 8 << 30
	unit, err := c.Unit(memory)
	if err != nil {
		t.Fatal(err)
	}
	store := c.Stores["amd64"]
	report := bare(m)
	report.Contact.Installed, report.Contact.Marker = []string{store}, &marker
	report.Contact.DataNotEmpty, report.Contact.Listening = true, c.Ports()
	o := api.Observation{
		Facts:        api.Facts{MemoryBytes: memory, Architecture: "amd64"},
		Store:        api.Store{EtcdVersion: "3.7.3", SHA256: store, Selected: store, Installed: []string{store}},
		Marker:       &marker,
		Unit:         api.UnitState{Text: unit, ActiveState: "active", SubState: "running"},
		Flags:        c.Flags(m, ours, state),
		Data:         api.Data{Path: c.DataDir, Exists: true, HasMember: true},
		Certificates: held(t, c, m, authority(), nil),
		Member:       api.Member{Responding: true, Ready: true, Healthy: true, ClusterID: "c1", MemberID: m.Name + "1", Leader: "a1"},
	}
	for _, port := range c.Ports() {
		o.Listeners = append(o.Listeners, api.Listener{Port: port, PID: 812, Process: "etcd", Ours: true})
	}
	for _, other := range c.Members {
		if other != m {
			o.Member.Connected = append(o.Member.Connected, other.Name+"1")
		}
		o.Member.Members = append(o.Member.Members, api.ListedMember{
			ID: other.Name + "1", Name: other.Name, PeerURLs: []string{c.PeerURL(other)}, ClientURLs: []string{c.ClientURL(other)},
		})
	}
	report.Observation = &o
	return report
}

// held are a member's certificates, of this authority; change has a say in what each is signed for.
func held(t *testing.T, c bootstrap.Cluster, m membership.Member, a *signing.Authority, change func(*api.KeyRequest)) map[string]api.Certificate {
	t.Helper()
	certificates := map[string]api.Certificate{"peer-ca": {PEM: c.PeerCA}, "client-ca": {PEM: c.ClientCA}}
	for _, want := range c.Keys(m) {
		if change != nil {
			change(&want)
		}
		signed, err := a.Sign(t.Context(), "", want, request(t, want))
		if err != nil {
			t.Fatal(err)
		}
		certificates[want.Name] = api.Certificate{PEM: signed, HasKey: true}
	}
	return certificates
}

// request is a request that asks for what is desired.
func request(t *testing.T, want api.KeyRequest) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.CertificateRequest{Subject: pkix.Name{CommonName: want.CommonName, Organization: want.Organization}, DNSNames: want.DNSNames}
	for _, ip := range want.IPs {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// assessed returns what reports amount to. The hosts of members that have no report are bare.
func assessed(c bootstrap.Cluster, reports map[string]bootstrap.Report, at time.Time) membership.Observed {
	for _, m := range c.Members {
		if _, given := reports[m.Name]; !given {
			reports[m.Name] = bare(m)
		}
	}
	return c.Assess(reports, ours, at)
}
