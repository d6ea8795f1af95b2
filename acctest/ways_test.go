package acctest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// TestOtherWaysIn forms a cluster as a user whose sudo asks for a password and has no secure_path, on a port of its
// own, through a bastion, with keys that only an agent holds, to hosts that are named by their IPv6 addresses and
// vouched for by a host CA, and have no others.
func TestOtherWaysIn(t *testing.T) {
	t.Parallel()
	var hosts []lab.HostConfig
	for _, name := range []string{"a", "b", "c"} {
		hosts = append(hosts, lab.HostConfig{Name: name, User: "ops", Password: "let me & in", Port: 2222})
	}
	l := up(t, lab.Config{Hosts: hosts, Bastion: true})
	authority, err := l.HostCA()
	if err != nil {
		t.Fatal(err)
	}
	s := setup{
		ssh: fmt.Sprintf(`user = "ops"
    port          = 2222
    agent         = true
    sudo_password = "let me & in"
    host_ca       = %q
    bastion = { address = %q, user = "root", agent = true, port = 22, host_key = %q }`,
			authority, l.Host("bastion").Address6(), hostKey(t, l.Host("bastion"))),
		member: map[string]string{"bastion": ""},
	}
	for _, name := range []string{"a", "b", "c"} {
		// What sudo runs there finds no tools of administration by itself.
		inHost(t, l.Host(name), "sh", "-ec", "echo 'Defaults !secure_path' >/etc/sudoers.d/zz-path; chmod 440 /etc/sudoers.d/zz-path")
		inHost(t, l.Host(name), "sh", "-ec", "ip -4 address flush dev $(ip -o -4 route show 192.0.2.0/24 | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')")
		s.member[name] = fmt.Sprintf("address = %q", l.Host(name).Address6())
	}
	right := configuration(t, l, s)
	w := newWorkspace(t, l, right)
	w.env = append(w.env, "SSH_AUTH_SOCK="+agent(t, l))

	const password = `sudo_password = "let me & in"`
	w.write("main.tf", strings.Replace(right, password, "", 1))
	w.applyFails("sudo refused user ops without a password", "set ssh.sudo_password")
	w.write("main.tf", strings.Replace(right, password, `sudo_password = "guess"`, 1))
	if output := w.applyFails("sudo refused user ops with the password of ssh.sudo_password"); strings.Contains(output, "guess") {
		t.Errorf("the error tells the password:\n%s", output)
	}
	for _, h := range l.Hosts {
		mustBeUntouched(t, h)
	}

	w.write("main.tf", right)
	w.apply()
	w.mustBeSettled()
	for _, endpoint := range w.endpoints() {
		w.client().must(endpoint, "put", "key", "value")
	}
	w.destroy()
	for _, h := range l.Hosts {
		mustBeBare(t, h)
	}
}

// agent is the socket of an agent that holds the lab's key, and ends with the test.
func agent(t *testing.T, l *lab.Lab) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	command := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		// Its socket is there a moment before it answers.
		if connection, err := net.Dial("unix", socket); err == nil {
			_ = connection.Close()
			break
		}
		if time.Since(start) > time.Minute {
			t.Fatal("the agent does not start")
		}
	}
	add := exec.Command("ssh-add", l.KeyFile())
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if output, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v: %s", err, output)
	}
	return socket
}
