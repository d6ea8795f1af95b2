package plan

import (
	"fmt"
	"net/netip"
	"strings"

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
			remedy := "find out who added it; if it has no business there, remove it on one of the hosts: etcdctl member remove " + s.ID
			if unlisted := tellUnlisted(p, want); unlisted != "" { // it may have been replaced since
				remedy = unlisted + "; else " + remedy
			}
			return &membership.Refusal{Summary: "The member list has an unmanaged member", Rule: fmt.Sprintf("etcd's member list has %s (ID %s, peer URL %s), and neither this configuration nor its state knows it", unmanagedName(s), s.ID, s.PeerURL),
				Remedy: remedy}
		}
	}
	if err := unfilterable(p, want); err != nil {
		return err
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

// quorumInReach refuses a cluster without a quorum that would have none either once every member that can be started
// runs.
func quorumInReach(p membership.ClusterStatus, want membership.Spec) error {
	n := p.Size()
	able, open, empty, taken := 0, 0, 0, 0 // open: may be able once somebody has fixed its host
	var missing, ending, withoutAddress, apart, barred []string
	for _, s := range p.Voters() {
		if p.WasPutBack(s) {
			missing = append(missing, fmt.Sprintf("%s: %s", s, membership.PutBack(s.Index, s.Had)))
			continue
		}
		if s.Survives() && !cannotComeUp(p, want, s) || s.State == membership.Healthy || s.State == membership.StoreMissing {
			able++
			continue
		}
		missing = append(missing, fmt.Sprintf("%s: %s", s, s.Why))
		switch {
		case cannotComeUp(p, want, s) && s.From != "" && s.Survives() && mayLackAddress(s):
			withoutAddress = append(withoutAddress, fmt.Sprintf("%s (%s)", s.Name, membership.HostOf(s.From)))
		case cannotComeUp(p, want, s) && s.From != "" && s.Survives():
			apart = append(apart, fmt.Sprintf("%s (%s)", s.Name, s.From))
		case s.Barred != "":
			barred = append(barred, fmt.Sprintf("%s: %s", s.Name, s.Barred))
		case s.Looping:
			ending = append(ending, s.Name)
		case s.State == membership.Missing:
			empty++
		case s.State == membership.Foreign:
			taken++
		case (s.State == membership.Unreachable || s.State == membership.Blocked && !s.Alone) && s.Desired:
			// A run waits for no member that the configuration no longer has.
			open++
		}
	}
	if empty == n {
		return &membership.Refusal{Summary: "No host carries a member any more", Rule: "no host carries a member of this cluster any more: somebody has taken it off all of them",
			Remedy: "bring the hosts back with their data, or restore a snapshot; if it was meant, and nobody needs the data, remove the cluster from the state (terraform state rm) and apply to form a new, empty one"}
	}
	needed := membership.Quorum(n)
	refuse := func(what, remedy string) error {
		if unlisted := tellUnlisted(p, want); unlisted != "" {
			remedy = unlisted + "; else " + remedy
		}
		return &membership.Refusal{Summary: strings.ToUpper(what[:1]) + what[1:], Rule: fmt.Sprintf("%s: %d of %d voters serve or can be started, and %d are needed (%s)", what, able, n, needed, strings.Join(missing, "; ")), Remedy: remedy}
	}
	switch {
	case able >= needed:
		return nil
	case able+len(withoutAddress)+len(apart) >= needed:
		var ways []string
		if len(withoutAddress) > 0 {
			ways = append(ways, fmt.Sprintf("their machines may lack the addresses that the cluster knows: add those addresses for now (ip address add) and plan again, and the members are re-addressed one by one: %s", strings.Join(withoutAddress, ", ")))
		}
		if len(apart) > 0 {
			ways = append(ways, fmt.Sprintf("only a quorum can change members' peer URLs: revert address or peer_port of %s, apply, and change it once the members serve", strings.Join(apart, ", ")))
		}
		if logs := tellLogs(p); logs != "" {
			ways = append(ways, logs)
		}
		remedy := strings.Join(ways, "; ")
		if way := recommended(p); way != "" {
			remedy += ", or, if none of that is possible, " + way
		}
		return refuse("the quorum is lost", remedy)
	case len(barred) > 0 && able+open+len(barred) >= needed:
		// Nothing is given up while hosts that would answer were not asked.
		return refuse("no quorum can be seen", strings.Join(barred, "; ")+"; and plan again; nothing is changed while it is not known what they hold")
	case able+open >= needed:
		remedy := "fix those hosts, or the network to them, and plan again; nothing is changed until it is known what they hold"
		if way := recommended(p); way != "" {
			remedy += fmt.Sprintf(" (of those that were seen, %s); if they are gone for good, and you restore no snapshot, %s", tellLogs(p), way)
		} else {
			remedy += "; if they are gone for good, restore a snapshot"
		}
		return refuse("no quorum can be seen", remedy)
	case able+taken >= needed:
		return refuse("the quorum is lost", "find out what manages those hosts now, before anything else")
	}
	remedy := "bring a lost host back with its data, or restore a snapshot"
	if len(ending) > 0 {
		remedy = fmt.Sprintf("fix what ends %s (see journalctl -u etcd@%s on the host), %s", strings.Join(ending, ", "), want.Name, remedy)
	}
	if howToUncontradict := howToUncontradict(p, want); howToUncontradict != "" {
		remedy = howToUncontradict + "; else " + remedy
	}
	if logs := tellLogs(p); logs != "" {
		remedy = logs + "; " + remedy
	}
	if way := recommended(p); way != "" {
		remedy += ", or, if none of that is possible, " + way
	}
	return refuse("the quorum is lost", remedy)
}

// mayLackAddress tells whether a member's machine has lost the address by which its cluster knows it, or may have, if
// that is a DNS name.
func mayLackAddress(s membership.MemberStatus) bool {
	_, err := netip.ParseAddr(membership.HostOf(s.From))
	return !s.Moved && (s.Gone || err != nil && !s.There)
}

// howToUncontradict tells what to do about members that do not start because a running member holds different data. It
// is empty if there are none.
func howToUncontradict(p membership.ClusterStatus, want membership.Spec) string {
	var kept, running []string
	for _, s := range p.Voters() {
		switch {
		case s.Differs:
			kept = append(kept, s.String())
		case runs(s) && !s.Looping:
			running = append(running, s.String())
		}
	}
	if len(kept) == 0 || len(running) == 0 {
		return ""
	}
	return fmt.Sprintf("since a running peer holds different data, %s do not start: stop %s (systemctl stop etcd@%s on its host), and they start by themselves if they hold the same; then give the stopped member another rebuild, plan again, and apply",
		strings.Join(kept, ", "), strings.Join(running, ", "), want.Name)
}

// cannotComeUp tells whether neither a start nor a wait brings a member up: its process ends each time with its
// desired configuration.
func cannotComeUp(p membership.ClusterStatus, want membership.Spec, s membership.MemberStatus) bool {
	if s.Alone {
		return true // until it is recovered or rebuilt
	}
	c := &planner{ClusterStatus: p, want: want}
	if s.From != "" { // a quorum of the others can update the list, or it is alone
		return (s.Looping && !c.mustConfigureFirst(s) || unreachable(s)) && p.Size() > 1 && !p.HasQuorum()
	}
	return s.Looping && !c.mustConfigureFirst(s) && (!s.LacksCertificates() || !c.canBringUp(s))
}
