// Package exchange returns what a plan has to say about a cluster's authorities: missing keys, rotations that members
// are not ready for, and chains other than at the last apply.
package exchange

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
)

// RefuseUnsigned refuses steps that have certificates signed by an authority whose key the configuration leaves out.
func RefuseUnsigned(pki authority.Model, steps []membership.Step) error {
	keyless, lacking := pki.Keyless(), map[string]bool{}
	var unsigned []string
	for _, step := range steps {
		if !step.Signs() {
			continue
		}
		by := step.Signers
		if by == (membership.Authorities{}) {
			by = pki.Signers().First()
		}
		found := false
		for _, name := range slices.Concat(by.Peers.All(), by.Clients.All()) {
			if key, lacks := keyless[name]; lacks {
				lacking[key], found = true, true
			}
		}
		if found {
			unsigned = append(unsigned, step.String())
		}
	}
	if len(unsigned) == 0 {
		return nil
	}
	return &membership.Refusal{Summary: NeedsKey, Attribute: "pki", Rule: give(slices.Sorted(maps.Keys(lacking)), "These steps sign certificates:\n\n  "+strings.Join(unsigned, "\n  "))}
}

// RefuseKeyless refuses a plan that may have to sign while the configuration leaves out a key. why says what may have
// to be signed.
func RefuseKeyless(pki authority.Model, why string) (diags diag.Diagnostics) {
	if keys := pki.KeysLeftOut(); len(keys) > 0 {
		diags.AddAttributeError(path.Root("pki"), NeedsKey, give(keys, why)+". No host was changed.")
	}
	return diags
}

// NeedsKey is the summary of refusals of a configuration that leaves out a key that has to sign.
const NeedsKey = "This plan needs the key of an authority"

// give says which keys a configuration has to set, and why.
func give(keys []string, why string) string {
	return fmt.Sprintf("%s\n\nGive %s for it, or remote in the place of private_key: pki is write-only, so that no state and no plan holds a key", why, strings.Join(keys, " and "))
}
