// Package acctest holds what is tested with everything real: the terraform binary, sshd, and hosts that
// systemd boots.
package acctest

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/load"
)

func TestMain(m *testing.M) {
	lab.Main()  // where this is the keeper of a lab
	load.Main() // where this is the process that puts load on a cluster
	os.Exit(m.Run())
}

// labRequired tells whether tests have to run that otherwise are skipped where they cannot.
func labRequired() bool { return os.Getenv("ETCD_LAB_REQUIRED") != "" }

// handedOver skips a test to which `make test-acceptance` has not handed over what it needs, or fails
// it where it has to run.
func handedOver(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if os.Getenv(name) != "" {
			continue
		}
		if labRequired() {
			t.Fatalf("%s is not set: run make test-acceptance", name)
		}
		t.Skipf("%s is not set: run make test-acceptance", name)
	}
}

// labs counts the labs that this process has booted: tests run side by side, each in a lab of its own.
var labs atomic.Int32

// up boots a lab for one test, which ends with it. Where the machine cannot, the test is skipped,
// unless it has to run.
func up(t testing.TB, config lab.Config) *lab.Lab {
	t.Helper()
	handedOver(t, "ETCD_PROVIDER", "ETCD_CLI", "ETCD_ETCDCTL")
	if err := lab.CheckMachine(); err != nil && !labRequired() {
		t.Skip(err)
	}
	config.Name = fmt.Sprintf("t%d-%d", os.Getpid(), labs.Add(1))
	l, err := lab.Up(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// members are plain hosts that carry members of these names.
func members(names ...string) []lab.HostConfig {
	var configs []lab.HostConfig
	for _, name := range names {
		configs = append(configs, lab.HostConfig{Name: name})
	}
	return configs
}

// setup is a configuration, in the parts that tests vary.
type setup struct {
	ssh     string            // attributes of the provider's ssh; empty: root with the lab's key
	member  map[string]string // attributes of a member; none: address and host key
	cluster string            // further attributes of the cluster
	at      map[string]string // names of the hosts that members are on; nil: each host has the one of its own name
	second  map[string]bool   // members of at that are known by the second address of their host
	rebuild map[string]string // texts that members of at are built anew by
}

// configuration is the configuration of a cluster called prod on all hosts of a lab but the bastion, with
// a client's certificate beside it.
func configuration(t testing.TB, l *lab.Lab, s setup) string {
	t.Helper()
	if s.ssh == "" {
		s.ssh = fmt.Sprintf("user = \"root\"\n    private_key_file = %q", l.KeyFile())
	}
	var hosts strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.at)) {
		h := l.Host(s.at[name])
		address := h.Address()
		if s.second[name] {
			address = secondAddress(h)
		}
		rebuild := ""
		if text := s.rebuild[name]; text != "" {
			rebuild = fmt.Sprintf(", rebuild = %q", text)
		}
		fmt.Fprintf(&hosts, "    %s = { address = %q, host_key = %q%s }\n", name, address, hostKey(t, h), rebuild)
	}
	for _, h := range l.Hosts {
		if s.at != nil {
			break
		}
		attributes, given := s.member[h.Config.Name]
		if !given && h.Config.Name != "bastion" {
			attributes = fmt.Sprintf("address = %q, host_key = %q", h.Address(), hostKey(t, h))
		}
		if attributes != "" {
			fmt.Fprintf(&hosts, "    %s = { %s }\n", h.Config.Name, attributes)
		}
	}
	return fmt.Sprintf(`
terraform {
  required_providers {
    etcd = { source = %q }
  }
}

provider "etcd" {
  ssh = {
    %s
  }
  progress_log = "progress.log"
}

resource "etcd_pki" "prod" {
  name = "prod"
}

resource "etcd_cluster" "prod" {
  name                = "prod"
  pki                 = etcd_pki.prod.authority
  deletion_protection = false
  %s
  members = {
%s  }
}

resource "etcd_certificate" "client" {
  pki              = etcd_pki.prod.client_authority
  common_name      = "client"
  private_key_file = "client.key"
  certificate_file = "client.crt"
}
`, providerSource, s.ssh, s.cluster, hosts.String())
}

func hostKey(t testing.TB, h *lab.Host) string {
	t.Helper()
	key, err := h.HostKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// inHost runs a program on a host, which has to succeed.
func inHost(t testing.TB, h *lab.Host, args ...string) string {
	t.Helper()
	output, err := h.Run(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}
