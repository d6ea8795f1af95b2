// Package etcdflags says which etcd flags a configuration may set by extra_flags, in which minor versions etcd has
// them, which values they accept, and who sets the others. A test of node/store compares this with what etcd really
// has, in each minor version that is carried.
package etcdflags

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// Gates is the flag of feature gates. A member gets the provider's own gates first, and then those of the
// configuration.
const Gates = "feature-gates"

// MinTLS is the oldest TLS version that members accept by default.
const MinTLS = "TLS1.2"

// ModernSuites are the cipher suites of TLS 1.2 that members accept by default: those with forward secrecy and
// authenticated encryption. Go's own choice has others beside them. HTTP/2 requires those with AES 128. TLS 1.3 has no
// others.
const ModernSuites = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256," +
	"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384," +
	"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"

// defaults are the values that members get of flags which a configuration may set.
var defaults = map[string]string{"tls-min-version": MinTLS, suites: ModernSuites}

// suites is the flag of cipher suites.
const suites = "cipher-suites"

// SetTLS adds the defaults of TLS to a member's flags, by name without dashes, where a configuration does not say
// otherwise. etcd takes no cipher suites where TLS 1.3 is the oldest version.
func SetTLS(flags map[string]string) {
	flags["tls-min-version"] = cmp.Or(flags["tls-min-version"], MinTLS)
	if flags["tls-min-version"] == MinTLS && flags[suites] == "" {
		flags[suites] = ModernSuites
	}
}

// free are the flags that a configuration may set, by name without dashes, with the kind of their values.
var free = map[string]kind{
	"auth-token":                           text,
	"auth-token-ttl":                       count,
	"backend-batch-interval":               duration,
	"backend-batch-limit":                  count,
	"backend-bbolt-freelist-type":          oneOf("array", "map"),
	"bcrypt-cost":                          bcryptCost,
	"bootstrap-defrag-threshold-megabytes": count,
	"cipher-suites":                        cipherSuites,
	"compact-hash-check-time":              duration,
	"compaction-batch-limit":               count,
	"compaction-sleep-interval":            duration,
	"corrupt-check-time":                   duration,
	"cors":                                 text,
	"distributed-tracing-address":          text,
	"distributed-tracing-instance-id":      text,
	"distributed-tracing-sampling-rate":    count,
	"distributed-tracing-service-name":     text,
	"enable-distributed-tracing":           boolean,
	"enable-grpc-gateway":                  boolean,
	"enable-pprof":                         boolean,
	Gates:                                  gates,
	"grpc-keepalive-interval":              duration,
	"grpc-keepalive-min-time":              duration,
	"grpc-keepalive-timeout":               duration,
	"host-whitelist":                       text,
	"initial-election-tick-advance":        boolean,
	"max-snapshots":                        count,
	"max-wals":                             count,
	"metrics":                              oneOf("basic", "extensive"),
	"peer-crl-file":                        file,
	"pre-vote":                             boolean,
	"raft-read-timeout":                    duration,
	"raft-write-timeout":                   duration,
	"snapshot-catchup-entries":             count,
	"tls-max-version":                      oneOf("TLS1.2", "TLS1.3"),
	"tls-min-version":                      oneOf("TLS1.2", "TLS1.3"),
	"warning-apply-duration":               duration,
	"warning-unary-request-duration":       duration,
	"watch-progress-notify-interval":       duration,
}

// settings are the flags with their own attributes.
var settings = []string{
	"auto-compaction-mode", "auto-compaction-retention", "election-timeout", "heartbeat-interval", "log-level", "max-concurrent-streams",
	"max-request-bytes", "max-txn-ops", "quota-backend-bytes", "snapshot-count",
}

// Reasons why flags are the provider's own, each with what to do instead.
const (
	byPKI      = "members and clients know each other by certificates, which the provider issues by pki"
	byMembers  = "the provider forms and changes the cluster by members"
	noOther    = "the provider always sets it"
	byJournal  = "hosts find out what is the matter with a member by etcd's messages in the journal, as JSON; settings.log_level says how many there are"
	noDiscover = "members are named by members, and looked up nowhere"
)

// owned are the flags that a configuration must not set, with the reason and, if there is one, the attribute to use
// instead.
var owned = map[string]string{
	"advertise-client-urls":             "set client_port, and members.*.address",
	"auto-tls":                          byPKI,
	"cert-file":                         byPKI,
	"client-cert-allowed-hostname":      byPKI,
	"client-cert-auth":                  byPKI,
	"client-cert-file":                  byPKI,
	"client-crl-file":                   "set client_crl, which the provider keeps on every member's host",
	"client-key-file":                   byPKI,
	"config-file":                       "etcd would look at no other flag; set each by its name",
	"data-dir":                          "set data_dir",
	"downgrade-check-time":              "downgrades count on etcd's own pace",
	"enable-log-rotation":               byJournal,
	"force-new-cluster":                 "set recover_from, which says what may be lost",
	"initial-advertise-peer-urls":       "set peer_port, and members.*.address",
	"initial-cluster":                   byMembers,
	"initial-cluster-state":             byMembers,
	"initial-cluster-token":             byMembers,
	"key-file":                          byPKI,
	"listen-client-http-urls":           "clients are served at client_port alone",
	"listen-client-urls":                "set client_port, and members.*.address",
	"listen-metrics-urls":               "set metrics_port",
	"listen-peer-urls":                  "set peer_port, and members.*.address",
	"log-format":                        byJournal,
	"log-outputs":                       byJournal,
	"log-rotation-config-json":          byJournal,
	"logger":                            byJournal,
	"max-learners":                      "members join one at a time, which etcd's default allows",
	"memory-mlock":                      "the unit lets no member lock memory",
	"name":                              "the key in members is the member's name",
	"peer-auto-tls":                     byPKI,
	"peer-cert-allowed-cn":              "set peer_common_name",
	"peer-cert-allowed-hostname":        byPKI,
	"peer-cert-file":                    byPKI,
	"peer-client-cert-auth":             byPKI,
	"peer-client-cert-file":             byPKI,
	"peer-client-key-file":              byPKI,
	"peer-key-file":                     byPKI,
	"peer-skip-client-san-verification": "it follows from whether members.*.address are IPv4 addresses",
	"peer-trusted-ca-file":              byPKI,
	"self-signed-cert-validity":         byPKI,
	"socket-reuse-address":              "two processes could listen at one port, and a member would not be told from another",
	"socket-reuse-port":                 "two processes could listen at one port, and a member would not be told from another",
	"strict-reconfig-check":             noOther,
	"trusted-ca-file":                   byPKI,
	"unsafe-no-fsync":                   "a member would lose writes that were acknowledged",
	"v2-deprecation":                    "etcd ignores it",
	"version":                           "etcd would print its version and end; set version for another one",
	"wal-dir":                           "the log lies in data_dir",
}

// discovery is the prefix of flags that have members looked up.
const discovery = "discovery"

// experimental is the prefix that many flags had before etcd 3.6.
const experimental = "experimental-"

// Names returns the flags that a configuration may set, sorted.
func Names() []string { return slices.Sorted(maps.Keys(free)) }

// Refused returns the flags that a configuration must not set since the provider does, sorted, and those with an
// attribute in settings. A name that ends in * stands for all that begin so.
func Refused() (ours, ownAttribute []string) {
	ours = append(slices.Collect(maps.Keys(owned)), discovery+"*")
	slices.Sort(ours)
	return ours, slices.Clone(settings)
}

// Check refuses a flag that a configuration must not set, that etcd does not have in this version or minor version, or
// whose value etcd would not accept. An empty version stands for any.
func Check(name, value, version string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return free[name](value, membership.Minor(version))
}

// CheckName refuses a flag that a configuration must not set, whatever its value.
func CheckName(name string) error {
	switch why, is := owned[name]; {
	case is:
		return fmt.Errorf("--%s is not to be set by extra_flags: %s", name, why)
	case strings.HasPrefix(name, discovery):
		return fmt.Errorf("--%s is not to be set by extra_flags: %s", name, noDiscover)
	case slices.Contains(settings, name):
		return fmt.Errorf("--%s has an attribute of its own: set settings.%s", name, strings.ReplaceAll(name, "-", "_"))
	}
	if _, is := free[name]; is {
		return nil
	}
	meant := strings.TrimLeft(strings.ReplaceAll(name, "_", "-"), "-")
	meant, _, _ = strings.Cut(meant, "=")
	if meant = strings.TrimPrefix(meant, experimental); meant != name && known(meant) {
		return fmt.Errorf("etcd has no flag %q: it is %q", name, meant)
	}
	if gate, is := formerly[name]; is {
		return fmt.Errorf("--%s is a feature gate since etcd 3.6: set %q = \"%s=true\"", name, Gates, gate)
	}
	if meant := meantBy(name); slices.Contains(settings, meant) {
		return fmt.Errorf("etcd has no flag --%s: did you mean settings.%s?", name, strings.ReplaceAll(meant, "-", "_"))
	} else if meant != "" {
		return fmt.Errorf("etcd has no flag --%s: did you mean %q?", name, meant)
	}
	return fmt.Errorf("etcd has no flag --%s: extra_flags takes %s", name, strings.Join(Names(), ", "))
}

// known tells whether there is a flag of this name, whoever sets it.
func known(name string) bool {
	_, isFree := free[name]
	_, isOwned := owned[name]
	return isFree || isOwned || slices.Contains(settings, name)
}

// CheckTogether refuses combinations of flags with which etcd does not start.
func CheckTogether(flags map[string]string) (name string, err error) {
	if flags["tls-min-version"] == "TLS1.3" && flags["cipher-suites"] != "" {
		return "cipher-suites", fmt.Errorf("--cipher-suites is for TLS 1.2, and --tls-min-version is TLS1.3: take one of them out")
	}
	if flags["tls-min-version"] == "TLS1.3" && flags["tls-max-version"] == "TLS1.2" {
		return "tls-max-version", fmt.Errorf("--tls-max-version is TLS1.2, and --tls-min-version TLS1.3: take one of them out")
	}
	return "", nil
}

// Extra returns the flags of a member that its configuration has set by extra_flags, or nil.
func Extra(flags map[string]string) map[string]string {
	extra := map[string]string{}
	for name, value := range flags {
		if name == Gates {
			value = notOwn(value)
		}
		if _, is := free[name]; !is || value == "" || value == defaults[name] {
			continue
		}
		extra[name] = value
	}
	if len(extra) == 0 {
		return nil
	}
	return extra
}

// Asked tells whether two members' flags, lines of the form --name=value, differ in something that a configuration
// sets: settings and extra flags, addresses and ports, names and directories. All other flags are the provider's own.
func Asked(a, b []string) bool {
	said := func(lines []string) map[string]string {
		all := map[string]string{}
		for _, line := range lines {
			name, value, _ := strings.Cut(strings.TrimPrefix(line, "--"), "=")
			all[name] = value
		}
		said := map[string]string{}
		maps.Copy(said, Extra(all))
		for name, value := range all {
			if slices.Contains(settings, name) || slices.Contains(located, name) {
				said[name] = value
			}
		}
		return said
	}
	return !maps.Equal(said(a), said(b))
}

// located are the flags that follow from names, addresses, ports and directories of a configuration, and from its
// client_crl.
var located = []string{"advertise-client-urls", "client-crl-file", "data-dir", "initial-advertise-peer-urls", "listen-client-urls", "listen-metrics-urls", "listen-peer-urls", "name"}
