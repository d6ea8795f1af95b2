// Package exchange says what a plan has to show of a cluster's authorities: which keys of theirs it lacks.
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

// signs are the kinds of steps that have certificates signed.
var signs = []membership.Kind{membership.Configure, membership.RenewCertificates, membership.Join, membership.Readdress, membership.Recover}

// RefuseUnsigned refuses steps that have certificates signed by an authority whose key the configuration leaves out.
func RefuseUnsigned(pki authority.Model, steps []membership.Step) diag.Diagnostics {
	keyless, lacking := pki.Keyless(), map[string]bool{}
	var unsigned []string
	for _, step := range steps {
		if step.Keeps || !slices.Contains(signs, step.Kind) {
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
	return refuse(slices.Sorted(maps.Keys(lacking)), "These steps sign certificates:\n\n  "+strings.Join(unsigned, "\n  "))
}

// RefuseKeyless refuses what may have to sign, where the configuration leaves a key out: why says what that is.
func RefuseKeyless(pki authority.Model, why string) diag.Diagnostics {
	if keys := pki.KeysLeftOut(); len(keys) > 0 {
		return refuse(keys, why)
	}
	return nil
}

func refuse(keys []string, why string) (diags diag.Diagnostics) {
	diags.AddAttributeError(path.Root("pki"), "This plan needs the key of an authority",
		fmt.Sprintf("%s\n\nGive %s for it, or remote in the place of private_key: pki is write-only, so that no state and no plan holds a key. No host was changed.", why, strings.Join(keys, " and ")))
	return diags
}

// WarnUnsigned says once which members' certificates are due, and are not renewed since the configuration leaves a key out.
func WarnUnsigned(pki authority.Model, due map[string]string) (diags diag.Diagnostics) {
	if len(due) == 0 {
		return nil
	}
	var members []string
	for _, name := range slices.Sorted(maps.Keys(due)) {
		members = append(members, fmt.Sprintf("%s: %s", name, due[name]))
	}
	diags.AddAttributeWarning(path.Root("pki"), "Certificates are due, and the key that renews them is left out",
		fmt.Sprintf("%s. No apply without %s renews them.", strings.Join(members, "; "), strings.Join(pki.KeysLeftOut(), " and ")))
	return diags
}
