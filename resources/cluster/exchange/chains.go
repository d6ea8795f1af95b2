package exchange

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/private"
)

// chainsKey is the key of private state with the Chains of the last complete apply.
const chainsKey = "chains"

// Chains has, by each authority's name, a digest of the intermediates that follow the certificates that it signs.
// Members' own certificates do not say whether another chain is drift or was asked for, and the state has no pki.
type Chains map[string]string

// ChainsOf returns the Chains of a configuration. The digest is empty if no intermediates follow.
func ChainsOf(pki authority.Model) Chains {
	chains := pki.Chains()
	for name, chain := range chains {
		if chain != "" {
			sum := sha256.Sum256([]byte(chain))
			chains[name] = hex.EncodeToString(sum[:])
		}
	}
	return chains
}

// LastChains reads the Chains of the last complete apply. An imported state, or one that cannot be read, has none.
func LastChains(ctx context.Context, private private.State) (last Chains, diags diag.Diagnostics) {
	text, diags := private.GetKey(ctx, chainsKey)
	if json.Unmarshal(text, &last) != nil {
		return nil, diags
	}
	return last, diags
}

// LaidDown returns the Chains of those authorities of a configuration whose chain a host has behind a certificate. It
// stands in for the LastChains that an imported state lacks: what one host has, an apply has laid down.
func LaidDown(pki authority.Model, reports bootstrap.Reports) Chains {
	laid := Chains{}
	digests := ChainsOf(pki)
	for name, chain := range pki.Chains() {
		for _, report := range reports {
			if report.Observation == nil {
				continue
			}
			for _, key := range api.KeyNames {
				if cert.Encode(cert.Following(report.Observation.Certificates[key].PEM)...) == chain {
					laid[name] = digests[name]
				}
			}
		}
	}
	return laid
}

// Keep writes the Chains into private state.
func (c Chains) Keep(ctx context.Context, private private.State) (diags diag.Diagnostics) {
	text, err := json.Marshal(c)
	if err != nil {
		diags.AddError("The chains of the authorities cannot be kept", err.Error())
		return diags
	}
	return private.SetKey(ctx, chainsKey, text)
}

// DifferFrom tells whether an authority of the configuration has another chain than the last complete apply has
// written. The chain of an authority that is no longer configured stays where it is, and does not count.
func (c Chains) DifferFrom(last Chains) bool {
	for name, digest := range c {
		if digest != last[name] {
			return true
		}
	}
	return false
}
