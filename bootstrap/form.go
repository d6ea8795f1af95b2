// Package bootstrap says what a desired cluster means for each host, compares what was observed there with it, and
// plans how hosts become a cluster.
package bootstrap

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// Form plans how hosts become the cluster that spec describes, from wherever an earlier run left them. Steps are
// ordered by kind, so that each kind can be done on all hosts at once: nothing is started before every host is
// configured, and nothing is synced before the members are one cluster. When the plan is empty, hosts are told how they
// renew certificates by themselves (FormRenewals), and the cluster is handed over.
//
// Form refuses if a host cannot be reached or carries something that this create did not make, and names all such
// hosts.
func Form(observed membership.Observed, spec membership.Spec) ([]membership.Step, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	if err := claimable(observed, spec); err != nil {
		return nil, err
	}

	var steps []membership.Step
	each := func(kind membership.Kind, to string, needed func(membership.Host) bool) {
		for _, m := range spec.Members {
			if needed(observed[m.Name]) {
				steps = append(steps, membership.Step{Kind: kind, Member: m.Name, At: m.Address, To: to})
			}
		}
	}
	each(membership.Install, spec.Version, func(h membership.Host) bool { return !h.Installed })
	each(membership.SetAside, "left by an unfinished create that cannot be continued", func(h membership.Host) bool { return stale(h) && (h.Data || h.Running) })
	each(membership.Stop, "its configuration changes, and it serves nobody yet", func(h membership.Host) bool { return !stale(h) && misconfigured(h) && h.Running })
	each(membership.Configure, "", misconfigured)
	standing := len(steps)
	each(membership.Start, "", func(h membership.Host) bool { return misconfigured(h) || !h.Running })
	if len(steps) > standing || !agreed(observed, spec) {
		steps = append(steps, Agree(len(spec.Members)))
	}
	each(membership.SyncConfiguration, "", func(h membership.Host) bool { return !h.Synced || misconfigured(h) })
	var unbacked []string
	for _, m := range spec.Members {
		if h := observed[m.Name]; h.Unbacked != "" || spec.Backups != "" && misconfigured(h) {
			unbacked = append(unbacked, m.Name)
		}
	}
	if len(unbacked) > 0 {
		steps = append(steps, BackUp(unbacked, spec))
	}
	return steps, nil
}

// FormRenewals returns the last step of a create, which has hosts renew certificates by themselves, and whether any
// host needs it. It is no part of Form, since a create ends without it where a host cannot ask the signing server: the
// cluster is whole, and belongs into the state.
func FormRenewals(observed membership.Observed, spec membership.Spec) (membership.Step, bool) {
	var unrenewed []string
	for _, m := range spec.Members {
		if h := observed[m.Name]; h.Unrenewed != "" || spec.Renewals != "" && misconfigured(h) {
			unrenewed = append(unrenewed, m.Name)
		}
	}
	return RenewOnHosts(unrenewed, spec), len(unrenewed) > 0
}

// stale tells whether a host carries what an unfinished create has left that cannot be continued.
func stale(h membership.Host) bool { return h.Claim == membership.Stale }

// misconfigured tells whether a create configures a host.
func misconfigured(h membership.Host) bool {
	return stale(h) || h.Claim == membership.Bare || !h.Configured
}

// RenewOnHosts returns the step that has hosts renew certificates by themselves as desired.
func RenewOnHosts(members []string, spec membership.Spec) membership.Step {
	return membership.Step{Kind: membership.RenewOnHosts, To: spec.Renewals, Why: strings.Join(members, ", "), Keeps: spec.OtherRenewals}
}

// BackUp returns the step that has hosts back the cluster up as desired.
func BackUp(members []string, spec membership.Spec) membership.Step {
	return membership.Step{Kind: membership.BackUp, To: spec.Backups, Why: strings.Join(members, ", ")}
}

// claimable refuses hosts that this create may not touch. It names all of them at once, so that they can be freed
// together.
func claimable(observed membership.Observed, spec membership.Spec) error {
	var refusals []error
	unimported := false
	for _, m := range spec.Members {
		host, known := observed[m.Name]
		unimported = unimported || host.Unimported
		refuse := func(rule, remedy string) {
			refusals = append(refusals, &membership.Refusal{Member: m.Name, At: m.Address, Rule: rule, Remedy: remedy})
		}
		switch {
		case !known:
			refuse("it was not observed", "apply again")
		case host.Refused != "":
			refuse(host.Refused, "nothing is changed until that is fixed")
		}
	}
	if unimported {
		refusals = append(refusals, errors.New(HowToImport(spec)))
	}
	return membership.JoinRefusals(refusals...)
}

// HowToImport tells how the existing cluster comes into a state, with the authorities that its members trust: a new
// etcd_pki can sign nothing for them. The planner does not know the addresses of resources, so the text says which ones
// the blocks name.
func HowToImport(spec membership.Spec) string {
	hosts, port := importable(spec)
	resource := strings.ReplaceAll(spec.Name, "-", "_")
	return fmt.Sprintf("To manage the existing cluster from here, put these blocks beside its resources, with their addresses in `to`:\n\n"+
		"import {\n  to = etcd_pki.%[1]s\n  id = \"%[2]s@./authorities\"\n}\n\n"+
		"import {\n  to = etcd_cluster.%[1]s\n  id = \"%[2]s@%[3]s\"\n}\n\n"+
		"./authorities is a directory with the kept PEM files of the cluster's own authorities: peer-ca.crt, peer-ca.key, client-ca.crt and client-ca.key. "+
		"Members trust no other authority. If an apply has made another etcd_pki meanwhile, run `terraform state rm etcd_pki.%[1]s` first. "+
		"Leave the first block out where the state still holds the cluster's own etcd_pki, or where pki comes from elsewhere. "+
		"%[4]sIn a module the address is module.NAME.etcd_cluster.NAME, and the blocks belong into the root module. The guide state-lost.md has all of it",
		resource, spec.Name, strings.Join(hosts, ","), port)
}

// importable returns the hosts that an import can ask, and what to set for it. An import has no configuration of the
// resource: it dials the addresses of its ID, all of them at the port of the provider. The hosts that it does not name
// are asked by the first apply.
func importable(spec membership.Spec) (hosts []string, how string) {
	ports := map[int][]string{}
	most := 0
	for i, m := range spec.Members {
		sshd := spec.SSHD[m.Name]
		ports[sshd.Port] = append(ports[sshd.Port], cmp.Or(sshd.Host, m.Address))
		if i == 0 || len(ports[sshd.Port]) > len(ports[most]) {
			most = sshd.Port
		}
	}
	switch {
	case most != 0:
		how = fmt.Sprintf("An import reads no ssh_port: set ssh.port of the provider, or ETCD_SSH_PORT, to %d for it. ", most)
	case len(ports) > 1:
		how = "An import reads no ssh_port, so the block names only hosts without one. "
	}
	return ports[most], how
}

// agreed tells whether every member is ready, in one cluster, under one leader.
func agreed(observed membership.Observed, spec membership.Spec) bool {
	first := observed[spec.Members[0].Name]
	for _, m := range spec.Members {
		host := observed[m.Name]
		if !host.Ready || !host.Running || host.ClusterID != first.ClusterID || host.Leader == "" || host.Leader != first.Leader {
			return false
		}
	}
	return true
}

// Agree returns the step that waits until n voters are one healthy cluster.
func Agree(n int) membership.Step {
	voters := fmt.Sprintf("%d voters", n)
	if n == 1 {
		voters = "1 voter"
	}
	return membership.Step{Kind: membership.Agree, To: fmt.Sprintf("%s, one cluster ID, one leader, quorum %d", voters, membership.Quorum(n))}
}
