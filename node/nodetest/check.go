package nodetest

import (
	"encoding/pem"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// This file has what a real host refuses about a request before it looks at itself.

// known refuses a key that no host makes.
func known(want api.KeyRequest) error {
	if err := api.CheckKeyName(want.Name); err != nil {
		return err
	}
	if !slices.Contains([]string{"ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096"}, want.Algorithm) {
		return refuse("key %s: there is no algorithm %q", want.Name, want.Algorithm)
	}
	return nil
}

// mayInstallCertificates refuses certificates and bundles that a member could not run with.
func (i *installation) mayInstallCertificates(r api.ConfigureRequest) error {
	for _, bundle := range []string{r.PeerCA, r.ClientCA} {
		if block, _ := pem.Decode([]byte(bundle)); bundle != "" && block == nil {
			return refuse("the bundle cannot be used: it holds no certificate")
		}
	}
	if block, _ := pem.Decode([]byte(r.ClientCRL)); r.ClientCRL != "" && block == nil {
		return refuse("the list of revoked certificates cannot be used: it holds no PEM block")
	}
	for name, text := range r.Certificates {
		if err := api.CheckKeyName(name); err != nil {
			return err
		}
		if i.next[name].Belongs(text) || i.keys[name].Belongs(text) {
			continue
		}
		if _, there := i.keys[name]; !there {
			return refuse("there is no key %s: prepare the host first", name)
		}
		return refuse("the certificate for key %s cannot be used: it certifies another key", name)
	}
	return nil
}

// mayHold fails the test if a certificate has expired, or does not hold yet, by the host's own clock: its etcd would
// refuse everybody who shows it.
func (c call) mayHold(certificates map[string]string) {
	for name, text := range certificates {
		leaf, err := cert.ParseLeaf([]byte(text))
		if now := c.world.Clock.Add(c.Skew); err == nil && (now.Before(leaf.NotBefore) || now.After(leaf.NotAfter)) {
			c.broken(HoldsThere, "certificate %s holds from %s until %s, and it is %s", name, leaf.NotBefore, leaf.NotAfter, now)
		}
	}
}

// keepFormed returns the marker to write: a member that has joined, and has its data, stays formed.
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
