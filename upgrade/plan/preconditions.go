package plan

import (
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// preconditions refuses a cluster that no step may change: something in it is unaccounted for, or its quorum is lost.
func preconditions(p membership.ClusterStatus, want membership.Spec) error {
	if err := accountedFor(p, want); err != nil {
		return err
	}
	return quorumInReach(p, want)
}

// accountedFor refuses a cluster with something that nobody can account for, whether the cluster has its quorum or
// not.
func accountedFor(p membership.ClusterStatus, want membership.Spec) error {
	for _, s := range p.Unmanaged {
		switch {
		case s.Ours && s.Role == membership.Voter: // only the configuration named its host, so it cannot be observed
			return &membership.Refusal{Summary: "A voter is missing from the configuration", Rule: fmt.Sprintf("an interrupted apply has made %s (ID %s, peer URL %s) a voter, and this configuration no longer names it", unmanagedName(s), s.ID, s.PeerURL),
				Remedy: "put it back into the configuration at that address, and apply; then take it out"}
		case !s.Ours:
			return &membership.Refusal{Summary: "The member list has an unmanaged member", Rule: fmt.Sprintf("etcd's member list has %s (ID %s, peer URL %s), and neither this configuration nor its state knows it", unmanagedName(s), s.ID, s.PeerURL),
				Remedy: "find out who added it; if it has no business there, remove it on one of the hosts: etcdctl member remove " + s.ID}
		}
	}
	if err := disputed(p, want); err != nil {
		return err
	}
	if err := oneMemberPerHost(p); err != nil {
		return err
	}
	return versionsInReach(p, want.Version)
}

func unmanagedName(s membership.UnmanagedMember) string {
	if s.Name == "" {
		return "a member that has never started"
	}
	return "member " + s.Name
}

// oneMemberPerHost refuses two members at one address. etcd identifies a member by its address, so a renamed member,
// or two that have swapped places, would look the same.
func oneMemberPerHost(p membership.ClusterStatus) error {
	at := map[string]membership.MemberStatus{}
	for _, s := range p.Members {
		if !s.Desired && s.Role == membership.Absent && !s.Traces {
			continue // its host carries nothing of it
		}
		other, taken := at[s.Address]
		at[s.Address] = s
		if !taken {
			continue
		}
		if s.Desired {
			s, other = other, s
		}
		return &membership.Refusal{Summary: "Two members have one host", Member: other.Name, At: other.Address, Rule: fmt.Sprintf("this is the host of member %s, and a host carries one member at a time", s.Name),
			Remedy: fmt.Sprintf("give %s another host, or leave the name %s with this one; once %[2]s has left it, it can take another member", other.Name, s.Name)}
	}
	return nil
}

// versionsInReach refuses a desired version that etcd cannot run beside, or change to from, what members run now.
func versionsInReach(p membership.ClusterStatus, desired string) error {
	for _, s := range p.Members {
		if s.Role == membership.Absent || s.Version == "" || s.HasNothing() {
			continue
		}
		refuse := func(rule, remedy string) error {
			return &membership.Refusal{Summary: "The cluster cannot change to this version yet", Attribute: "version", Member: s.Name, At: s.Address, Rule: rule, Remedy: remedy}
		}
		newer := membership.CompareVersions(membership.Minor(desired), membership.Minor(s.Version)) > 0
		switch {
		case membership.MinorsApart(s.Version, desired) > 1:
			return refuse(fmt.Sprintf("it runs etcd %s, and version asks for etcd %s: etcd changes by one minor version at a time", s.Version, desired), "set version to the minor version in between, and apply that first")
		case newer && membership.Floor(s.Version) != "" && membership.CompareVersions(s.Version, membership.Floor(s.Version)) < 0:
			return refuse(fmt.Sprintf("it runs etcd %s, and an upgrade to etcd %s needs %s or newer", s.Version, membership.Minor(desired), membership.Floor(s.Version)),
				fmt.Sprintf("set version to %q, and apply that first", membership.Minor(s.Version)))
		case s.Behind && !newer:
			return refuse(fmt.Sprintf("it would run etcd %s, and cannot start with that: its cluster has agreed on a newer version", s.Version),
				"set version to the next newer minor version, and apply that first; the downgrade begins there")
		}
	}
	if p.Downgrade != "" && membership.CompareVersions(membership.Minor(desired), p.Downgrade) < 0 {
		return &membership.Refusal{Summary: "A downgrade is under way", Attribute: "version", Rule: fmt.Sprintf("a downgrade to etcd %s is under way, and version asks for etcd %s", p.Downgrade, desired), Remedy: fmt.Sprintf("set version to %q, and apply that first", p.Downgrade)}
	}
	return nil
}
