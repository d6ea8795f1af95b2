package main

import (
	"flag"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/version"
	"go.etcd.io/etcd/pkg/v3/featuregate"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/features"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/etcdflags"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

var trio = bootstrap.Cluster{
	Spec:         membership.Spec{Name: "main", Members: []membership.Member{{Name: "a", Address: "192.0.2.11"}, {Name: "b", Address: "192.0.2.12"}, {Name: "c", Address: "192.0.2.13"}}},
	DataDir:      "/var/lib/etcd/main",
	ClientPort:   2379,
	PeerPort:     2380,
	MetricsPort:  2381,
	KeyAlgorithm: "ecdsa-p256",
}

// TestRenderedFlagsAreTaken holds that a member of this minor version starts with the flags that the provider renders,
// which are the same for every minor version.
func TestRenderedFlagsAreTaken(t *testing.T) {
	c := trio
	for _, state := range []string{bootstrap.StateNew, bootstrap.StateExisting} {
		flags := c.Flags(c.Members[0], formation, state)
		// With --version at the end, etcd parses all flags and exits.
		if got := called(t, "etcd", append(flags, "--version")...); got.status != exitDone {
			t.Errorf("%q: %+v", flags, got)
		}
		if got := called(t, "etcd", append(flags, "--feature-gates=Unheard=true", "--version")...); got.status == exitDone {
			t.Errorf("a feature gate that nobody knows is taken: %+v", got)
		}
	}
}

// TestEveryFlagIsKnown holds that etcd of this minor version has all flags that a configuration may set and parses them
// as the provider does, and that the provider says of each of etcd's flags who sets it.
func TestEveryFlagIsKnown(t *testing.T) {
	minor := membership.Minor(version.Version)
	flags := flag.NewFlagSet("etcd", flag.ContinueOnError)
	embed.NewConfig().AddFlags(flags)
	for _, name := range etcdflags.Names() {
		if flags.Lookup(name) == nil {
			t.Errorf("etcd %s has no flag %s", minor, name)
		}
	}
	// etcd accepts any text for these when it parses them, and checks the text when it starts.
	texts := []string{"auth-token", "backend-bbolt-freelist-type", "cipher-suites", "distributed-tracing-address", "distributed-tracing-instance-id",
		"distributed-tracing-service-name", "host-whitelist", "metrics", "peer-crl-file", "tls-max-version", "tls-min-version"}
	const nonsense = "no value\n"
	flags.VisitAll(func(f *flag.Flag) {
		err, before := etcdflags.CheckName(f.Name), f.Value.String()
		defer func() { _ = f.Value.Set(before) }() // some flags change the whole process
		switch {
		case err != nil && strings.Contains(err.Error(), "etcd has no flag") && !strings.HasPrefix(f.Name, "experimental-"):
			t.Errorf("etcd %s has the flag %s: say who sets it", minor, f.Name)
		case err != nil:
		case etcdflags.Check(f.Name, nonsense, minor) == nil:
			t.Errorf("--%s=%q is taken", f.Name, nonsense)
		case slices.Contains(texts, f.Name) != (f.Value.Set(nonsense) == nil):
			t.Errorf("--%s is a text to one of etcd %s and this test alone", f.Name, minor)
		}
	})
}

// TestExtraFlagsAreTaken starts etcd of this minor version with a value for every flag that a configuration may set,
// beside those that the provider renders. The feature gates that a configuration may set are etcd's.
func TestExtraFlagsAreTaken(t *testing.T) {
	minor := membership.Minor(version.Version)
	extra := map[string]string{}
	for _, name := range etcdflags.Names() {
		for _, value := range []string{"true", "7", "5m", "/etc/crl.pem", "map", "extensive", "TLS1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "StopGRPCServiceOnDefrag=true", "*"} {
			if extra[name] == "" && etcdflags.Check(name, value, minor) == nil {
				extra[name] = value
			}
		}
		if extra[name] == "" {
			t.Errorf("no value of --%s was found that is taken", name)
		}
	}
	extra["cors"] = "*"
	c := trio
	c.Settings = extra
	if got := called(t, "etcd", append(c.Flags(c.Members[0], formation, bootstrap.StateExisting), "--version")...); got.status != exitDone {
		t.Errorf("%+v", got)
	}
	for gate := range features.DefaultEtcdServerFeatureGates {
		own := strings.Contains(api.FlagValue(trio.Flags(trio.Members[0], formation, bootstrap.StateExisting), etcdflags.Gates), string(gate)+"=true")
		if err := etcdflags.Check(etcdflags.Gates, string(gate)+"=true", minor); (err == nil) == own {
			t.Errorf("feature gate %s of etcd %s, which the provider sets itself: %t: %v", gate, minor, own, err)
		}
	}
	for _, gate := range []string{"StopGRPCServiceOnDefrag", "TxnModeWriteWithSharedBuffer", "LeaseCheckpoint", "LeaseCheckpointPersist", "FastLeaseKeepAlive", "PriorityRequest"} {
		_, has := features.DefaultEtcdServerFeatureGates[featuregate.Feature(gate)]
		if err := etcdflags.Check(etcdflags.Gates, gate+"=true", minor); (err == nil) != has {
			t.Errorf("feature gate %s, which etcd %s has: %t: %v", gate, minor, has, err)
		}
	}
}
