package pki

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// handshake has client dial a port of 127.0.0.1 that server serves, each trusting the given authority, and returns what
// the server says to the client.
func handshake(t *testing.T, server, client KeyPair, trusted *Authority, at time.Time) error {
	t.Helper()
	config := func(pair KeyPair) *tls.Config {
		certificate, err := tls.X509KeyPair(pair.CertificatePEM(), privateKeyPEM(t, pair))
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(trusted.CertificatePEM())
		return &tls.Config{
			// A client holds back its Certificates if the server names other authorities, and the test wants the server
			// to refuse: hence GetClientCertificate.
			GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil },
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil },
			ClientAuth:           tls.RequireAndVerifyClientCert,
			ClientCAs:            pool, RootCAs: pool, ServerName: "127.0.0.1",
			Time: func() time.Time { return at },
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			served <- err
			return
		}
		defer connection.Close()
		served <- tls.Server(connection, config(server)).HandshakeContext(t.Context())
	}()
	connection, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	dialed := tls.Client(connection, config(client))
	if err := dialed.HandshakeContext(t.Context()); err != nil {
		_ = connection.Close()
		<-served
		return err
	}
	// With TLS 1.3 a client only learns by reading that it was refused.
	_, _ = io.ReadAll(dialed)
	return <-served
}

func TestWhoOpensWhichPort(t *testing.T) {
	cluster, err := NewAuthorities("prod", DefaultAlgorithm, DefaultAuthorityLifetime, now)
	if err != nil {
		t.Fatal(err)
	}
	leaf := func(profile Profile) KeyPair {
		made, err := cluster.For(profile).NewLeaf(t.Context(), Request{Profile: profile, CommonName: "a", IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, ECDSAP256, now)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	peer, server, client := leaf(Peer), leaf(Server), leaf(Client)
	late := now.Add(DefaultLeafLifetime + time.Second)
	for _, c := range []struct {
		name           string
		server, client KeyPair
		trusted        *Authority
		at             time.Time
		opens          bool
	}{
		{"a client opens the client port", server, client, cluster.Clients, now, true},
		{"a server opens its own client port, as etcd's gateway does", server, server, cluster.Clients, now, true},
		{"a peer opens the peer port", peer, peer, cluster.Peers, now, true},
		{"a peer opens the client port", server, peer, cluster.Clients, now, false},
		{"a client opens the peer port", peer, client, cluster.Peers, now, false},
		{"a server opens the peer port", peer, server, cluster.Peers, now, false},
		{"a client serves the client port", client, client, cluster.Clients, now, false},
		{"an expired client opens the client port", server, client, cluster.Clients, late, false},
	} {
		if err := handshake(t, c.server, c.client, c.trusted, c.at); (err == nil) != c.opens {
			t.Errorf("%s: %v, want %t", c.name, err, c.opens)
		}
	}
}
