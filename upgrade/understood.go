package upgrade

import (
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// understood refuses a cluster to which nothing at all may be done.
func understood(p membership.Picture, want membership.Spec) error {
	for _, s := range p.Strangers {
		if !s.Ours {
			return &membership.Refusal{Rule: fmt.Sprintf("etcd's member list has %s (ID %s, peer URL %s), and neither this configuration nor its state knows it", strangerName(s), s.ID, s.PeerURL),
				Remedy: "find out who added it; if it has no business there, remove it on one of the hosts: etcdctl member remove " + s.ID}
		}
	}
	if p.Corrupt {
		return &membership.Refusal{Rule: "an alarm says that the data of the members differs (CORRUPT)",
			Remedy: "find out which member is wrong (etcdctl endpoint hashkv --cluster), take that host away from its address, and apply with a new host in its place"}
	}
	if err := versionsInReach(p, want.Version); err != nil {
		return err
	}
	return quorumInReach(p)
}

func strangerName(s membership.Stranger) string {
	if s.Name == "" {
		return "a member that has never started"
	}
	return "member " + s.Name
}

// versionsInReach refuses versions that no cluster may have at the same time, or go to from where it is.
func versionsInReach(p membership.Picture, wanted string) error {
	for _, s := range p.Seats {
		if s.Role == membership.Absent || s.Version == "" {
			continue
		}
		refuse := func(rule, remedy string) error {
			return &membership.Refusal{Member: s.Name, At: s.Address, Rule: rule, Remedy: remedy}
		}
		newer := membership.CompareVersions(membership.Line(wanted), membership.Line(s.Version)) > 0
		switch {
		case membership.MinorsApart(s.Version, wanted) > 1:
			return refuse(fmt.Sprintf("it runs etcd %s, and etcd %s is wanted: etcd goes one minor at a time", s.Version, wanted), "set version to the minor in between, and apply that first")
		case newer && membership.Floor(s.Version) != "" && membership.CompareVersions(s.Version, membership.Floor(s.Version)) < 0:
			return refuse(fmt.Sprintf("it runs etcd %s, and etcd %s may be gone to from %s on", s.Version, membership.Line(wanted), membership.Floor(s.Version)),
				fmt.Sprintf("set version to %q, and apply that first", membership.Line(s.Version)))
		}
	}
	switch {
	case p.Downgrade != "" && membership.CompareVersions(membership.Line(wanted), p.Downgrade) < 0:
		return &membership.Refusal{Rule: fmt.Sprintf("a downgrade to etcd %s is under way, and etcd %s is wanted", p.Downgrade, wanted), Remedy: fmt.Sprintf("set version to %q, and apply that first", p.Downgrade)}
	}
	return nil
}

// quorumInReach refuses a cluster that serves nobody, and will not when all that is down and can be
// started has been.
func quorumInReach(p membership.Picture) error {
	n := p.Size()
	if n == 0 {
		return nobodyLeft
	}
	able, silent, empty, taken := 0, 0, 0, 0
	var survivors, missing []string
	for _, s := range p.Voters() {
		switch s.State {
		case membership.Serving, membership.Failing, membership.Stopped:
			able++
			survivors = append(survivors, fmt.Sprintf("%s has term %d, index %d", s, s.Term, s.Index))
		case membership.Silent:
			silent++
			missing = append(missing, s.String()+" could not be asked")
		default:
			missing = append(missing, fmt.Sprintf("%s: %s", s, s.Why))
			if s.State == membership.Empty {
				empty++
			}
			if s.State == membership.Taken {
				taken++
			}
		}
	}
	if able >= membership.Quorum(n) {
		return nil
	}
	if empty == n {
		return nobodyLeft
	}
	rule := fmt.Sprintf("the quorum is lost: %d of %d voters are left, and %d are needed (%s)", able, n, membership.Quorum(n), strings.Join(missing, "; "))
	if silent > 0 && able+silent >= membership.Quorum(n) {
		return &membership.Refusal{Rule: fmt.Sprintf("no quorum can be seen: %d of %d voters could be asked, and %d are needed (%s)", able, n, membership.Quorum(n), strings.Join(missing, "; ")),
			Remedy: "bring those hosts back, or the network to them, and plan again; nothing is changed while it is not known what runs there"}
	}
	if able+taken >= membership.Quorum(n) {
		return &membership.Refusal{Rule: rule, Remedy: "find out what manages those hosts now, before anything else"}
	}
	if len(survivors) > 0 {
		rule += "; " + strings.Join(survivors, "; ")
	}
	return &membership.Refusal{Rule: rule, Remedy: "bring a lost host back with its data, or restore a snapshot, or, where neither can be had, recover from the survivor " +
		"with the highest term and index: what only the others had is gone then (see recover_from)"}
}

// nobodyLeft is the refusal of a cluster of which nothing is left.
var nobodyLeft = &membership.Refusal{Rule: "no host carries a member of this cluster any more: somebody has taken it off all of them",
	Remedy: "if that was meant, remove it from the state (terraform state rm) and apply to form a new one; if not, bring the hosts back first"}
