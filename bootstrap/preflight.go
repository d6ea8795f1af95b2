package bootstrap

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// PreflightForm returns an error that names everything that keeps a new cluster from being formed on the observed
// hosts. Hosts without a report could not be observed yet: what only all hosts together show is then left to the
// create.
func (c Cluster) PreflightForm(reports map[string]Report, now time.Time) error {
	whole := len(reports) == len(c.Members)
	c.Members = slices.DeleteFunc(slices.Clone(c.Members), func(m membership.Member) bool { _, seen := reports[m.Name]; return !seen })
	f := c.Resume(reports, Formation{})
	if whole {
		return claimable(c.Assess(reports, f, now), c.Spec)
	}
	observed := membership.Observed{}
	for _, m := range c.Members {
		observed[m.Name] = c.assess(m, reports[m.Name], f, now)
	}
	return claimable(observed, c.Spec)
}

// PreflightRestore is PreflightForm for a restore. If owner's state holds the cluster, reports are of the hosts that
// are new to it; an empty owner means that no state holds it yet.
func (c Cluster) PreflightRestore(owner string, reports Reports, now time.Time) error {
	creating := owner == ""
	if creating {
		owner = c.unfinished(reports)
	}
	var refusals []error
	unimported := false
	restoring := c.Restoring(owner, creating, reports, now)
	for _, site := range restoring.Members {
		report, seen := reports[site.Member]
		unimported = unimported || seen && site.Unimported
		switch {
		case !seen:
		case site.Unreachable:
			refusals = append(refusals, refuse(site.Member, report.Err.Error()))
		case site.Refused != "":
			refusals = append(refusals, refuse(site.Member, site.Refused))
		}
	}
	if len(refusals) == 0 {
		refusals = append(refusals, restoring.Findable(c.Restore))
	}
	if unimported {
		refusals = append(refusals, errors.New(HowToImport(c.Spec)))
	}
	return membership.JoinRefusals(refusals...)
}

// unfinished returns the owner of an unfinished create that hosts carry, or "".
func (c Cluster) unfinished(reports Reports) string {
	for _, m := range c.Members {
		if marker := reports[m].Marker(); marker != nil && marker.Phase == api.PhaseForming {
			return marker.Owner
		}
	}
	return ""
}

// PreflightChange returns an error that names all hosts that cannot take part in a change of owner's cluster. It
// checks hosts that are new to the cluster, or reached in another way than before. looked is what was observed on
// them, and before what was last observed of the cluster.
func (c Cluster) PreflightChange(owner string, before, looked Reports) error {
	merged := maps.Clone(before)
	maps.Copy(merged, looked)
	list := c.memberList(owner, merged)
	mistaken := c.routesTo(c.AllMembers(merged), list, owner, merged).mistakes()
	var refusals []error
	for _, m := range c.AllMembers(looked) {
		report, there := looked[m]
		if !there {
			continue
		}
		was, known := before[m]
		state, why := c.state(m, report, owner)
		mistake := slices.IndexFunc(mistaken, func(r membership.Refusal) bool { return r.Member == m.Name && r.At == m.Address })
		switch {
		case report.Err != nil && was.Err != nil: // it could not be observed before either
		case report.Err != nil:
			refusals = append(refusals, refuse(m, report.Err.Error()))
		case mistake >= 0:
			refusals = append(refusals, &mistaken[mistake])
		case known && was.Machine() != "" && report.Machine() != "" && was.Machine() != report.Machine():
			refusals = append(refusals, refuse(m, fmt.Sprintf("this address leads to another machine than the one that the member was last seen on (machine ID %s, and %s then)", report.Machine(), was.Machine())))
		case !known && (state == membership.Foreign || state == membership.Blocked):
			refusals = append(refusals, refuse(m, why))
		}
	}
	return membership.JoinRefusals(refusals...)
}

func refuse(m membership.Member, rule string) error {
	return &membership.Refusal{Member: m.Name, At: m.Address, Rule: rule, Remedy: "nothing is changed until that is fixed"}
}
