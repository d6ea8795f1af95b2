package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// session calls a store on a booted host through the host's sshd, as the provider does.
type session struct {
	t       *testing.T
	lab     *lab.Lab
	host    *lab.Host
	cluster string
	store   string // SHA-256
	holder  string
	known   string // known_hosts
}

// ssh returns a command to run on the host as root.
func (s *session) ssh(ctx context.Context, line string) *exec.Cmd {
	return s.lab.Command(ctx, "ssh", "-i", s.lab.KeyFile(), "-o", "IdentitiesOnly=yes", "-o", "UserKnownHostsFile="+s.known,
		"-o", "HostKeyAlias=host", "root@"+s.host.Address(), line)
}

// trust pins the host's key.
func (s *session) trust() {
	s.t.Helper()
	key, err := s.host.HostKey()
	if err != nil {
		s.t.Fatal(err)
	}
	s.known = filepath.Join(s.t.TempDir(), "known_hosts")
	if err := os.WriteFile(s.known, []byte("host "+key+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// install installs a binary as a store.
func (s *session) install(binary []byte) {
	s.t.Helper()
	path := api.InstalledStore(s.store)
	command := s.ssh(s.t.Context(), "mkdir -p "+filepath.Dir(path)+" && cat >"+path+" && chmod 755 "+path)
	command.Stdin = bytes.NewReader(binary)
	if text, err := command.CombinedOutput(); err != nil {
		s.t.Fatalf("install the store: %v: %s", err, text)
	}
}

// request returns a call as its one line.
func (s *session) request(op api.Operation, body any) []byte {
	s.t.Helper()
	raw, err := json.Marshal(secret.Revealed(body))
	if err != nil {
		s.t.Fatal(err)
	}
	line, err := json.Marshal(api.Request{Version: api.Version, Operation: op, Cluster: s.cluster, Holder: s.holder, Target: &api.Target{For: "a"}, Body: raw})
	if err != nil {
		s.t.Fatal(err)
	}
	return append(line, '\n')
}

// try makes a call and returns its last line.
func (s *session) try(op api.Operation, body any) api.Line {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	command := s.ssh(s.t.Context(), api.InstalledStore(s.store)+" call")
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(s.request(op, body)), &stdout, &stderr
	_ = command.Run() // a failed call says why in its last line
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	var last api.Line
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		s.t.Fatalf("%s: no answer: %v: %s%s", op, err, stdout.String(), stderr.String())
	}
	return last
}

// must makes a call that has to succeed, and reads its result.
func must[R any](s *session, op api.Operation, body any) R {
	s.t.Helper()
	last := s.try(op, body)
	if last.Error != nil {
		s.t.Fatalf("%s: %s: %s", op, last.Error.Code, last.Error)
	}
	var result R
	if err := json.Unmarshal(last.Result, &result); err != nil {
		s.t.Fatalf("%s: %v", op, err)
	}
	return result
}

// refused makes a call that has to be answered with an error of this code.
func (s *session) refused(code api.Code, op api.Operation, body any) *api.Error {
	s.t.Helper()
	last := s.try(op, body)
	if last.Error == nil || last.Error.Code != code {
		s.t.Fatalf("%s: want an error of code %s, got %+v %s", op, code, last.Error, last.Result)
	}
	return last.Error
}

// lock acquires the cluster's lock until the returned function ends its session, as a killed provider does.
func (s *session) lock() (kill func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	command := s.ssh(ctx, api.InstalledStore(s.store)+" call")
	stdin, err := command.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		s.t.Fatal(err)
	}
	if _, err := stdin.Write(s.request(api.OpLock, api.LockRequest{Holder: api.Holder{ID: s.holder, Who: "test"}})); err != nil {
		s.t.Fatal(err)
	}
	var first api.Line
	text, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil || json.Unmarshal(text, &first) != nil || first.Progress != api.LockTaken {
		s.t.Fatalf("lock: %v: %s", err, text)
	}
	go func() {
		for ctx.Err() == nil {
			time.Sleep(time.Second)
			if _, err := io.WriteString(stdin, "\n"); err != nil {
				return
			}
		}
	}()
	return func() {
		cancel()
		_ = command.Wait() // the command was killed
	}
}

// shell runs a line on the host, past sshd.
func (s *session) shell(line string) string {
	s.t.Helper()
	text, err := s.host.Run(s.t.Context(), "sh", "-c", line)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}
