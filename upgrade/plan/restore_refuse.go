package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// restorable refuses a restore that must not begin or continue.
func (r *restorePlanner) restorable() error {
	if err := r.otherRestore(); err != nil || r.Opened() {
		return err
	}
	if err := r.allReachable(); err != nil {
		return err
	}
	if err := r.oneMemberPerHost(); err != nil {
		return err
	}
	if err := r.overwriteConfirmed(); err != nil {
		return err
	}
	if err := r.Findable(r.want.Restore); err != nil {
		return err
	}
	return r.aboveSeen()
}

// otherRestore refuses to continue the restore under way with another snapshot. A restore that has come no further
// than fences has written no data yet, and gives way.
func (r *restorePlanner) otherRestore() error {
	var first *membership.RestoreStatus
	for i := range r.Members {
		s := &r.Members[i]
		if s.Stage.Before(membership.Restored) {
			continue
		}
		first = cmp.Or(first, s)
		switch desired := r.want.Restore; {
		case s.Source != desired.Source || desired.SHA256 != "" && s.Snapshot != desired.SHA256:
			return underWay(*s)
		case s.Snapshot != first.Snapshot || s.Token != first.Token:
			return &membership.Refusal{Summary: "A restore is under way", Attribute: "restore", Member: s.Name, At: s.Address, Rule: fmt.Sprintf("it belongs to another restore than %s", *first), Remedy: "set restore.roll_back = true, apply, and restore again"}
		}
	}
	return nil
}

// underWay returns the refusal of anything but the restore that a host records.
func underWay(s membership.RestoreStatus) *membership.Refusal {
	remedy := "put `restore` back into the configuration as it was to finish it, or with restore.roll_back = true beside what it names, to undo it"
	if s.Stage == membership.Opened {
		remedy = "put `restore` back into the configuration as it was to finish it; it was opened to clients, and cannot be undone"
	}
	return &membership.Refusal{Summary: "A restore is under way", Attribute: "restore", Member: s.Name, At: s.Address, Rule: fmt.Sprintf("a restore of %s is under way since %s", s.Source, s.Since), Remedy: remedy}
}

// notRestorable is the summary where a host cannot take part in a restore.
const notRestorable = "A host cannot take part in the restore"

// unreached is said of a host that does not answer.
const unreached = "its host cannot be reached"

// allReachable refuses desired hosts that cannot be reached or touched, all of them in one error.
func (r *restorePlanner) allReachable() error {
	var refusals []error
	unimported := false
	for _, s := range r.Members {
		unimported = unimported || s.Desired && s.Unimported
		switch {
		case s.Desired && s.Unreachable:
			refusals = append(refusals, &membership.Refusal{Summary: notRestorable, Attribute: "restore", Member: s.Name, At: s.Address, Rule: cmp.Or(s.Unasked, unreached) + ", and a cluster is restored on all of its hosts or none",
				Remedy: cmp.Or(s.Barred, "bring it back, or give the member another host") + "; nothing is changed until that is fixed"})
		case s.Desired && s.Refused != "":
			refusals = append(refusals, &membership.Refusal{Summary: notRestorable, Attribute: "restore", Member: s.Name, At: s.Address, Rule: s.Refused, Remedy: "nothing is changed until that is fixed"})
		}
	}
	if unimported {
		refusals = append(refusals, errors.New(bootstrap.HowToImport(r.want)))
	}
	return membership.JoinRefusals(refusals...)
}

// oneMemberPerHost refuses a desired member on the host of another member that leaves.
func (r *restorePlanner) oneMemberPerHost() error {
	for _, s := range r.Members {
		for _, other := range r.Members {
			if s.Desired && !other.Desired && s.Address == other.Address {
				return &membership.Refusal{Summary: "Two members have one host", Member: s.Name, At: s.Address, Rule: fmt.Sprintf("this is the host of member %s, and a host carries one member at a time", other.Name),
					Remedy: fmt.Sprintf("give %s another host, or leave the name %s with this one", s.Name, other.Name)}
			}
		}
	}
	return nil
}

// overwriteConfirmed refuses to overwrite a running cluster that the configuration does not name.
func (r *restorePlanner) overwriteConfirmed() error {
	var serving []string
	id := ""
	for _, s := range r.Members {
		if s.ServingID != "" && s.ServingID != r.want.Restore.Overwrites {
			serving, id = append(serving, s.String()), cmp.Or(id, s.ServingID)
		}
	}
	if len(serving) == 0 {
		return nil
	}
	rule := fmt.Sprintf("a running cluster is on these hosts, and a restore discards all its data: cluster ID %s, on %s", id, strings.Join(serving, ", "))
	if confirmed := r.want.Restore.Overwrites; confirmed != "" {
		rule += "; overwrite_cluster_id names " + confirmed
	}
	return &membership.Refusal{Summary: "A running cluster would be overwritten", Attribute: "restore", Rule: rule, Remedy: fmt.Sprintf("if that is meant, set restore.overwrite_cluster_id = %q", id)}
}

// aboveSeen refuses to open a cluster whose revisions would repeat some that a member, fenced late, has already
// served.
func (r *restorePlanner) aboveSeen() error {
	for _, s := range r.Members {
		if r.Top > 0 && s.Seen > 0 && r.Top < s.Seen+clearance {
			return &membership.Refusal{Summary: "The restore cannot be completed", Attribute: "restore", Member: s.Name, At: s.Address, Rule: fmt.Sprintf("its member has come back since, and its clients may have seen revision %d; the restored cluster begins with %d", s.Seen, r.Top),
				Remedy: "set restore.roll_back = true, apply, and restore again"}
		}
	}
	return nil
}

// rollBack undoes a restore on all hosts that record one. No client can have reached a restored member if no host says
// that it was opened, and no unreachable host can have been opened: hosts are opened only after all of them were
// checked.
func (r *restorePlanner) rollBack() (membership.Step, error) {
	if !r.UnderWay() && !r.Opened() {
		return membership.Step{}, nil
	}
	all := true // every desired host that can be reached was checked
	var unreachable []string
	for _, s := range r.Members {
		switch {
		case s.Stage == membership.Opened || s.Finished:
			return membership.Step{}, &membership.Refusal{Summary: "The restore cannot be undone", Attribute: "restore", Member: s.Name, At: s.Address, Rule: fmt.Sprintf("the restore of %s cannot be undone: clients may have read from its member and written to it", cmp.Or(s.Source, r.want.Restore.Source)),
				Remedy: "remove roll_back to finish it; to have the old data back after that, restore a snapshot of it"}
		case s.Desired && (s.Unreachable || s.Refused != "" && s.Stage == membership.Untouched):
			unreachable = append(unreachable, s.String())
		case s.Desired && s.Stage.Before(membership.Checked):
			all = false
		}
	}
	if all && len(unreachable) > 0 {
		return membership.Step{}, &membership.Refusal{Summary: "The restore cannot be undone", Attribute: "restore", Rule: fmt.Sprintf("the restore cannot be undone: every other host was checked, so %s may have been opened to clients, and cannot be reached", strings.Join(slices.Compact(unreachable), ", ")),
			Remedy: "bring it back, and plan again"}
	}
	if err := r.mayUndo(); err != nil {
		return membership.Step{}, err
	}
	step, _ := r.onFirst(membership.RollBack, func(s membership.RestoreStatus) bool { return s.Stage != membership.Untouched })
	return step, nil
}

// mayUndo refuses while a desired host that records the restore cannot be touched: a host whose disk is away would
// stay as the restore left it, while the others are undone.
func (r *restorePlanner) mayUndo() error {
	var refusals []error
	for _, s := range r.Members {
		if s.Desired && s.Refused != "" && s.Stage != membership.Untouched {
			refusals = append(refusals, &membership.Refusal{Summary: "The restore cannot be undone", Attribute: "restore", Member: s.Name, At: s.Address, Rule: s.Refused,
				Remedy: "fix that and plan again: nothing is undone until then; if its disk is gone for good, take the member out of `members` or give it another host"})
		}
	}
	return membership.JoinRefusals(refusals...)
}

// restoring refuses any change of a cluster while a restore of it is under way: it is no cluster yet, or not the one
// that it was. Records on hosts that are to leave do not count.
func restoring(p membership.ClusterStatus) error {
	for _, s := range p.Members {
		if s.Restoring != "" && (s.Desired || s.Role != membership.Absent) {
			return &membership.Refusal{Summary: "A restore is under way", Attribute: "restore", Member: s.Name, At: s.Address, Rule: "a restore of " + s.Restoring + " is under way", Remedy: "put `restore` back into the configuration to finish it, or with restore.roll_back = true beside what it names, to undo it"}
		}
	}
	return nil
}
