package exchange

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
)

// Concerned returns the rotations planned in this run that change a cluster's authorities: those by which pki signs. If
// pki is not known yet, the members' authorities decide.
func Concerned(planned []providerdata.Rotation, pki authority.Model, status membership.ClusterStatus) (concerned []providerdata.Rotation) {
	for _, rotation := range planned {
		signs := pki.Client.Certificate
		if rotation.Peers {
			signs = pki.Peer.Certificate
		}
		certificate, err := cert.ParseLeaf([]byte(signs.ValueString()))
		if err == nil && cert.Name(certificate) == rotation.Signs || signs.IsUnknown() && slices.ContainsFunc(status.Members, func(s membership.MemberStatus) bool {
			trusts := of(rotation, s.Issued.Trusts)
			return trusts.Has(rotation.Signs) || trusts.Has(rotation.Goes)
		}) {
			concerned = append(concerned, rotation)
		}
	}
	return concerned
}

// of returns the set of authorities that a rotation is of: peers' or clients'.
func of(rotation providerdata.Rotation, both membership.Authorities) membership.AuthorityNames {
	if rotation.Peers {
		return both.Peers
	}
	return both.Clients
}

// RefuseUnfollowed refuses rotations that the members are not ready for. Each member has to trust the authority that
// will sign, and to need none that is given up. The phase before has done that, unless its apply was cut short. A
// member that leaves and cannot be asked does not count. open are the names of the members that may leave their hosts,
// or stay there: their addresses are known after apply.
func RefuseUnfollowed(cluster string, rotations []providerdata.Rotation, status membership.ClusterStatus, open []string) (diags diag.Diagnostics) {
	if len(rotations) == 0 {
		return nil
	}
	var behind, was []string
	away, unsure, follow := false, false, false
	for _, s := range status.Members {
		if s.Role == membership.Absent || s.State == membership.Missing || s.State == membership.Lost {
			continue // the member is configured again, with what the others trust
		}
		unknown := s.Issued == (membership.Issued{})
		if unknown && !s.Desired {
			continue
		}
		mayLeave := unknown && slices.Contains(open, s.Name)
		away, unsure = away || unknown && !mayLeave, unsure || mayLeave
		var reasons []string
		for _, rotation := range rotations {
			why := lacks(rotation, s.Issued)
			switch {
			case mayLeave:
				why = "nobody knows which authorities it trusts: " + s.Why + ", and the address that it is given is known after apply, so that it may be that of this host"
			case unknown:
				why = "nobody knows which authorities it trusts: " + s.Why
			case why == "":
				continue
			default:
				follow = true
			}
			if !slices.Contains(reasons, why) {
				reasons = append(reasons, why)
			}
			if !slices.Contains(was, rotation.Was) {
				was = append(was, rotation.Was)
			}
		}
		if len(reasons) > 0 {
			behind = append(behind, fmt.Sprintf("%s: %s", s.Member, strings.Join(reasons, "; ")))
		}
	}
	if len(behind) == 0 {
		return nil
	}
	var remedies []string
	if away {
		remedies = append(remedies, "Bring back the hosts of which nothing is known, or give their members the addresses of other hosts, and apply again.")
	}
	if unsure {
		remedies = append(remedies, "Apply first what makes the hosts whose addresses are not known (terraform apply -target=...): a plan that knows their addresses replaces the members and goes on.")
	}
	before := strings.Join(was, " and ")
	if follow {
		remedies = append(remedies, fmt.Sprintf("Set %s in rotation of etcd_pki %q again, and apply: the members then follow the phase before. Go on when a plan has nothing left to do.", before, rotations[0].Of))
	} else {
		remedies = append(remedies, fmt.Sprintf("Until then, set %s in rotation of etcd_pki %q again for plans that do something else.", before, rotations[0].Of))
	}
	diags.AddAttributeError(path.Root("pki"), "The members have not followed this rotation yet",
		fmt.Sprintf("etcd_pki %q would go on with a rotation that members of cluster %s are not ready for:\n\n  %s\n\n%s Nothing was changed: no host, and no authority.",
			rotations[0].Of, cluster, strings.Join(behind, "\n  "), strings.Join(remedies, " ")))
	return diags
}

// lacks returns why a member is not ready for a rotation, or "".
func lacks(rotation providerdata.Rotation, is membership.Issued) string {
	kind := "clients"
	if rotation.Peers {
		kind = "peers"
	}
	trusts := of(rotation, is.Trusts)
	switch {
	case trusts == "":
		return fmt.Sprintf("it does not tell which authorities for %s its process trusts, and %s is to sign", kind, rotation.Signs)
	case !trusts.Has(rotation.Signs):
		return fmt.Sprintf("for %s it trusts authority %s, and not %s, which is to sign", kind, strings.Join(trusts.All(), " and "), rotation.Signs)
	case rotation.Goes != "" && of(rotation, is.By).Has(rotation.Goes):
		return fmt.Sprintf("its certificates for %s are of authority %s, which is to be given up", kind, rotation.Goes)
	}
	return ""
}
