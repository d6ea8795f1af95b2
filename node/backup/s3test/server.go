// Package s3test runs a real S3 server, versitygw, for tests. It keeps objects as files, which tests may
// damage; it can be stopped, killed and started again at the same address.
package s3test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// The credentials of the server's owner, who may do everything.
const (
	AccessKeyID     = "lab-owner"
	SecretAccessKey = "lab-owner-secret-0123456789"
	Region          = "eu-lab-1"
)

// Options say how a server runs. The zero value is a server on loopback, without TLS, with a directory of the test.
type Options struct {
	Address  string   // host:port to listen on; empty: a free port on loopback
	DataDir  string   // every bucket is a directory in it; empty: a directory of the test
	CertFile string   // PEM, with KeyFile: TLS
	KeyFile  string   // PEM
	Wrap     []string // command before the server's, such as one that enters a network namespace
}

// Server is a server that runs, or can be started again.
type Server struct {
	Address string // host:port
	DataDir string
	options Options
	iam     string
	log     string
	running *exec.Cmd
}

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
	look         = 50 * time.Millisecond
)

// Start builds the server unless it is built already, and runs it until the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{Address: o.Address, DataDir: o.DataDir, options: o, iam: t.TempDir(), log: filepath.Join(t.TempDir(), "log")}
	if s.DataDir == "" {
		s.DataDir = t.TempDir()
	}
	if s.Address == "" {
		s.Address = freeAddress(t)
	}
	t.Cleanup(func() {
		s.Kill(t)
		if t.Failed() {
			text, _ := os.ReadFile(s.log)
			t.Logf("the S3 server says: %s", text)
		}
	})
	s.Restart(t)
	return s
}

// Endpoint returns the server's URL.
func (s *Server) Endpoint() string {
	if s.options.CertFile != "" {
		return "https://" + s.Address
	}
	return "http://" + s.Address
}

// Restart starts a server that does not run, and waits until it listens.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	binary := mustBuild(t)
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	args := append([]string{}, s.options.Wrap...)
	args = append(args, binary, "--port", s.Address, "--region", Region, "--iam-dir", s.iam, "--iam-cache-disable", "--keep-alive", "--quiet")
	if s.options.CertFile != "" {
		args = append(args, "--cert", s.options.CertFile, "--key", s.options.KeyFile)
	}
	args = append(args, "posix", s.DataDir)
	command := exec.Command(args[0], args[1:]...)
	command.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKeyID, "ROOT_SECRET_KEY="+SecretAccessKey)
	command.Stdout, command.Stderr = log, log
	// The server does not outlive the test, however that ends.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	s.running = command
	s.await(t)
}

// await waits until the server listens. If the server runs in another namespace, its user has to wait.
func (s *Server) await(t testing.TB) {
	t.Helper()
	if len(s.options.Wrap) > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Address)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("wait for the S3 server at %s: %v", s.Address, err)
		case <-time.After(look):
		}
	}
}

// Kill ends the server at once, if it runs.
func (s *Server) Kill(t testing.TB) { s.end(t, syscall.SIGKILL) }

// Stop asks the server to end, and waits for it.
func (s *Server) Stop(t testing.TB) { s.end(t, syscall.SIGTERM) }

// end sends the server a signal, and kills it if it does not end in time.
func (s *Server) end(t testing.TB, by syscall.Signal) {
	t.Helper()
	if s.running == nil {
		return
	}
	if err := s.running.Process.Signal(by); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	late := time.AfterFunc(stopTimeout, func() { _ = s.running.Process.Kill() })
	_ = s.running.Wait() // the error only says which signal ended it
	late.Stop()
	s.running = nil
}

// MakeBucket makes a bucket of the server's owner.
func (s *Server) MakeBucket(t testing.TB, name string) {
	t.Helper()
	s.admin(t, "create-bucket", "--bucket", name, "--owner", AccessKeyID)
}

// AddUser makes a user that owns a bucket from now on.
func (s *Server) AddUser(t testing.TB, accessKeyID, secret, bucket string) {
	t.Helper()
	s.admin(t, "create-user", "--access", accessKeyID, "--secret", secret, "--role", "userplus")
	s.admin(t, "change-bucket-owner", "--bucket", bucket, "--owner", accessKeyID)
}

// RevokeUser removes a user, whose credentials are no longer accepted.
func (s *Server) RevokeUser(t testing.TB, accessKeyID string) {
	t.Helper()
	s.admin(t, "delete-user", "--access", accessKeyID)
}

// Presigned returns an address at which an object can be read without credentials, for an hour.
func (s *Server) Presigned(t testing.TB, bucket, key string) string {
	t.Helper()
	client, err := minio.New(s.Address, &minio.Options{
		Creds: credentials.NewStaticV4(AccessKeyID, SecretAccessKey, ""), Secure: s.options.CertFile != "", Region: Region, BucketLookup: minio.BucketLookupPath,
	})
	if err != nil {
		t.Fatal(err)
	}
	address, err := client.PresignedGetObject(t.Context(), bucket, key, time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	return address.String()
}

// File returns the path of the file with an object's content.
func (s *Server) File(bucket, key string) string {
	return filepath.Join(s.DataDir, bucket, filepath.FromSlash(key))
}

// admin calls the server as its owner, in the server's network namespace.
func (s *Server) admin(t testing.TB, args ...string) {
	t.Helper()
	command := append([]string{}, s.options.Wrap...)
	command = append(command, mustBuild(t), "admin", "--region", Region, "--endpoint-url", s.Endpoint(), "--allow-insecure")
	command = append(command, args...)
	run := exec.CommandContext(t.Context(), command[0], command[1:]...)
	run.Env = append(os.Environ(), "ADMIN_ACCESS_KEY_ID="+AccessKeyID, "ADMIN_SECRET_ACCESS_KEY="+SecretAccessKey)
	if output, err := run.CombinedOutput(); err != nil {
		t.Fatalf("versitygw admin %s: %v: %s", args[0], err, output)
	}
}

// freeAddress returns an address on loopback at which nothing listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
