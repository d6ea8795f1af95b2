package plan_test

import (
	"fmt"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// take is what a step does, where it goes well.
func (e *etcd) take(step membership.Step) {
	h, m := e.at(step.At), e.entry(step.At)
	configure := func(version string) {
		h.version, h.current, h.broken = version, true, false
	}
	e.issue(step)
	e.filter(step)
	switch step.Kind {
	case membership.Stage:
		e.staged[step.At] = step.To
	case membership.Snapshot:
		e.saved = true
	case membership.RenewCertificates:
		e.certified[step.At] = true
		if h.running && e.seen {
			h.ready = !h.broken
		}
	case membership.Stop:
		h.running, h.ready = false, false
	case membership.Configure:
		configure(e.want.Version)
		if h.from != "" {
			h.from, h.gone, m.moved, h.settled = "", false, false, e.names()
		}
	case membership.Start:
		h.disabled, h.running = false, true
	case membership.Agree:
		var come []*entry
		for _, v := range e.voters() {
			if e.stays(v) {
				come = append(come, v)
			} else if !e.at(v.address).silent {
				e.at(v.address).ready = false // nobody waits for it: let it not come by itself either
			}
		}
		for _, v := range come {
			e.vain = e.vain || e.at(v.address).broken && e.certified[v.address]
			// Beside a quorum, one that is not desired is waited for by nobody: let it never come.
			if h := e.at(v.address); h.running && h.data == v.id && (e.awaited(v.address) || !e.seen) {
				h.gone = false // its list has its new address
				h.ready = !h.broken
			}
		}
		e.serves = true
	case membership.SyncConfiguration:
		for _, v := range e.voters() {
			if e.desired(v.address) && e.healthy(v) && e.at(v.address).from == "" {
				e.at(v.address).settled, e.at(v.address).voted = e.names(), true
			}
		}
	case membership.MoveLeader:
		e.leader = e.byText(step.To).id
	case membership.AddLearner:
		e.ids++
		e.list = append(e.list, &entry{id: fmt.Sprintf("added %d", e.ids), address: step.At, learner: true, ours: true})
	case membership.Join:
		configure(step.To)
		h.marker, h.data, h.running, h.ready, h.disabled, h.built = true, m.id, true, true, false, again
		m.name, m.started = step.Member, true
	case membership.Promote:
		m.learner, h.voted = false, true
		h.settled = e.names() // what it was told before it voted
	case membership.Remove:
		e.list = slices.DeleteFunc(e.list, func(v *entry) bool {
			return step.To == "" && v.address == step.At || step.To != "" && v.id == step.To
		})
		h.running, h.ready = false, false // a member that was removed ends by itself
	case membership.SetAside:
		*h = machine{filters: h.filters, admits: h.admits}
	case membership.Retire:
		*h = machine{}
	case membership.Readdress:
		if e.rewritten(m) {
			configure(e.want.Version)
		}
		h.from, h.gone, m.moved = "", false, false
		h.running, h.ready, h.disabled, h.settled = true, !h.broken, false, e.names()
		e.serves = e.serves || e.active() >= quorum(len(e.voters()))
	case membership.Recover:
		if e.rewrites(step.At) {
			configure(e.want.Version)
		}
		for _, v := range e.list {
			if other := e.at(v.address); v != m {
				other.running, other.ready, other.from, other.gone = false, false, "", false
			}
		}
		e.list = []*entry{m}
		h.from, h.gone, m.moved = "", false, false
		h.running, h.ready, h.disabled, h.settled = true, true, false, "others"
		e.serves, e.leader = true, m.id
	case membership.Roll:
		configure(step.To)
	case membership.Cancel:
		e.downgrade = ""
	case membership.Downgrade:
		e.downgrade, e.version = step.To, step.To
	case membership.Disarm:
		e.full = slices.DeleteFunc(e.full, e.disarms)
	}
}

// rewrites tells whether a recovery gives its member all that is desired: its store was put there for that.
func (e *etcd) rewrites(address string) bool {
	h := e.at(address)
	return e.staged[address] == e.want.Version && (h.version != e.want.Version || !h.current)
}

// cut is a step that the run did not live to see the end of; way says how far it came. 0 is not at all, and
// more than a step has ways is to its very end.
func (e *etcd) cut(step membership.Step, way int) {
	h, m := e.at(step.At), e.entry(step.At)
	switch is := func(kind membership.Kind, at int) bool { return step.Kind == kind && way == at }; {
	case way == 0:
	case is(membership.Join, 1): // prepared, and not started
		e.issue(step)
		h.marker, h.version, h.built = true, step.To, again
	case is(membership.Join, 2): // started, and not heard of
		h.built = again
		e.issue(step)
		h.marker, h.version, h.current, h.data, h.running = true, step.To, true, m.id, true
	case is(membership.Roll, 1): // stopped
		h.serves = membership.Authorities{}
		h.running, h.ready, h.issued.Trusts, h.peering.Demands = false, false, h.issued.Files, h.peering.Written
	case is(membership.Roll, 2): // stopped and configured
		e.issue(step)
		h.running, h.ready, h.version, h.current = false, false, step.To, true
	case is(membership.Roll, 3): // configured, and not restarted
		runs := *h
		e.issue(step)
		h.issued.Trusts, h.issued.By, h.serves, h.peering.Demands = runs.issued.Trusts, runs.issued.By, runs.serves, runs.peering.Demands
	case is(membership.RenewCertificates, 1): // of the pairs, one was written
		before := h.issued
		e.issue(step)
		h.expired = true // another may be of an earlier one
		h.issued.Trusts, h.issued.By.Clients = before.Trusts, before.By.Clients.With(h.issued.By.Clients)
	case is(membership.Readdress, 1): // in the list, and not restarted
		m.moved = true
	case is(membership.Readdress, 2): // stopped
		m.moved, h.running, h.ready, h.serves = true, false, false, membership.Authorities{}
		h.peering.Demands = h.peering.Written
	case is(membership.Recover, 1): // the others were stopped
		for _, v := range e.voters() {
			if v != m {
				e.at(v.address).running, e.at(v.address).ready = false, false
			}
		}
	case is(membership.Recover, 2): // alone, and its list has the old address
		from, gone := h.from, h.gone
		e.take(step)
		h.from, h.gone = from, gone
	case is(membership.SetAside, 1), is(membership.Retire, 1): // stopped
		h.running, h.ready, h.disabled = false, false, true
	case is(membership.Retire, 2): // the marker goes last
		h.running, h.ready, h.data = false, false, ""
	case is(membership.Promote, 1): // told that it votes, and not promoted
		h.voted = true
	case is(membership.Downgrade, 1): // enabled, and nothing has come down
		e.downgrade = step.To
	case is(membership.SyncConfiguration, 1): // of several, one was told
		e.at(e.voters()[0].address).settled = e.names()
	default:
		e.take(step)
	}
	e.heartbeat()
	e.forget()
}

// unmet says what of the configuration is not met; nil: all is.
func (e *etcd) unmet() []string {
	var left []string
	for _, m := range e.want.Members {
		switch h, in := e.at(m.Address), e.entry(m.Address); {
		case in == nil || in.learner:
			left = append(left, m.Name+" does not vote")
		case !e.healthy(in):
			left = append(left, m.Name+" is not healthy")
		case h.version != e.want.Version || !h.current || h.expired || h.beside != "" || h.disabled || h.settled != e.names() || h.issued != e.issuedAsDesired() || h.peering != e.peeringAsDesired(m.Name) || h.running && h.serves != (membership.Authorities{}):
			left = append(left, fmt.Sprintf("%s is not as wanted: %+v", m.Name, *h))
		}
	}
	for _, m := range e.want.Members {
		if slices.Contains(e.want.Rebuild, m.Name) && e.at(m.Address).built != again {
			left = append(left, m.Name+" was not built anew")
		}
	}
	left = append(left, e.unfilteredMembers()...)
	for _, m := range e.list {
		if !e.desired(m.address) {
			left = append(left, m.address+" is still in the list")
		}
	}
	for _, m := range e.known {
		if h := e.at(m.Address); !e.desired(m.Address) && h.marker && !h.silent && !h.taken {
			left = append(left, m.Address+" still carries the cluster")
		}
	}
	if len(e.full) > 0 {
		left = append(left, fmt.Sprintf("%v are full", e.full))
	}
	if e.downgrade != "" && e.downgrade != membership.Minor(e.want.Version) {
		left = append(left, "a downgrade is under way")
	}
	return left
}
