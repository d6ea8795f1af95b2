package host

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/keys"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

func TestKeysOfEveryAlgorithm(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "certificates are read by Go's TLS in each")
	algorithms := []string{"ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096"}
	for _, algorithm := range algorithms {
		t.Run(algorithm, func(t *testing.T) {
			m, _ := newMachine(t)
			r := prepareOf("main")
			r.Keys = keysOf(algorithm)[:1]
			first := prepared(t, m, r)
			key, err := m.keys().Read("main", api.KeyPeer)
			if err != nil {
				t.Fatal(err)
			}
			for _, other := range algorithms {
				if keys.Fits(other, key) != (other == algorithm) {
					t.Errorf("a key of %s fits %s: %v", algorithm, other, keys.Fits(other, key))
				}
			}
			again := prepared(t, m, r)
			if a, b := parseRequest(t, first.Requests[api.KeyPeer]), parseRequest(t, again.Requests[api.KeyPeer]); !slices.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo) {
				t.Error("a key that was fit was made anew")
			}
		})
	}
}

func TestRequestsSayExactlyWhatWasAsked(t *testing.T) {
	m, _ := newMachine(t)
	p := prepared(t, m, prepareOf("main"))
	for _, want := range keysOf("ecdsa-p256") {
		csr := parseRequest(t, p.Requests[want.Name])
		var ips []string
		for _, ip := range csr.IPAddresses {
			ips = append(ips, ip.String())
		}
		if csr.Subject.CommonName != want.CommonName || !slices.Equal(csr.Subject.Organization, want.Organization) ||
			!slices.Equal(csr.DNSNames, want.DNSNames) || !slices.Equal(ips, want.IPs) {
			t.Errorf("key %s: subject %s, names %q, addresses %q", want.Name, csr.Subject, csr.DNSNames, ips)
		}
		if n := len(csr.Subject.Names); n != 1+len(want.Organization) {
			t.Errorf("key %s: the subject has %d parts: %s", want.Name, n, csr.Subject)
		}
		if len(csr.EmailAddresses) > 0 || len(csr.URIs) > 0 {
			t.Errorf("key %s asks for more than names and addresses", want.Name)
		}
	}
}

func TestKeysAreReadByTheirUsersAlone(t *testing.T) {
	m, _ := newMachine(t)
	prepared(t, m, prepareOf("main"))
	mustHave(t, m, api.KeyFile("main", api.KeyPeer), etcdOwner, 0o600)
	mustHave(t, m, api.KeyFile("main", api.KeyServer), etcdOwner, 0o600)
	mustHave(t, m, api.KeyFile("main", api.KeyAdmin), files.RootUser, 0o600)
	mustHave(t, m, api.TLSDir("main"), files.Owner{UID: 0, GID: etcdOwner.GID}, 0o750)
}

func TestUnfitKeysAreMadeAnew(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, m *Machine, r *api.PrepareRequest){
		"another algorithm": func(_ *testing.T, _ *Machine, r *api.PrepareRequest) { r.Keys = keysOf("ecdsa-p384") },
		"cut short": func(t *testing.T, m *Machine, _ *api.PrepareRequest) {
			if err := os.Truncate(m.path(api.KeyFile("main", api.KeyPeer)), 20); err != nil {
				t.Fatal(err)
			}
		},
		"no key": func(t *testing.T, m *Machine, _ *api.PrepareRequest) {
			writeFile(t, m, api.KeyFile("main", api.KeyPeer), encode("PRIVATE KEY", []byte("nonsense")))
		},
		"gone": func(t *testing.T, m *Machine, _ *api.PrepareRequest) {
			if err := os.Remove(m.path(api.KeyFile("main", api.KeyPeer))); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, runs := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, it runs: %t", name, runs), func(t *testing.T) {
				m, units := newMachine(t)
				ca := newAuthority(t)
				r := prepareOf("main")
				p := prepared(t, m, r)
				config := configureOf(t, r, p, ca)
				if err := m.Configure(t.Context(), "main", config); err != nil {
					t.Fatal(err)
				}
				spoil(t, m, &r)
				before := tree(t, m, "/etc")
				old, unusable := m.keys().Read("main", api.KeyPeer)

				// One that it uses, or would when it is started, stays until the new one is certified.
				if runs {
					units.active[api.Unit("main")] = "active"
				}
				p = prepared(t, m, r)
				if again := prepared(t, m, r); !slices.Equal(parseRequest(t, p.Requests[api.KeyPeer]).RawSubjectPublicKeyInfo, parseRequest(t, again.Requests[api.KeyPeer]).RawSubjectPublicKeyInfo) {
					t.Error("a second call has made another key")
				}
				if kept := tree(t, m, "/etc")[api.KeyFile("main", api.KeyPeer)] == before[api.KeyFile("main", api.KeyPeer)]; kept != (unusable == nil) {
					t.Errorf("the old key, %v, is kept: %t", old != nil, kept)
				}
				if err := m.Configure(t.Context(), "main", configureOf(t, r, p, ca)); err != nil {
					t.Fatal(err)
				}
				key, err := m.keys().Read("main", api.KeyPeer)
				if err != nil || !keys.Fits(r.Keys[0].Algorithm, key) {
					t.Errorf("the key is of no use: %v", err)
				}
				for name, held := range m.held() {
					if slices.Contains(api.KeyNames, name) && !held.HasKey {
						t.Errorf("certificate %s is not of its key", name)
					}
				}
				for path := range tree(t, m, "/etc") {
					if strings.Contains(path, ".next") {
						t.Errorf("%s is left", path)
					}
				}
				mustHave(t, m, api.KeyFile("main", api.KeyPeer), etcdOwner, 0o600)
				mustHave(t, m, api.KeyFile("main", api.KeyAdmin), files.RootUser, 0o600)
			})
		}
	}
}

func TestErrorsHoldNoKey(t *testing.T) {
	m, _ := newMachine(t)
	prepared(t, m, prepareOf("main"))
	path := m.path(api.KeyFile("main", api.KeyPeer))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.Split(string(text), "\n")[1]
	// A key in the place of a certificate, as a careless copy leaves it, does not leave the host either.
	writeFile(t, m, api.CertificateFile("main", api.KeyPeer), string(text))
	if err := os.WriteFile(path, append([]byte("x"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, held := range m.held() {
		if strings.Contains(held.PEM+held.Error, secret) || strings.Contains(held.PEM, "PRIVATE KEY") {
			t.Errorf("certificate %s holds a private key: %+v", name, held)
		}
	}
}

// TestAPairIsOneAtEachMoment renews keys with their certificates, of the same algorithm and of another one, and cuts
// the power at each name that changes on the disk: what a member is started with then is whole, or is once it has
// ended, or the next call makes it so. No key has more than one certificate that comes into its place.
func TestAPairIsOneAtEachMoment(t *testing.T) {
	sample.LeaveToNewestMinor(t, "certificates are read by Go's TLS in each")
	for i, algorithm := range []string{"ecdsa-p256", "ecdsa-p384"} {
		for k, ends := range []string{"by the end of the member", "by its start", "by the next call"} {
			if testing.Short() && i != k%2 {
				continue // make test-all has each algorithm with each end
			}
			t.Run(algorithm+", finished "+ends, func(t *testing.T) {
				changed := 0
				for n, cut := 0, true; cut; n++ {
					m, units := newMachine(t)
					ca := newAuthority(t)
					r := prepareOf("main")
					must(t, m.Configure(t.Context(), "main", configureOf(t, r, prepared(t, m, r), ca)))
					before := m.held()
					if ends == "by the next call" {
						units.active[api.Unit("main")] = "active"
					}
					r.Keys = keysOf(algorithm)
					broken := func() (names []string) {
						for name, held := range m.held() {
							if slices.Contains(api.KeyNames, name) && !held.HasKey {
								names = append(names, name)
							}
						}
						return names
					}
					renew := func() error {
						p := prepared(t, m, r)
						return m.Configure(t.Context(), "main", configureOf(t, r, p, ca))
					}
					cut = cutAt(t, m, n, renew)
					if pairs := broken(); len(pairs) > 1 {
						t.Errorf("cut %d: %q are no pairs", n, pairs)
					} else {
						changed = max(changed, len(pairs))
					}
					switch ends {
					case "by the end of the member":
						must(t, m.Record(t.Context(), "main"))
					case "by its start":
						must(t, m.Start(t.Context(), "main"))
					default:
						prepared(t, m, r)
					}
					if pairs := broken(); len(pairs) > 0 {
						t.Errorf("cut %d: %q are no pairs when the member is started again", n, pairs)
					}
					middle := m.held()
					must(t, renew())
					if pairs := broken(); len(pairs) > 0 {
						t.Errorf("cut %d: %q are no pairs after the next call", n, pairs)
					}
					for _, name := range api.KeyNames {
						if now := keyOf(t, m.held()[name]); now == keyOf(t, before[name]) || now == keyOf(t, middle[name]) {
							t.Errorf("cut %d: the new certificate %s is of a key that had one", n, name)
						}
					}
					for path := range tree(t, m, "/etc") {
						if strings.Contains(path, ".next") {
							t.Errorf("cut %d: %s is left", n, path)
						}
					}
				}
				if changed == 0 {
					t.Error("no pair was ever cut in two: the test tries nothing")
				}
			})
		}
	}
}

// keyOf returns the public key of a certificate that a host reports.
func keyOf(t *testing.T, held api.Certificate) string {
	t.Helper()
	leaf, err := cert.ParseLeaf([]byte(held.PEM))
	must(t, err)
	return string(leaf.RawSubjectPublicKeyInfo)
}

// TestAPairThatAnEarlierStoreCut finishes what a store that puts the key first has left of a pair.
func TestAPairThatAnEarlierStoreCut(t *testing.T) {
	m, _ := newMachine(t)
	r, ca := prepareOf("main"), newAuthority(t)
	must(t, m.Configure(t.Context(), "main", configureOf(t, r, prepared(t, m, r), ca)))
	c := configureOf(t, r, prepared(t, m, r), ca)
	key, certificate := api.KeyFile("main", api.KeyServer), api.CertificateFile("main", api.KeyServer)
	writeFile(t, m, api.NextCertificateFile("main", api.KeyServer), c.Certificates[api.KeyServer])
	must(t, os.Rename(m.path(api.NextKeyFile("main", api.KeyServer)), m.path(key)))
	if m.held()[api.KeyServer].HasKey {
		t.Fatal("nothing is cut")
	}
	must(t, m.Record(t.Context(), "main"))
	if text, err := os.ReadFile(m.path(certificate)); err != nil || string(text) != c.Certificates[api.KeyServer] || !m.held()[api.KeyServer].HasKey {
		t.Errorf("the certificate is %s, %v", text, err)
	}
}
