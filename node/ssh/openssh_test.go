package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/freeport"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh/sshtest"
)

// These tests meet OpenSSH itself. Where a program of it is not installed they are skipped.

func program(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		// sshd wants to be started by its full path.
		path, err := filepath.Abs(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		if path, err = exec.LookPath(path); err == nil {
			return path
		}
	}
	t.Skipf("%s is not installed", name)
	return ""
}

func keygen(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command(program(t, "ssh-keygen"), args...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen %q: %v\n%s", args, err, out)
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestKeysOfSSHKeygen(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		for _, format := range []string{"RFC4716", "PEM", "PKCS8"} {
			t.Run(kind+" "+format, func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "id")
				keygen(t, "-q", "-t", kind, "-m", format, "-a", "1", "-N", passphrase, "-f", path)
				target := server.Target()
				target.Auth = ssh.Auth{PrivateKeyFile: path, Passphrase: secret.New(passphrase)}
				if err := target.Validate(); err != nil {
					t.Errorf("%v\n%s", err, readFile(t, path))
				}
				target.Auth.Passphrase = secret.New("wrong")
				mustContain(t, target.Validate(), path, "does not open it")
				target.Auth.Passphrase = secret.Text{}
				mustContain(t, target.Validate(), path, "is encrypted")
			})
		}
	}
}

// sshd is a real OpenSSH server on loopback, with host keys, authorities and user keys in dir.
type sshd struct {
	dir    string
	target ssh.Target // pinned to its ed25519 key, with a key that is let in
}

const sshdMaxSessions = 3

func startSSHD(t testing.TB) sshd {
	t.Helper()
	bin := program(t, "sshd")
	dir := t.TempDir()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		keygen(t, "-q", "-t", kind, "-N", "", "-f", in("host_"+kind))
	}
	for _, name := range []string{"id", "certified", "authority"} {
		keygen(t, "-q", "-t", "ed25519", "-N", "", "-f", in(name))
	}
	keygen(t, "-q", "-s", in("authority"), "-I", "host", "-h", "-n", "127.0.0.1", in("host_ecdsa.pub"))
	keygen(t, "-q", "-s", in("authority"), "-I", "user", "-n", me.Username, in("certified.pub"))

	port := freeport.Find(t)
	config := fmt.Sprintf(`ListenAddress 127.0.0.1:%d
HostKey %[2]s/host_ed25519
HostKey %[2]s/host_ecdsa
HostKey %[2]s/host_rsa
HostCertificate %[2]s/host_ecdsa-cert.pub
AuthorizedKeysFile %[2]s/id.pub
TrustedUserCAKeys %[2]s/authority.pub
PermitRootLogin prohibit-password
StrictModes no
PidFile none
MaxSessions %d
`, port, dir, sshdMaxSessions)
	if err := os.WriteFile(in("sshd_config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(bin, "-t", "-f", in("sshd_config")).CombinedOutput(); err != nil {
		t.Skipf("sshd cannot run here: %v: %s", err, out)
	}
	var log bytes.Buffer
	server := exec.Command(bin, "-D", "-e", "-f", in("sshd_config"))
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
		if t.Failed() {
			t.Logf("sshd says:\n%s", log.String())
		}
	})
	return sshd{dir: dir, target: ssh.Target{
		Address: "127.0.0.1", Port: port, User: me.Username,
		Auth:  ssh.Auth{PrivateKeyFile: in("id")},
		Trust: ssh.Trust{HostKey: readFile(t, in("host_ed25519.pub"))},
	}}
}

func TestOpenSSH(t *testing.T) {
	server := startSSHD(t)
	in := func(name string) string { return filepath.Join(server.dir, name) }
	client := connect(t, ssh.Options{}, server.target)

	for name, change := range map[string]func(*ssh.Target){
		"ecdsa pin":      func(s *ssh.Target) { s.Trust.HostKey = readFile(t, in("host_ecdsa.pub")) },
		"rsa pin":        func(s *ssh.Target) { s.Trust.HostKey = readFile(t, in("host_rsa.pub")) },
		"host authority": func(s *ssh.Target) { s.Trust = ssh.Trust{HostCA: readFile(t, in("authority.pub"))} },
		"user certificate": func(s *ssh.Target) {
			s.Auth = ssh.Auth{PrivateKeyFile: in("certified"), CertificateFile: in("certified-cert.pub")}
		},
		"known_hosts": func(s *ssh.Target) {
			path := in("known_hosts")
			line := fmt.Sprintf("[127.0.0.1]:%d %s", s.Port, readFile(t, in("host_rsa.pub")))
			if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
				t.Fatal(err)
			}
			keygen(t, "-q", "-H", "-f", path)
			if strings.Contains(readFile(t, path), "127.0.0.1") {
				t.Fatal("ssh-keygen has not hashed the name")
			}
			s.Trust = ssh.Trust{KnownHosts: []string{path}}
		},
		"agent": func(s *ssh.Target) { s.Auth = ssh.Auth{AgentSocket: realAgent(t, in("id"))} },
		"through itself": func(s *ssh.Target) {
			bastion := *s
			s.Bastion = &bastion
		},
	} {
		t.Run(name, func(t *testing.T) {
			target := server.target
			change(&target)
			var stdout bytes.Buffer
			if err := connect(t, ssh.Options{}, target).Run(t.Context(), ssh.Command{Line: "echo here", Stdout: &stdout}); err != nil {
				t.Error(err)
			}
			if stdout.String() != "here\n" {
				t.Errorf("%q", stdout.String())
			}
		})
	}

	t.Run("exit", func(t *testing.T) {
		var exit *ssh.ExitError
		if err := client.Run(t.Context(), ssh.Command{Line: "echo no >&2; exit 3"}); !errors.As(err, &exit) || exit.Status != 3 || exit.Stderr != "no\n" {
			t.Error(err)
		}
		if err := client.Run(t.Context(), ssh.Command{Line: "kill -TERM $$"}); !errors.As(err, &exit) || exit.Signal != "TERM" {
			t.Error(err)
		}
	})
	t.Run("MaxSessions", func(t *testing.T) {
		client := connect(t, ssh.Options{}, server.target)
		var all sync.WaitGroup
		for range 4 * sshdMaxSessions {
			all.Go(func() {
				if err := client.Run(t.Context(), ssh.Command{Line: "sleep 0.1"}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
	t.Run("a command given up is signalled", func(t *testing.T) {
		if os.Getuid() == 0 {
			t.Skip("sshd passes no signals to the sessions of root")
		}
		mustEnd(t, client, ssh.Command{Line: "echo $$; exec sleep 600"})
	})
	t.Run("a command given up sees the end of its input", func(t *testing.T) {
		stdin, speak := io.Pipe()
		mustEnd(t, client, ssh.Command{Line: "trap '' TERM; echo $$; exec cat", Stdin: stdin})
		_ = speak.Close()
	})
	t.Run("session killed", func(t *testing.T) {
		client := connect(t, ssh.Options{}, server.target)
		stdin, speak := io.Pipe()
		// The parent of the shell is the sshd process of this connection; cat ends with it.
		if err := client.Run(t.Context(), ssh.Command{Line: "kill -KILL $PPID; exec cat", Stdin: stdin}); !errors.Is(err, ssh.ErrDisconnected) {
			t.Error(err)
		}
		_ = speak.Close()
	})
}

// mustEnd gives a command up once it has told its process ID, and waits for the end of that process.
func mustEnd(t *testing.T, client *ssh.Client, cmd ssh.Command) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	hear, stdout := io.Pipe()
	cmd.Stdout = stdout
	var pid int
	go func() {
		_, _ = fmt.Fscan(hear, &pid)
		cancel()
	}()
	if err := client.Run(ctx, cmd); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for syscall.Kill(pid, 0) == nil {
		if time.Now().After(deadline) {
			t.Fatalf("process %d lives on", pid)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func realAgent(t *testing.T, key string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "socket")
	agent := exec.Command(program(t, "ssh-agent"), "-D", "-a", socket)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = agent.Process.Signal(syscall.SIGTERM)
		_ = agent.Wait()
	})
	add := func() error {
		cmd := exec.Command(program(t, "ssh-add"), "-q", key)
		cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		return cmd.Run()
	}
	deadline := time.Now().Add(10 * time.Second)
	for err = add(); err != nil; err = add() {
		if time.Now().After(deadline) {
			t.Fatalf("ssh-add: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return socket
}

func BenchmarkOpenSSH(b *testing.B) {
	server := startSSHD(b)
	direct, through := server.target, server.target
	through.Bastion = &direct
	for name, target := range map[string]ssh.Target{"direct": direct, "bastion": through} {
		b.Run("connect and run "+name, func(b *testing.B) {
			for b.Loop() {
				pool := ssh.NewPool(ssh.Options{})
				client, err := pool.Connect(b.Context(), target)
				if err != nil {
					b.Fatal(err)
				}
				if err := client.Run(b.Context(), ssh.Command{Line: ":"}); err != nil {
					b.Fatal(err)
				}
				_ = pool.Close()
			}
		})
		b.Run("run "+name, func(b *testing.B) {
			client := connect(b, ssh.Options{}, target)
			for b.Loop() {
				if err := client.Run(b.Context(), ssh.Command{Line: ":"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
