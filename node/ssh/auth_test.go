package ssh_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh/sshtest"
)

const passphrase = "correct horse"

// logIn connects to a server with other credentials than those of Server.Target.
func logIn(t *testing.T, server *sshtest.Server, auth ssh.Auth) error {
	t.Helper()
	target := server.Target()
	target.Auth = auth
	_, err := newPool(t, ssh.Options{}).Connect(t.Context(), target)
	return err
}

func pemText(kind string, der []byte, err error) string {
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(key crypto.Signer) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return der
}

func TestPrivateKeyFormats(t *testing.T) {
	ed := sshtest.NewKey(t, gossh.KeyAlgoED25519)
	ec := sshtest.NewKey(t, gossh.KeyAlgoECDSA256).(*ecdsa.PrivateKey)
	ec521 := sshtest.NewKey(t, gossh.KeyAlgoECDSA521).(*ecdsa.PrivateKey)
	rs := sshtest.NewKey(t, gossh.KeyAlgoRSA).(*rsa.PrivateKey)
	var authorized []gossh.PublicKey
	for _, key := range []crypto.Signer{ed, ec, ec521, rs} {
		authorized = append(authorized, sshtest.Signer(t, key).PublicKey())
	}
	server := sshtest.Start(t, sshtest.Config{AuthorizedKeys: authorized})

	sec1, err := x509.MarshalECPrivateKey(ec)
	sec1Text := pemText("EC PRIVATE KEY", sec1, err)
	pkcs1Text := pemText("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rs), nil)
	openssh := sshtest.OpenSSH(t, ed, "")
	plain := map[string]string{
		"openssh ed25519":  openssh,
		"openssh ecdsa":    sshtest.OpenSSH(t, ec, ""),
		"openssh 521":      sshtest.OpenSSH(t, ec521, ""),
		"openssh rsa":      sshtest.OpenSSH(t, rs, ""),
		"pkcs1":            pkcs1Text,
		"sec1":             sec1Text,
		"pkcs8 ed25519":    pemText("PRIVATE KEY", pkcs8(ed), nil),
		"pkcs8 ecdsa":      pemText("PRIVATE KEY", pkcs8(ec), nil),
		"pkcs8 rsa":        pemText("PRIVATE KEY", pkcs8(rs), nil),
		"no last newline":  strings.TrimSpace(openssh),
		"heredoc":          "\n    " + strings.ReplaceAll(openssh, "\n", "\n    ") + "\n",
		"windows newlines": strings.ReplaceAll(openssh, "\n", "\r\n"),
	}
	for name, text := range plain {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := logIn(t, server, ssh.Auth{PrivateKey: secret.New(text)}); err != nil {
				t.Error("inline:", err)
			}
			if err := logIn(t, server, ssh.Auth{PrivateKeyFile: writeFile(t, text), Passphrase: secret.New("unused")}); err != nil {
				t.Error("file, with a passphrase that it does not need:", err)
			}
		})
	}

	locked := map[string]string{
		"openssh locked": sshtest.OpenSSH(t, ed, passphrase),
		"pkcs1 locked":   lockPEM(t, pkcs1Text),
		"sec1 locked":    lockPEM(t, sec1Text),
	}
	for _, cipher := range pbes2Ciphers {
		for _, prf := range pbes2PRFs {
			locked["pkcs8 "+cipher.name+" "+prf.name] = lockPKCS8(t, pkcs8(ed), cipher, prf)
		}
	}
	for name, text := range locked {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := logIn(t, server, ssh.Auth{PrivateKey: secret.New(text), Passphrase: secret.New(passphrase)}); err != nil {
				t.Error(err)
			}
			wrong := ssh.Auth{PrivateKeyFile: writeFile(t, text), Passphrase: secret.New("incorrect horse")}
			err := logIn(t, server, wrong)
			mustContain(t, err, "private_key_file "+wrong.PrivateKeyFile, "the passphrase does not open it")
			err = logIn(t, server, ssh.Auth{PrivateKey: secret.New(text)})
			mustContain(t, err, "private_key is encrypted: set passphrase")
			if err := ssh.CheckPrivateKey(text); err != nil {
				t.Errorf("refused without its passphrase: %v", err)
			}
		})
	}
}

// lockPEM encrypts the way that ssh-keygen -m PEM does.
func lockPEM(t *testing.T, text string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	//lint:ignore SA1019 It is deprecated for being weak, which is no reason not to read it.
	locked, err := x509.EncryptPEMBlock(zeroReader{}, block.Type, block.Bytes, []byte(passphrase), x509.PEMCipherAES128)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(locked))
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { return len(p), nil }

func TestBadAuth(t *testing.T) {
	text := sshtest.OpenSSH(t, sshtest.NewKey(t, gossh.KeyAlgoED25519), "")
	key := sshtest.NewSigner(t, gossh.KeyAlgoED25519)
	authority := sshtest.NewSigner(t, gossh.KeyAlgoED25519)
	userCert := sshtest.PublicLine(sshtest.Certify(t, authority, key.PublicKey(), gossh.Certificate{CertType: gossh.UserCert}))
	hostCert := sshtest.PublicLine(sshtest.Certify(t, authority, key.PublicKey(), gossh.Certificate{CertType: gossh.HostCert}))
	missing := filepath.Join(t.TempDir(), "id_missing")
	t.Setenv("SSH_AUTH_SOCK", "")

	for name, test := range map[string]struct {
		auth ssh.Auth
		says string
	}{
		"nothing":            {ssh.Auth{}, "set private_key, private_key_file or agent"},
		"passphrase only":    {ssh.Auth{Passphrase: secret.New("x")}, "set private_key, private_key_file or agent"},
		"both keys":          {ssh.Auth{PrivateKey: secret.New(text), PrivateKeyFile: missing}, "both private_key and private_key_file"},
		"missing file":       {ssh.Auth{PrivateKeyFile: missing}, missing},
		"others read it":     {ssh.Auth{PrivateKeyFile: openTo(t, text, 0o640)}, "has mode 0640, so that others than its owner can read or change the key: chmod 600 "},
		"empty file":         {ssh.Auth{PrivateKeyFile: writeFile(t, "\n")}, "is empty"},
		"no key":             {ssh.Auth{PrivateKey: secret.New("hello")}, "private_key is no private key"},
		"public key":         {ssh.Auth{PrivateKey: secret.New(sshtest.PublicLine(key.PublicKey()))}, "it is a public key"},
		"putty":              {ssh.Auth{PrivateKey: secret.New("PuTTY-User-Key-File-3: ssh-ed25519\n")}, "puttygen"},
		"one line":           {ssh.Auth{PrivateKey: secret.New(strings.ReplaceAll(text, "\n", " "))}, "lost its line breaks"},
		"cut":                {ssh.Auth{PrivateKey: secret.New(text[:len(text)/2])}, "private_key is no private key"},
		"certificate alone":  {ssh.Auth{Certificate: userCert}, "set private_key, private_key_file or agent"},
		"other's cert":       {ssh.Auth{PrivateKey: secret.New(text), Certificate: userCert}, "the two that belong together"},
		"host's cert":        {ssh.Auth{PrivateKey: secret.New(text), Certificate: hostCert}, "certificate is the certificate of a host"},
		"key for a cert":     {ssh.Auth{PrivateKey: secret.New(text), Certificate: sshtest.PublicLine(key.PublicKey())}, "certificate is a plain public key"},
		"missing cert file":  {ssh.Auth{PrivateKey: secret.New(text), CertificateFile: missing}, missing},
		"agent without sock": {ssh.Auth{Agent: true}, "SSH_AUTH_SOCK"},
		"bad agent key":      {ssh.Auth{AgentSocket: "/run/agent", AgentKey: "me@home"}, "agent_key"},
	} {
		t.Run(name, func(t *testing.T) {
			target := ssh.Target{Address: "192.0.2.1", User: "root", Auth: test.auth,
				Trust: ssh.Trust{HostKey: sshtest.PublicLine(key.PublicKey())}}
			mustContain(t, target.Validate(), test.says)
		})
	}
}

func TestHomeDirectoryIsExpanded(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	server := sshtest.Start(t, sshtest.Config{})
	target := server.Target()
	if err := os.WriteFile(filepath.Join(home, "id"), []byte(target.Auth.PrivateKey.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := logIn(t, server, ssh.Auth{PrivateKeyFile: "~/id"}); err != nil {
		t.Error(err)
	}
}

func TestUserCertificate(t *testing.T) {
	authority, key := sshtest.NewSigner(t, gossh.KeyAlgoED25519), sshtest.NewKey(t, gossh.KeyAlgoRSA)
	public := sshtest.Signer(t, key).PublicKey()
	server := sshtest.Start(t, sshtest.Config{UserCA: authority.PublicKey()})
	private := secret.New(sshtest.OpenSSH(t, key, ""))
	sign := func(principal string) string {
		return sshtest.PublicLine(sshtest.Certify(t, authority, public, gossh.Certificate{
			CertType: gossh.UserCert, KeyId: "ci-42", ValidPrincipals: []string{principal}, ValidBefore: gossh.CertTimeInfinity,
		}))
	}

	if err := logIn(t, server, ssh.Auth{PrivateKey: private}); !errors.Is(err, ssh.ErrAuth) {
		t.Errorf("without the certificate: %v", err)
	}
	if err := logIn(t, server, ssh.Auth{PrivateKey: private, Certificate: sign("tester")}); err != nil {
		t.Errorf("inline: %v", err)
	}
	if err := logIn(t, server, ssh.Auth{PrivateKey: private, CertificateFile: writeFile(t, sign("tester")+" comment\n")}); err != nil {
		t.Errorf("file: %v", err)
	}
	err := logIn(t, server, ssh.Auth{PrivateKey: private, Certificate: sign("somebody")})
	if !errors.Is(err, ssh.ErrAuth) {
		t.Errorf("for another user: %v", err)
	}
	mustContain(t, err, `"ci-42"`, "for users somebody", gossh.FingerprintSHA256(authority.PublicKey()))

	socket := startAgent(t, key)
	if err := logIn(t, server, ssh.Auth{AgentSocket: socket, Certificate: sign("tester")}); err != nil {
		t.Errorf("key in the agent: %v", err)
	}
	empty := startAgent(t, sshtest.NewKey(t, gossh.KeyAlgoED25519))
	err = logIn(t, server, ssh.Auth{AgentSocket: empty, Certificate: sign("tester")})
	mustContain(t, err, "neither private_key nor the agent has")
}

// startAgent serves an SSH agent with some keys on a socket.
func startAgent(t *testing.T, keys ...crypto.Signer) string {
	t.Helper()
	keyring := agent.NewKeyring()
	for _, key := range keys {
		if err := keyring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	// Not t.TempDir: the path of a socket may have 107 bytes at most.
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = agent.ServeAgent(keyring, conn)
				_ = conn.Close()
			}()
		}
	}()
	return socket
}

func TestAgent(t *testing.T) {
	var keys []crypto.Signer
	for range 12 { // more than the server accepts
		keys = append(keys, sshtest.NewKey(t, gossh.KeyAlgoED25519))
	}
	right := sshtest.Signer(t, keys[11]).PublicKey()
	server := sshtest.Start(t, sshtest.Config{AuthorizedKeys: []gossh.PublicKey{right}})

	t.Run("socket", func(t *testing.T) {
		if err := logIn(t, server, ssh.Auth{AgentSocket: startAgent(t, keys[10:]...)}); err != nil {
			t.Error(err)
		}
	})
	t.Run("environment", func(t *testing.T) {
		t.Setenv("SSH_AUTH_SOCK", startAgent(t, keys[11]))
		if err := logIn(t, server, ssh.Auth{Agent: true}); err != nil {
			t.Error(err)
		}
	})
	t.Run("too many keys", func(t *testing.T) {
		err := logIn(t, server, ssh.Auth{AgentSocket: startAgent(t, keys...)})
		if !errors.Is(err, ssh.ErrAuth) {
			t.Error(err)
		}
		mustContain(t, err, "agent_key")
	})
	t.Run("the one of many", func(t *testing.T) {
		if err := logIn(t, server, ssh.Auth{AgentSocket: startAgent(t, keys...), AgentKey: sshtest.PublicLine(right)}); err != nil {
			t.Error(err)
		}
	})
	t.Run("without the one", func(t *testing.T) {
		err := logIn(t, server, ssh.Auth{AgentSocket: startAgent(t, keys[0]), AgentKey: sshtest.PublicLine(right)})
		mustContain(t, err, "has no key ssh-ed25519 "+gossh.FingerprintSHA256(right))
	})
	t.Run("empty", func(t *testing.T) {
		mustContain(t, logIn(t, server, ssh.Auth{AgentSocket: startAgent(t)}), "ssh-add")
	})
	t.Run("gone", func(t *testing.T) {
		mustContain(t, logIn(t, server, ssh.Auth{AgentSocket: "/nonexistent/agent"}), "/nonexistent/agent")
	})
	t.Run("beside a private key", func(t *testing.T) {
		other := secret.New(sshtest.OpenSSH(t, sshtest.NewKey(t, gossh.KeyAlgoED25519), ""))
		if err := logIn(t, server, ssh.Auth{PrivateKey: other, AgentSocket: startAgent(t, keys[11])}); err != nil {
			t.Error(err)
		}
	})
}

func TestRefusedLogin(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{Banner: "Ask ops@example.com for access"})
	key := sshtest.NewKey(t, gossh.KeyAlgoED25519)
	text := sshtest.OpenSSH(t, key, "")
	err := logIn(t, server, ssh.Auth{PrivateKey: secret.New(text)})
	if !errors.Is(err, ssh.ErrAuth) || errors.Is(err, ssh.ErrUnreachable) {
		t.Fatal(err)
	}
	mustContain(t, err, "tester@"+server.Endpoint(), gossh.FingerprintSHA256(sshtest.Signer(t, key).PublicKey()),
		"(private_key)", "publickey", "authorized_keys", "Ask ops@example.com")
	if strings.Contains(err.Error(), strings.Split(text, "\n")[1]) {
		t.Error("the error holds the private key")
	}
	if server.Accepted() != 1 {
		t.Errorf("%d connections: a refused login was tried again", server.Accepted())
	}
}

// openTo returns the path of a file with this text and mode.
func openTo(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := writeFile(t, text)
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}
