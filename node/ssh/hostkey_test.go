package ssh_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh/sshtest"
)

// today is the time at which these tests check certificates.
var today = time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)

func clockedOptions() ssh.Options { return ssh.Options{Now: func() time.Time { return today }} }

// tryWith connects to a server with another trust than its own.
func tryWith(t *testing.T, server *sshtest.Server, trust ssh.Trust) error {
	t.Helper()
	target := server.Target()
	target.Trust = trust
	_, err := newPool(t, clockedOptions()).Connect(t.Context(), target)
	return err
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustContain(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error lacks %q:\n%v", part, err)
		}
	}
}

func TestPinChoosesAmongTheKeysOfAHost(t *testing.T) {
	kinds := []string{gossh.KeyAlgoED25519, gossh.KeyAlgoECDSA256, gossh.KeyAlgoECDSA384, gossh.KeyAlgoECDSA521, gossh.KeyAlgoRSA}
	var keys []gossh.Signer
	for _, kind := range kinds {
		keys = append(keys, sshtest.NewSigner(t, kind))
	}
	server := sshtest.Start(t, sshtest.Config{HostKeys: keys})
	for i, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			if err := tryWith(t, server, ssh.Trust{HostKey: sshtest.PublicLine(keys[i].PublicKey()) + " root@host"}); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("one of two pins", func(t *testing.T) {
		next := sshtest.PublicLine(sshtest.NewSigner(t, gossh.KeyAlgoED25519).PublicKey())
		if err := tryWith(t, server, ssh.Trust{HostKey: next + "\n" + sshtest.PublicLine(keys[0].PublicKey()) + "\n"}); err != nil {
			t.Error(err)
		}
	})
}

func TestPinMismatchSaysBothFingerprints(t *testing.T) {
	for _, pinned := range []string{gossh.KeyAlgoED25519, gossh.KeyAlgoRSA} {
		t.Run(pinned, func(t *testing.T) {
			wrong := sshtest.NewSigner(t, pinned).PublicKey()
			key := sshtest.NewSigner(t, gossh.KeyAlgoED25519)
			server := sshtest.Start(t, sshtest.Config{HostKeys: []gossh.Signer{key}})
			err := tryWith(t, server, ssh.Trust{HostKey: sshtest.PublicLine(wrong)})
			if !errors.Is(err, ssh.ErrHostKeyMismatch) {
				t.Fatalf("not ErrHostKeyMismatch: %v", err)
			}
			mustContain(t, err, server.Endpoint(), gossh.FingerprintSHA256(key.PublicKey()), gossh.FingerprintSHA256(wrong))
			if server.Accepted() != 1 {
				t.Errorf("%d connections: a wrong host key was tried again", server.Accepted())
			}
			if server.Logins() != 0 {
				t.Error("logged in to an untrusted host")
			}
		})
	}
}

func TestHostCertificates(t *testing.T) {
	authority, other := sshtest.NewSigner(t, gossh.KeyAlgoECDSA256), sshtest.NewSigner(t, gossh.KeyAlgoED25519)
	good := gossh.Certificate{
		CertType:        gossh.HostCert,
		KeyId:           "host-a",
		ValidPrincipals: []string{"a.example.com", "127.0.0.1"},
		ValidAfter:      uint64(today.Add(-time.Hour).Unix()),
		ValidBefore:     uint64(today.Add(time.Hour).Unix()),
	}
	change := func(edit func(*gossh.Certificate)) gossh.Certificate {
		cert := good
		edit(&cert)
		return cert
	}
	for name, test := range map[string]struct {
		cert     gossh.Certificate
		signedBy gossh.Signer
		want     error
		says     string
	}{
		"good":            {cert: good, signedBy: authority},
		"forever":         {cert: change(func(c *gossh.Certificate) { c.ValidBefore = gossh.CertTimeInfinity }), signedBy: authority},
		"other authority": {good, other, ssh.ErrHostKeyUnknown, gossh.FingerprintSHA256(other.PublicKey())},
		"other principal": {change(func(c *gossh.Certificate) { c.ValidPrincipals = []string{"b.example.com"} }), authority, ssh.ErrHostKeyMismatch, "b.example.com"},
		"with port":       {change(func(c *gossh.Certificate) { c.ValidPrincipals = []string{"[127.0.0.1]:22"} }), authority, ssh.ErrHostKeyMismatch, "principal"},
		"no principals":   {change(func(c *gossh.Certificate) { c.ValidPrincipals = nil }), authority, ssh.ErrHostKeyMismatch, "-n 127.0.0.1"},
		"expired":         {change(func(c *gossh.Certificate) { c.ValidBefore = uint64(today.Unix()) }), authority, ssh.ErrHostKeyMismatch, "expired"},
		"not yet valid":   {change(func(c *gossh.Certificate) { c.ValidAfter = uint64(today.Unix()) + 1 }), authority, ssh.ErrHostKeyMismatch, "not yet valid"},
		"of a user":       {change(func(c *gossh.Certificate) { c.CertType = gossh.UserCert }), authority, ssh.ErrHostKeyMismatch, "certificate of a user"},
		"unknown option": {change(func(c *gossh.Certificate) {
			c.CriticalOptions = map[string]string{"only-on-mondays": ""}
		}), authority, ssh.ErrHostKeyMismatch, "only-on-mondays"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := sshtest.NewSigner(t, gossh.KeyAlgoED25519)
			cert := sshtest.Certify(t, test.signedBy, key.PublicKey(), test.cert)
			// The plain key stands first, as in a real sshd: that the certificate is presented at all
			// is due to the order in which the client asks.
			server := sshtest.Start(t, sshtest.Config{HostKeys: []gossh.Signer{key, sshtest.CertSigner(t, cert, key)}})
			err := tryWith(t, server, ssh.Trust{HostCA: sshtest.PublicLine(authority.PublicKey())})
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if test.says != "" {
				mustContain(t, err, test.says)
			}
		})
	}
}

func TestHostCertificateOfEveryKind(t *testing.T) {
	authority := sshtest.NewSigner(t, gossh.KeyAlgoRSA)
	for _, kind := range []string{gossh.KeyAlgoED25519, gossh.KeyAlgoECDSA256, gossh.KeyAlgoECDSA384, gossh.KeyAlgoECDSA521, gossh.KeyAlgoRSA} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			key := sshtest.NewSigner(t, kind)
			cert := sshtest.Certify(t, authority, key.PublicKey(), gossh.Certificate{
				CertType: gossh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: gossh.CertTimeInfinity,
			})
			server := sshtest.Start(t, sshtest.Config{HostKeys: []gossh.Signer{sshtest.CertSigner(t, cert, key)}})
			if err := tryWith(t, server, ssh.Trust{HostCA: sshtest.PublicLine(authority.PublicKey())}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestHostWithoutCertificateIsUnknownToAnAuthority(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	authority := sshtest.NewSigner(t, gossh.KeyAlgoED25519).PublicKey()
	err := tryWith(t, server, ssh.Trust{HostCA: sshtest.PublicLine(authority)})
	if !errors.Is(err, ssh.ErrHostKeyUnknown) {
		t.Fatal(err)
	}
	mustContain(t, err, "without a certificate of ssh-ed25519 "+gossh.FingerprintSHA256(authority))
}

func TestKnownHosts(t *testing.T) {
	key := sshtest.NewSigner(t, gossh.KeyAlgoECDSA256)
	second := sshtest.NewSigner(t, gossh.KeyAlgoED25519)
	authority := sshtest.NewSigner(t, gossh.KeyAlgoED25519)
	cert := sshtest.Certify(t, authority, key.PublicKey(), gossh.Certificate{
		CertType: gossh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: gossh.CertTimeInfinity,
	})
	plain := sshtest.Start(t, sshtest.Config{HostKeys: []gossh.Signer{second, key}})
	certified := sshtest.Start(t, sshtest.Config{HostKeys: []gossh.Signer{key, sshtest.CertSigner(t, cert, key)}})

	line, ca, other := sshtest.PublicLine(key.PublicKey()), sshtest.PublicLine(authority.PublicKey()),
		sshtest.PublicLine(sshtest.NewSigner(t, gossh.KeyAlgoECDSA256).PublicKey())
	for name, test := range map[string]struct {
		server *sshtest.Server
		file   string // HOST stands for the server as known_hosts writes it, HASHED for its hash
		want   error
	}{
		"plain, of the less preferred kind": {plain, "# comment\n\nHOST " + line, nil},
		"hashed":                            {plain, "HASHED " + line, nil},
		"wildcard and negation":             {plain, "*.example.com,![10.0.0.1]:2222,HOST " + line, nil},
		"negated":                           {plain, "!HOST,HOST " + line, ssh.ErrHostKeyUnknown},
		"other host":                        {plain, "10.9.9.9 " + line, ssh.ErrHostKeyUnknown},
		"other key":                         {plain, "HOST " + other, ssh.ErrHostKeyMismatch},
		"other key before the right one":    {plain, "HOST " + other + "\nHOST " + line, nil},
		"revoked":                           {plain, "HOST " + line + "\n@revoked * " + line, ssh.ErrHostKeyMismatch},
		"authority":                         {certified, "@cert-authority HOST " + ca, nil},
		"authority of all":                  {certified, "@cert-authority * " + ca, nil},
		"authority, but no certificate":     {plain, "@cert-authority * " + ca, ssh.ErrHostKeyUnknown},
		"revoked authority":                 {certified, "@cert-authority * " + ca + "\n@revoked * " + ca, ssh.ErrHostKeyMismatch},
		"revoked certified key":             {certified, "@cert-authority * " + ca + "\n@revoked * " + line, ssh.ErrHostKeyMismatch},
		"authority unknown, key known":      {certified, "@cert-authority * " + other + "\nHOST " + line, nil},
		"the authority's key as a host key": {plain, "@cert-authority * " + line, ssh.ErrHostKeyUnknown},
		"empty":                             {plain, "", ssh.ErrHostKeyUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := knownhosts.Normalize(test.server.Endpoint())
			file := strings.NewReplacer("HOST", host, "HASHED", knownhosts.HashHostname(host)).Replace(test.file)
			err := tryWith(t, test.server, ssh.Trust{KnownHosts: []string{writeFile(t, file)}})
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestPinStandsAlone(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	pin := server.Target().Trust.HostKey
	host := knownhosts.Normalize(server.Endpoint())
	other := sshtest.PublicLine(sshtest.NewSigner(t, gossh.KeyAlgoED25519).PublicKey())

	err := tryWith(t, server, ssh.Trust{HostKey: other, KnownHosts: []string{writeFile(t, host+" "+pin)}})
	if !errors.Is(err, ssh.ErrHostKeyMismatch) {
		t.Errorf("a known_hosts file overruled the pin: %v", err)
	}
	err = tryWith(t, server, ssh.Trust{HostKey: pin, KnownHosts: []string{writeFile(t, "@revoked * "+pin)}})
	if !errors.Is(err, ssh.ErrHostKeyMismatch) {
		t.Errorf("a pin overruled a revocation: %v", err)
	}
}

// What the errors tell the user to write has to work when it is written, whatever the callers say after them.
func TestKeyErrorsGiveTheLinesToAdd(t *testing.T) {
	for name, test := range map[string]struct {
		listen string
		known  bool // another key of the host
		is     error
	}{
		"unknown, IPv4":   {"127.0.0.1:0", false, ssh.ErrHostKeyUnknown},
		"no trust at all": {"127.0.0.1:0", false, ssh.ErrHostKeyUnknown},
		"unknown, IPv6":   {"[::1]:0", false, ssh.ErrHostKeyUnknown},
		"another is here": {"127.0.0.1:0", true, ssh.ErrHostKeyMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			server := sshtest.Start(t, sshtest.Config{Listen: test.listen})
			trust := ssh.Trust{KnownHosts: []string{writeFile(t, "")}}
			if name == "no trust at all" {
				trust = ssh.Trust{}
			}
			if test.known {
				trust = ssh.Trust{HostKey: sshtest.PublicLine(sshtest.NewSigner(t, gossh.KeyAlgoED25519).PublicKey())}
			}
			err := tryWith(t, server, trust)
			if !errors.Is(err, test.is) {
				t.Fatal(err)
			}
			mustContain(t, err, server.Endpoint(), "SHA256:")
			err = fmt.Errorf("%w; nothing is changed until that is fixed", err)

			pin := regexp.MustCompile(`host_key = "(.*)"`).FindStringSubmatch(err.Error())
			if pin == nil {
				t.Fatalf("no host_key line in: %v", err)
			}
			if err := tryWith(t, server, ssh.Trust{HostKey: pin[1]}); err != nil {
				t.Errorf("with the suggested pin: %v", err)
			}
			line := regexp.MustCompile(`(?m)known_hosts file\n  (.*)$`).FindStringSubmatch(err.Error())
			if line == nil {
				t.Fatalf("no line in: %v", err)
			}
			text := strings.Fields(line[1])
			if len(text) != 3 {
				t.Errorf("more than host, type and key: %q", line[1])
			}
			if err := tryWith(t, server, ssh.Trust{KnownHosts: []string{writeFile(t, line[1])}}); err != nil {
				t.Errorf("with the suggested line %q: %v", line[1], err)
			}
		})
	}
}

func TestBadTrust(t *testing.T) {
	pin := sshtest.PublicLine(sshtest.NewSigner(t, gossh.KeyAlgoED25519).PublicKey())
	target := ssh.Target{Address: "192.0.2.1", User: "root", Auth: ssh.Auth{
		PrivateKey: secret.New(sshtest.OpenSSH(t, sshtest.NewKey(t, gossh.KeyAlgoED25519), "")),
	}}
	for name, test := range map[string]struct {
		trust ssh.Trust
		says  string
	}{
		"pin with host name":  {ssh.Trust{HostKey: "192.0.2.1 " + pin}, "no host name before it"},
		"pin without type":    {ssh.Trust{HostKey: strings.Fields(pin)[1]}, `"ssh-ed25519 AAAA..."`},
		"pin with other type": {ssh.Trust{HostKey: "ssh-rsa " + strings.Fields(pin)[1]}, "type of its key, ssh-ed25519"},
		"cut pin":             {ssh.Trust{HostKey: pin[:len(pin)-8]}, "host_key"},
		"user's certificate": {ssh.Trust{HostKey: sshtest.PublicLine(sshtest.Certify(t, sshtest.NewSigner(t, gossh.KeyAlgoED25519),
			sshtest.NewSigner(t, gossh.KeyAlgoED25519).PublicKey(), gossh.Certificate{CertType: gossh.UserCert}))}, "cannot be used for a host"},
		"marker":   {ssh.Trust{HostCA: "@cert-authority * " + pin}, "host_ca"},
		"no file":  {ssh.Trust{KnownHosts: []string{"/nonexistent/known_hosts"}}, "/nonexistent/known_hosts"},
		"bad line": {ssh.Trust{KnownHosts: []string{writeFile(t, pin+"\nhost ssh-ed25519 !!!\n")}}, ":1:"},
	} {
		t.Run(name, func(t *testing.T) {
			target.Trust = test.trust
			mustContain(t, target.Validate(), test.says)
		})
	}
}
