package etcdflags

import (
	"crypto/tls"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// kind refuses a value that etcd of a minor version does not accept; an empty minor version stands for any.
type kind func(value, minor string) error

// text is any value of one line.
func text(value, _ string) error {
	if value == "" || strings.TrimSpace(value) != value || strings.ContainsAny(value, "\n\r") {
		return fmt.Errorf("%q is not a text of one line, with no blanks around it", value)
	}
	return nil
}

func boolean(value, _ string) error {
	if value != "true" && value != "false" {
		return fmt.Errorf("%q is neither true nor false", value)
	}
	return nil
}

func count(value, _ string) error {
	if _, err := strconv.ParseUint(value, 10, 31); err != nil {
		return fmt.Errorf("%q is no number from 0 to 2147483647", value)
	}
	return nil
}

// bcryptCost refuses what etcd would replace by its default with no more than a line in its log.
func bcryptCost(value, _ string) error {
	if n, err := strconv.ParseUint(value, 10, 31); err != nil || n < 4 || n > 31 {
		return fmt.Errorf("%q is no number from 4 to 31, and etcd would use its default, 10, instead", value)
	}
	return nil
}

func duration(value, _ string) error {
	if d, err := time.ParseDuration(value); err != nil || d < 0 {
		return fmt.Errorf("%q is no duration: set one like \"5m\" or \"200ms\"", value)
	}
	return nil
}

func file(value, _ string) error {
	if !path.IsAbs(value) || path.Clean(value) != value || text(value, "") != nil {
		return fmt.Errorf("%q is no absolute path in its shortest spelling", value)
	}
	return nil
}

func oneOf(values ...string) kind {
	return func(value, _ string) error {
		if !slices.Contains(values, value) {
			return fmt.Errorf("%q is none of %s", value, strings.Join(values, ", "))
		}
		return nil
	}
}

func cipherSuites(value, _ string) error {
	var names []string
	for _, suite := range tls.CipherSuites() {
		if slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
			names = append(names, suite.Name)
		}
	}
	for name := range strings.SplitSeq(value, ",") {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%q is no cipher suite of TLS 1.2 that is safe: write their names with commas between, of %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

// features are the feature gates that a configuration may set, by the first minor version that has them; empty: all
// carried versions do.
var features = map[string]string{
	"FastLeaseKeepAlive":           "3.7",
	"LeaseCheckpoint":              "",
	"LeaseCheckpointPersist":       "",
	"PriorityRequest":              "3.7",
	"StopGRPCServiceOnDefrag":      "",
	"TxnModeWriteWithSharedBuffer": "",
}

// ownFeatures are the feature gates that the provider sets.
var ownFeatures = []string{"CompactHashCheck", "InitialCorruptCheck", "SetMemberLocalAddr"}

// formerly maps feature gates to the flags that they were before etcd 3.6.
var formerly = map[string]string{
	"experimental-enable-lease-checkpoint":           "LeaseCheckpoint",
	"experimental-enable-lease-checkpoint-persist":   "LeaseCheckpointPersist",
	"experimental-stop-grpc-service-on-defrag":       "StopGRPCServiceOnDefrag",
	"experimental-txn-mode-write-with-shared-buffer": "TxnModeWriteWithSharedBuffer",
}

func gates(value, minor string) error {
	var names []string
	for gate := range strings.SplitSeq(value, ",") {
		name, is, _ := strings.Cut(gate, "=")
		since, known := features[name]
		switch {
		case slices.Contains(ownFeatures, name):
			return fmt.Errorf("the provider sets the feature gate %s itself: take it out", name)
		case !known:
			return fmt.Errorf("etcd has no feature gate %q: write NAME=true or NAME=false, with commas between, of %s", name, strings.Join(slices.Sorted(maps.Keys(features)), ", "))
		case minor != "" && since != "" && membership.CompareVersions(minor, since) < 0:
			return fmt.Errorf("etcd %s has no feature gate %s, which came with etcd %s", minor, name, since)
		case slices.Contains(names, name):
			return fmt.Errorf("the feature gate %s is there twice", name)
		}
		if err := boolean(is, minor); err != nil {
			return fmt.Errorf("feature gate %s: %w", name, err)
		}
		names = append(names, name)
	}
	return nil
}

// notOwn returns the feature gates of a list without the provider's own.
func notOwn(value string) string {
	gates := slices.DeleteFunc(strings.Split(value, ","), func(gate string) bool {
		name, _, _ := strings.Cut(gate, "=")
		return slices.Contains(ownFeatures, name)
	})
	return strings.Join(gates, ",")
}
