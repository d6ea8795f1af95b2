package nodetest

import (
	"encoding/pem"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// What follows is what a real host refuses of a request before it looks at itself.

// longestTime is the longest time that a request may give.
const longestTime = 10 * time.Minute

func checkTimeout(timeout time.Duration) error {
	if timeout <= 0 || timeout > longestTime {
		return refuse("a time limit of %s was given: give a positive one of at most %s", timeout, longestTime)
	}
	return nil
}

// checkID refuses what is no ID as hosts spell it.
func checkID(text string) error {
	id, err := strconv.ParseUint(text, 16, 64)
	if err != nil || id == 0 || strconv.FormatUint(id, 16) != text {
		return refuse("%q is no member ID in hexadecimal", text)
	}
	return nil
}

// checkSum refuses what is no SHA-256.
func checkSum(text string) error {
	if len(text) != 64 || strings.Trim(text, "0123456789abcdef") != "" {
		return refuse("%q is no SHA-256", text)
	}
	return nil
}

// keyNames are those of the keys that a member has.
var keyNames = []string{api.KeyPeer, api.KeyServer, api.KeyAdmin}

// known refuses a key that no host makes.
func known(want api.KeyRequest) error {
	if !slices.Contains(keyNames, want.Name) {
		return refuse("there is no key %q", want.Name)
	}
	if !slices.Contains([]string{"ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096"}, want.Algorithm) {
		return refuse("key %s: there is no algorithm %q", want.Name, want.Algorithm)
	}
	return nil
}

// checkFlags refuses lines that are no flags, and a data directory that is not the marker's.
func checkFlags(flags []string, marker api.Marker) error {
	for _, line := range flags {
		name, _, given := strings.Cut(line, "=")
		if !given || len(name) < 3 || !strings.HasPrefix(name, "--") || strings.ContainsAny(line, "\n\r") || strings.TrimSpace(line) != line {
			return refuse("%q is no flag of the form --name=value", line)
		}
	}
	if want := "--data-dir=" + marker.DataDir; !slices.Contains(flags, want) {
		return refuse("the flags lack %s, which the marker names", want)
	}
	return nil
}

// mayCertify refuses certificates and bundles that a member could not run by.
func (i *installation) mayCertify(r api.ConfigureRequest) error {
	for _, bundle := range []string{r.PeerCA, r.ClientCA} {
		if block, _ := pem.Decode([]byte(bundle)); bundle != "" && block == nil {
			return refuse("the bundle cannot be used: it holds no certificate")
		}
	}
	for name, text := range r.Certificates {
		if !slices.Contains(keyNames, name) {
			return refuse("there is no key %q", name)
		}
		if i.next[name].belongs(text) || i.keys[name].belongs(text) {
			continue
		}
		if _, there := i.keys[name]; !there {
			return refuse("there is no key %s: prepare the host first", name)
		}
		return refuse("the certificate for key %s cannot be used: it certifies another key", name)
	}
	return nil
}

// keepFormed is the marker to write: a member that has joined, and has its data, stays one that has.
func (h *Host) keepFormed(old *api.Marker, marker api.Marker) api.Marker {
	if old == nil || old.Token != marker.Token || h.directory(old.DataDir).member == nil {
		return marker
	}
	if old.Phase == api.PhaseFormed && marker.Phase != api.PhaseFormed {
		marker.Phase, marker.ClusterID, marker.MemberID = old.Phase, old.ClusterID, old.MemberID
	}
	if marker.ClusterID == "" {
		marker.ClusterID, marker.MemberID = old.ClusterID, old.MemberID
	}
	return marker
}
