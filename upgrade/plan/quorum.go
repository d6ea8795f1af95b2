package plan

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// quorumInReach refuses a cluster without a quorum that would have none either once every member that can be started
// runs.
func quorumInReach(p membership.ClusterStatus, want membership.Spec) error {
	n := p.Size()
	able, open, empty, taken := 0, 0, 0, 0 // open: able once somebody has fixed the host, perhaps
	var missing, ending, lacking, apart []string
	for _, s := range p.Voters() {
		if p.WasPutBack(s) {
			missing = append(missing, fmt.Sprintf("%s: %s", s, membership.PutBack(s.Index, s.Had)))
			continue
		}
		if s.Survives() && !hopeless(p, want, s) || s.State == membership.Healthy || s.State == membership.StoreMissing {
			able++
			continue
		}
		missing = append(missing, fmt.Sprintf("%s: %s", s, s.Why))
		switch {
		case hopeless(p, want, s) && s.From != "" && s.Survives() && mayLack(s):
			lacking = append(lacking, fmt.Sprintf("%s (%s)", s.Name, membership.HostOf(s.From)))
		case hopeless(p, want, s) && s.From != "" && s.Survives():
			apart = append(apart, fmt.Sprintf("%s (%s)", s.Name, s.From))
		case s.Looping:
			ending = append(ending, s.Name)
		case s.State == membership.Missing:
			empty++
		case s.State == membership.Foreign:
			taken++
		case (s.State == membership.Unreachable || s.State == membership.Blocked && !s.Alone) && s.Desired: // a run does not wait for a member that the configuration no longer has
			open++
		}
	}
	if empty == n {
		return &membership.Refusal{Summary: "No host carries a member any more", Rule: "no host carries a member of this cluster any more: somebody has taken it off all of them",
			Remedy: "bring the hosts back with their data, or restore a snapshot; if it was meant, and nobody needs the data, remove the cluster from the state (terraform state rm) and apply to form a new, empty one"}
	}
	needed := membership.Quorum(n)
	refuse := func(what, remedy string) error {
		return &membership.Refusal{Summary: strings.ToUpper(what[:1]) + what[1:], Rule: fmt.Sprintf("%s: %d of %d voters serve or can be started, and %d are needed (%s)", what, able, n, needed, strings.Join(missing, "; ")), Remedy: remedy}
	}
	switch {
	case able >= needed:
		return nil
	case able+len(lacking)+len(apart) >= needed:
		var ways []string
		if len(lacking) > 0 {
			ways = append(ways, fmt.Sprintf("their machines may lack the addresses that the cluster knows them at: give them those too for the moment (ip address add) and plan again, and they are re-addressed one by one: %s", strings.Join(lacking, ", ")))
		}
		if len(apart) > 0 {
			ways = append(ways, fmt.Sprintf("only a quorum can give members other peer URLs: take what changes those of %s back (address or peer_port), apply, and change it once they serve", strings.Join(apart, ", ")))
		}
		if logs := tellLogs(p); logs != "" {
			ways = append(ways, logs)
		}
		remedy := strings.Join(ways, "; ")
		if way := recommended(p); way != "" {
			remedy += ", or, where nothing of that can be had, " + way
		}
		return refuse("the quorum is lost", remedy)
	case able+open >= needed:
		remedy := "fix those hosts, or the network to them, and plan again; nothing is changed while it is not known what they hold"
		if way := recommended(p); way != "" {
			remedy += fmt.Sprintf(" (of those that were seen, %s); where they are gone for good, and no snapshot is to be restored, %s", tellLogs(p), way)
		} else {
			remedy += "; where they are gone for good, restore a snapshot"
		}
		return refuse("no quorum can be seen", remedy)
	case able+taken >= needed:
		return refuse("the quorum is lost", "find out what manages those hosts now, before anything else")
	}
	remedy := "bring a lost host back with its data, or restore a snapshot"
	if len(ending) > 0 {
		remedy = fmt.Sprintf("fix what ends %s (journalctl -u etcd@%s on the host says what it is), %s", strings.Join(ending, ", "), want.Name, remedy)
	}
	if contradicted := contradicted(p, want); contradicted != "" {
		remedy = contradicted + "; else " + remedy
	}
	if logs := tellLogs(p); logs != "" {
		remedy = logs + "; " + remedy
	}
	if way := recommended(p); way != "" {
		remedy += ", or, where nothing of that can be had, " + way
	}
	return refuse("the quorum is lost", remedy)
}

// mayLack tells whether a member's machine has lost the address by which its cluster knows it, or may have, if that is
// a DNS name.
func mayLack(s membership.MemberStatus) bool {
	_, err := netip.ParseAddr(membership.HostOf(s.From))
	return !s.Moved && (s.Gone || err != nil && !s.There)
}

// contradicted says what to do about members that do not start since a running member holds other data; empty: there
// are none.
func contradicted(p membership.ClusterStatus, want membership.Spec) string {
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
	return fmt.Sprintf("since a peer that runs holds other data, %s do not start: stop %s (systemctl stop etcd@%s on its host), and those come up by themselves where they hold the same; then give what was stopped another rebuild, plan again, and apply",
		strings.Join(kept, ", "), strings.Join(running, ", "), want.Name)
}

// hopeless tells whether neither a start nor a wait brings a member up: its process ends each time, though it runs with
// its desired configuration.
func hopeless(p membership.ClusterStatus, want membership.Spec, s membership.MemberStatus) bool {
	if s.Alone {
		return true // until it is recovered, or built anew
	}
	c := &planner{ClusterStatus: p, want: want}
	if s.From != "" { // a quorum of others changes the list for it, or it is alone
		return (s.Looping && !c.misled(s) || unreachable(s)) && p.Size() > 1 && !p.HasQuorum()
	}
	return s.Looping && !c.misled(s) && (s.Invalid == "" || !c.mends(s))
}
