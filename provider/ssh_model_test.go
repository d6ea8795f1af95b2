package provider

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

// TestTarget: what is set for a host stands above what is set for all.
func TestTarget(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	text := types.StringValue
	all := sshModel{loginModel: loginModel{User: text("ops"), Port: types.Int64Value(2222), PrivateKeyFile: text("~/key")}}
	auth := ssh.Auth{PrivateKeyFile: "~/key"}
	withCA := all
	withCA.HostCA = text("ca")
	withFile := all
	withFile.KnownHostsFile = text("known")
	through := all
	through.Bastion = &bastionModel{Address: text("bastion"), HostKey: text("pin")}
	throughOther := all
	throughOther.Bastion = &bastionModel{Address: text("bastion"), loginModel: loginModel{User: text("jump"), Agent: types.BoolValue(true)}}

	check := func(name string, settings sshModel, target providerdata.SSHTarget, want ssh.Target) {
		t.Helper()
		if diff := cmp.Diff(want, settings.target(target)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	host := providerdata.SSHTarget{Address: "192.0.2.11"}
	check("nothing set", sshModel{}, host, ssh.Target{Address: "192.0.2.11", User: "root"})
	check("for all", all, host, ssh.Target{Address: "192.0.2.11", Port: 2222, User: "ops", Auth: auth})
	check("for this one", withCA, providerdata.SSHTarget{Address: "192.0.2.11", Port: 22, User: "root", HostKey: "pin", HostCA: "own"},
		ssh.Target{Address: "192.0.2.11", Port: 22, User: "root", Auth: auth, Trust: ssh.Trust{HostKey: "pin", HostCA: "own"}})
	check("a bastion with the hosts' key", through, host, ssh.Target{Address: "192.0.2.11", Port: 2222, User: "ops", Auth: auth,
		Bastion: &ssh.Target{Address: "bastion", User: "ops", Auth: auth, Trust: ssh.Trust{HostKey: "pin"}}})
	check("a bastion with its own", throughOther, host, ssh.Target{Address: "192.0.2.11", Port: 2222, User: "ops", Auth: auth,
		Bastion: &ssh.Target{Address: "bastion", User: "jump", Auth: ssh.Auth{Agent: true}}})

	// The user's own known_hosts counts where it is there and nothing else was named.
	own := filepath.Join(home, ".ssh", "known_hosts")
	if err := os.MkdirAll(filepath.Dir(own), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	trusting := func(trust ssh.Trust) ssh.Target {
		return ssh.Target{Address: "192.0.2.11", Port: 2222, User: "ops", Auth: auth, Trust: trust}
	}
	check("the user's file", all, host, trusting(ssh.Trust{KnownHosts: []string{own}}))
	check("a file that was named", withFile, host, trusting(ssh.Trust{KnownHosts: []string{"known"}}))
	check("an authority", withCA, host, trusting(ssh.Trust{HostCA: "ca"}))
	check("a pin", all, providerdata.SSHTarget{Address: "192.0.2.11", HostKey: "pin"}, trusting(ssh.Trust{HostKey: "pin"}))
}

// TestBastionLogin: what a bastion says of its login counts, in whatever part it says it, and what it leaves out is as
// for the hosts.
func TestBastionLogin(t *testing.T) {
	text, yes := types.StringValue, types.BoolValue(true)
	hosts := loginModel{PrivateKeyFile: text("key"), Passphrase: sensitive.Of("open"), CertificateFile: text("cert")}
	lent := loginModel{PrivateKeyFile: text("key"), Agent: yes, AgentSocket: text("socket"), AgentKey: text("one")}
	for name, test := range map[string]struct {
		hosts, bastion loginModel
		want           ssh.Auth
	}{
		"nothing":                {hosts, loginModel{}, ssh.Auth{PrivateKeyFile: "key", Passphrase: secret.New("open"), CertificateFile: "cert"}},
		"a user":                 {hosts, loginModel{User: text("jump")}, ssh.Auth{PrivateKeyFile: "key", Passphrase: secret.New("open"), CertificateFile: "cert"}},
		"a certificate":          {hosts, loginModel{Certificate: text("own")}, ssh.Auth{PrivateKeyFile: "key", Passphrase: secret.New("open"), Certificate: "own"}},
		"a certificate's file":   {hosts, loginModel{CertificateFile: text("own")}, ssh.Auth{PrivateKeyFile: "key", Passphrase: secret.New("open"), CertificateFile: "own"}},
		"a passphrase":           {hosts, loginModel{Passphrase: sensitive.Of("own")}, ssh.Auth{PrivateKeyFile: "key", Passphrase: secret.New("own"), CertificateFile: "cert"}},
		"a key":                  {hosts, loginModel{PrivateKey: sensitive.Of("own")}, ssh.Auth{PrivateKey: secret.New("own")}},
		"a key with all it has":  {hosts, loginModel{PrivateKeyFile: text("own"), Passphrase: sensitive.Of("opens"), Certificate: text("certifies")}, ssh.Auth{PrivateKeyFile: "own", Passphrase: secret.New("opens"), Certificate: "certifies"}},
		"an agent":               {hosts, loginModel{Agent: yes}, ssh.Auth{Agent: true}},
		"an agent's socket":      {hosts, loginModel{AgentSocket: text("own")}, ssh.Auth{AgentSocket: "own"}},
		"a certificate, agent's": {lent, loginModel{Certificate: text("own")}, ssh.Auth{PrivateKeyFile: "key", Agent: true, AgentSocket: "socket", AgentKey: "one", Certificate: "own"}},
		"no agent":               {lent, loginModel{Agent: types.BoolValue(false)}, ssh.Auth{PrivateKeyFile: "key"}},
	} {
		settings := sshModel{loginModel: test.hosts, Bastion: &bastionModel{Address: text("bastion"), loginModel: test.bastion}}
		if diff := cmp.Diff(test.want, settings.bastion().Auth); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestBastionLoginIsRead: a certificate of the bastion that is not there is told before any host is needed.
func TestBastionLoginIsRead(t *testing.T) {
	settings := sshModel{Bastion: &bastionModel{Address: types.StringValue("bastion"), HostKey: types.StringValue("pin")}}
	settings.Bastion.CertificateFile = types.StringValue("/nowhere/id-cert.pub")
	if err := settings.validate(); err == nil || !strings.Contains(err.Error(), "/nowhere/id-cert.pub") {
		t.Errorf("it says %v", err)
	}
}

// TestTheEnvironmentFillsIn: variables stand for what a configuration does not set, and for no key beside its own.
func TestTheEnvironmentFillsIn(t *testing.T) {
	for name, value := range map[string]string{
		"ETCD_SSH_USER": "ops", "ETCD_SSH_PRIVATE_KEY_FILE": "~/key", "ETCD_SSH_PRIVATE_KEY_PASSPHRASE": "secret", "ETCD_SSH_CERTIFICATE_FILE": "~/key-cert.pub",
		"ETCD_SSH_HOST_CA": "ca", "ETCD_SSH_KNOWN_HOSTS_FILE": "known", "ETCD_SSH_SUDO_PASSWORD": "sudo", "ETCD_SSH_CONNECT_TIMEOUT": "90s", "ETCD_SSH_AGENT": "true",
	} {
		t.Setenv(name, value)
	}
	text := types.StringValue
	for name, test := range map[string]struct{ configured, want sshModel }{
		"nothing is set": {sshModel{}, sshModel{loginModel: loginModel{User: text("ops"), PrivateKeyFile: text("~/key"), Passphrase: sensitive.Of("secret"), CertificateFile: text("~/key-cert.pub"),
			Agent: types.BoolValue(true), HostCA: text("ca")}, KnownHostsFile: text("known"), SudoPassword: sensitive.Of("sudo"), ConnectTimeout: text("90s")}},
		"what is set stands": {sshModel{loginModel: loginModel{User: text("root"), PrivateKey: sensitive.Of("key")}, ConnectTimeout: text("5s")},
			sshModel{loginModel: loginModel{User: text("root"), PrivateKey: sensitive.Of("key"), Passphrase: sensitive.Of("secret"), HostCA: text("ca")}, KnownHostsFile: text("known"), SudoPassword: sensitive.Of("sudo"), ConnectTimeout: text("5s")}},
		"a certificate for the environment's key": {sshModel{loginModel: loginModel{Certificate: text("own"), User: text("root"), Agent: types.BoolValue(false)}},
			sshModel{loginModel: loginModel{Certificate: text("own"), User: text("root"), Agent: types.BoolValue(false), PrivateKeyFile: text("~/key"), Passphrase: sensitive.Of("secret"), HostCA: text("ca")},
				KnownHostsFile: text("known"), SudoPassword: sensitive.Of("sudo"), ConnectTimeout: text("90s")}},
	} {
		if err := test.configured.fill(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, test.configured, cmp.AllowUnexported(sshModel{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for variable, says := range map[string]string{"ETCD_SSH_AGENT": "set it to true or false", "ETCD_SSH_PORT": "set it to a port, 1 to 65535", "ETCD_SSH_BASTION_PORT": "set it to a port, 1 to 65535"} {
		t.Setenv("ETCD_SSH_BASTION_ADDRESS", "jump")
		t.Setenv(variable, "perhaps")
		if err := new(sshModel).fill(); err == nil || !strings.Contains(err.Error(), variable+` is "perhaps": `+says) {
			t.Errorf("%s: it says %v", variable, err)
		}
		t.Setenv(variable, "")
	}
}

// TestTheEnvironmentHasABastion: its variables are taken where the configuration has none, and all of it from one
// place.
func TestTheEnvironmentHasABastion(t *testing.T) {
	for name, value := range map[string]string{
		"ETCD_SSH_PORT": "2222", "ETCD_SSH_AGENT_SOCKET": "~/agent", "ETCD_SSH_AGENT_KEY": "ssh-ed25519 AAAA",
		"ETCD_SSH_BASTION_ADDRESS": "jump", "ETCD_SSH_BASTION_USER": "hop", "ETCD_SSH_BASTION_PORT": "22022", "ETCD_SSH_BASTION_HOST_KEY": "pin", "ETCD_SSH_BASTION_PRIVATE_KEY_FILE": "~/jump",
	} {
		t.Setenv(name, value)
	}
	text := types.StringValue
	login := loginModel{Port: types.Int64Value(2222), AgentSocket: text("~/agent"), AgentKey: text("ssh-ed25519 AAAA")}
	jump := &bastionModel{Address: text("jump"), HostKey: text("pin"), loginModel: loginModel{User: text("hop"), Port: types.Int64Value(22022), PrivateKeyFile: text("~/jump")}}
	own := func() *bastionModel { return &bastionModel{Address: text("own")} }
	for name, test := range map[string]struct{ configured, want sshModel }{
		"none is configured": {sshModel{}, sshModel{loginModel: login, Bastion: jump}},
		"one is configured":  {sshModel{Bastion: own()}, sshModel{loginModel: login, Bastion: own()}},
		"a key of its own": {sshModel{loginModel: loginModel{PrivateKey: sensitive.Of("key"), Port: types.Int64Value(22)}, Bastion: own()},
			sshModel{loginModel: loginModel{PrivateKey: sensitive.Of("key"), Port: types.Int64Value(22)}, Bastion: own()}},
		"the same is configured": {sshModel{Bastion: &bastionModel{Address: text("jump"), loginModel: loginModel{User: text("ops")}}},
			sshModel{loginModel: login, Bastion: &bastionModel{Address: text("jump"), HostKey: text("pin"), loginModel: loginModel{User: text("ops"), Port: types.Int64Value(22022), PrivateKeyFile: text("~/jump")}}}},
		"no agent": {sshModel{loginModel: loginModel{Agent: types.BoolValue(false)}, Bastion: own()},
			sshModel{loginModel: loginModel{Agent: types.BoolValue(false), Port: types.Int64Value(2222)}, Bastion: own()}},
	} {
		if err := test.configured.fill(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, test.configured, cmp.AllowUnexported(sshModel{}, bastionModel{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestBastionVariablesWithoutAnAddress: they are for the bastion of the configuration, and where that has none, nobody
// means them.
func TestBastionVariablesWithoutAnAddress(t *testing.T) {
	t.Setenv("ETCD_SSH_BASTION_PRIVATE_KEY_PASSPHRASE", "opens")
	t.Setenv("ETCD_SSH_BASTION_HOST_KEY", "pin")
	text := types.StringValue
	configured := sshModel{Bastion: &bastionModel{Address: text("jump"), loginModel: loginModel{PrivateKeyFile: text("~/jump")}}}
	want := sshModel{Bastion: &bastionModel{Address: text("jump"), HostKey: text("pin"), loginModel: loginModel{PrivateKeyFile: text("~/jump"), Passphrase: sensitive.Of("opens")}}}
	if err := configured.fill(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, configured, cmp.AllowUnexported(sshModel{}, bastionModel{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	err := new(sshModel).fill()
	if err == nil || !strings.Contains(err.Error(), "the environment has ETCD_SSH_BASTION_HOST_KEY, ETCD_SSH_BASTION_PRIVATE_KEY_PASSPHRASE, and no bastion: set ETCD_SSH_BASTION_ADDRESS or ssh.bastion") {
		t.Errorf("without a bastion it says %v", err)
	}
}

// TestEveryAttributeHasAVariable holds that the variable which the reference names for an attribute is read for it.
func TestEveryAttributeHasAVariable(t *testing.T) {
	values := map[string]string{"port": "2222", "bastion_port": "2222", "agent": "true", "bastion_agent": "true"}
	set := func(name string) string {
		if value, is := values[name]; is {
			return value
		}
		return "text"
	}
	filled := func(t *testing.T, names ...string) string {
		t.Setenv(bastionVariable("address"), "jump")
		for _, name := range names {
			t.Setenv(variable(name), set(name))
		}
		var s sshModel
		if err := s.fill(); err != nil {
			t.Error(err)
		}
		return fmt.Sprintf("%v %v", s, *s.Bastion)
	}
	none := filled(t)
	for name := range sshAttribute().Attributes {
		if name == "bastion" {
			for name := range sshAttribute().Attributes["bastion"].(schema.SingleNestedAttribute).Attributes {
				t.Run("bastion "+name, func(t *testing.T) {
					if filled(t, "bastion_"+name) == none {
						t.Errorf("nothing reads %s", bastionVariable(name))
					}
				})
			}
			continue
		}
		t.Run(name, func(t *testing.T) {
			if filled(t, name) == none {
				t.Errorf("nothing reads %s", variable(name))
			}
		})
	}
}

// TestTheEnvironmentIsTaken configures a provider with an empty block.
func TestTheEnvironmentIsTaken(t *testing.T) {
	t.Setenv("ETCD_SSH_USER", "ops")
	t.Setenv("ETCD_SSH_PRIVATE_KEY_FILE", "/nowhere/key")
	var resp provider.ConfigureResponse
	hosts := (&etcdProvider{now: time.Now}).hosts(t.Context(), types.ObjectNull(nil), nil, &resp)
	if over, is := hosts.(overSSH); !is || over.ssh.User.ValueString() != "ops" {
		t.Errorf("the hosts are reached as %+v", hosts)
	}
	text := fmt.Sprint(resp.Diagnostics)
	for _, want := range []string{"/nowhere/key", "comes from the environment, which has ETCD_SSH_PRIVATE_KEY_FILE, ETCD_SSH_USER."} {
		if !strings.Contains(text, want) {
			t.Errorf("a key file that is not there: no %q in %s", want, text)
		}
	}
}

// TestTheEnvironmentHasAProgressLog: ETCD_PROGRESS_LOG counts where the configuration has no progress_log.
func TestTheEnvironmentHasAProgressLog(t *testing.T) {
	dir := t.TempDir()
	set := filepath.Join(dir, "set.log")
	t.Setenv("ETCD_PROGRESS_LOG", set)
	for configured, want := range map[string]string{"": set, filepath.Join(dir, "configured.log"): filepath.Join(dir, "configured.log")} {
		value := types.StringNull()
		if configured != "" {
			value = types.StringValue(configured)
		}
		var resp provider.ConfigureResponse
		(&etcdProvider{now: time.Now}).progress(orVariable(value, progressLogVariable), &resp)("prod", "1/2 start a (192.0.2.11)")
		text, err := os.ReadFile(want)
		if err != nil || !strings.HasSuffix(string(text), "prod 1/2 start a (192.0.2.11)\n") || resp.Diagnostics.HasError() {
			t.Errorf("configured %q: the log is %q (%v, %v)", configured, text, err, resp.Diagnostics)
		}
	}
}
