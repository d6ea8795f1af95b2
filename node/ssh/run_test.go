package ssh_test

import (
	"bytes"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh/sshtest"
)

func newPool(t testing.TB, opts ssh.Options) *ssh.Pool {
	t.Helper()
	pool := ssh.NewPool(opts)
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

func connect(t testing.TB, opts ssh.Options, target ssh.Target) *ssh.Client {
	t.Helper()
	client, err := newPool(t, opts).Connect(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestRunPassesAllStreams(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	client := connect(t, ssh.Options{}, server.Target())
	var stdout, stderr bytes.Buffer
	err := client.Run(t.Context(), ssh.Command{
		Line:   "cat; echo to stderr >&2",
		Stdin:  bytes.NewReader(bytes.Repeat([]byte("0123456789abcdef"), 1<<16)),
		Stdout: &stdout,
		Stderr: &stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(stdout.Bytes(), bytes.Repeat([]byte("0123456789abcdef"), 1<<16)) {
		t.Errorf("stdout: %d bytes came back, not the 1 MiB that went in", stdout.Len())
	}
	if stderr.String() != "to stderr\n" {
		t.Errorf("stderr: %q", stderr.String())
	}
}
