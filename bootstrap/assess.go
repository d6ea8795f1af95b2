package bootstrap

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Report is what was learned of one host: the first contact alone, where the desired store is not on
// it yet; else the observation too. Err is set where the host could not be asked.
type Report struct {
	Contact     api.Contact
	Observation *api.Observation
	Err         error
	// Data is a letter that stands for what a voter holds, where an alarm says that their data differs: those with the same
	// letter hold the same. Empty: it was not compared.
	Data string
}

// Resume is the formation to go on with: the one that an unfinished create of this very cluster has
// left on its hosts, or fresh.
func (c Cluster) Resume(reports map[string]Report, fresh Formation) Formation {
	for _, m := range c.Members {
		if marker := reports[m.Name].Marker(); marker != nil && marker.Phase == api.PhaseForming && c.owns(*marker, m) {
			return Formation{Owner: marker.Owner, Token: marker.Token}
		}
	}
	return fresh
}

// Assess measures what was learned against what is desired. now decides which certificates hold.
func (c Cluster) Assess(reports map[string]Report, f Formation, now time.Time) membership.Observed {
	observed := membership.Observed{}
	var reached []located
	for _, m := range c.Members {
		report, known := reports[m.Name]
		if !known {
			continue
		}
		host := c.assess(m, report, f, now)
		is := identity{machine: report.Machine(), boot: report.boot()}
		if i := slices.IndexFunc(reached, func(other located) bool { return is.oneMachine(other.at) }); i >= 0 && host.Refused == "" {
			refusal := onOneMachine(m, reached[i].Member)
			host.Refused = refusal.Error()
		}
		reached = append(reached, located{m, is})
		observed[m.Name] = host
	}
	c.findLost(reports, observed)
	c.spareWritten(reports, observed)
	return observed
}

// located is a member, and where its address leads.
type located struct {
	membership.Member
	at identity
}

// judge measures one host.
func (c Cluster) assess(m membership.Member, report Report, f Formation, now time.Time) membership.Host {
	if report.Err != nil {
		return membership.Host{Refused: report.Err.Error()}
	}
	claim, refused := c.claim(m, report, f)
	if refused != "" && c.unimported(m, report, f) {
		return membership.Host{Refused: refused, Unimported: true}
	}
	if refused == "" {
		refused = cmp.Or(c.unfit(report.Contact), notThere(m, report))
	}
	if under := restoring(report); under != "" && refused == "" {
		refused = fmt.Sprintf("a restore of %s is under way on it: put `restore` back into the configuration to finish it", under)
	}
	if refused != "" {
		return membership.Host{Refused: refused}
	}
	host := membership.Host{
		Claim:     claim,
		Installed: slices.Contains(report.Contact.Installed, c.Store(report.Contact)),
		Data:      report.dataNotEmpty(),
	}
	o := report.Observation
	if o == nil {
		return host
	}
	host.Running = o.Unit.ActiveState == "active" || o.Unit.ActiveState == "activating"
	host.Synced = slices.Equal(o.Flags, c.Flags(m, f, StateExisting)) && o.Marker != nil && o.Marker.ClusterID != ""
	host.Configured = c.configured(m, report, f, now)
	host.Unbacked = c.Unbacked(o)
	host.Ready = host.Running && o.Member.Ready && o.Member.Healthy && c.knowsAll(o.Member)
	if host.Ready {
		host.ClusterID, host.Leader = o.Member.ClusterID, o.Member.Leader
	}
	return host
}

// claim says whose host it is, or why it may not be claimed.
func (c Cluster) claim(m membership.Member, report Report, f Formation) (membership.Claim, string) {
	contact := report.Contact
	if contact.MarkerError != "" {
		return "", contact.MarkerError
	}
	if len(contact.ForeignEtcd) > 0 {
		return "", fmt.Sprintf("an etcd that this provider did not set up runs on it (%s): stop it and move its data away, or choose another host", strings.Join(contact.ForeignEtcd, ", "))
	}
	marker := report.Marker()
	if marker == nil && report.dataNotEmpty() {
		return "", fmt.Sprintf("data directory %s is not empty, and nothing says whose data that is: move it away, or set data_dir to another directory", c.DataDir)
	}
	if marker != nil && marker.DataDir != c.DataDir && contact.DataNotEmpty {
		return "", fmt.Sprintf("data directory %s is not empty, and the unfinished create on it kept its data in %s: move it away, or set data_dir to another directory", c.DataDir, marker.DataDir)
	}
	if taken := report.takenPorts(); len(taken) > 0 {
		return "", fmt.Sprintf("something else listens on port %s: stop it, or choose other ports", strings.Join(taken, ", "))
	}
	if marker == nil {
		return membership.Bare, ""
	}
	if marker.Phase == api.PhaseFormed {
		if c.unimported(m, report, f) {
			return "", fmt.Sprintf("it runs member %s of a finished cluster %s already, and no state here holds it: import that cluster, or destroy it from the state that holds it", marker.Member, marker.Cluster)
		}
		return membership.Formed, ""
	}
	if !c.owns(*marker, m) || marker.Token != f.Token {
		return membership.Stale, ""
	}
	return membership.Forming, ""
}

// unimported tells whether a host carries a member of a finished cluster that no state here holds.
func (c Cluster) unimported(m membership.Member, report Report, f Formation) bool {
	marker := report.Marker()
	return marker != nil && marker.Phase == api.PhaseFormed && (marker.Owner != f.Owner || !c.owns(*marker, m))
}

// owns tells whether a marker was written by a create of this very cluster, for this very member.
func (c Cluster) owns(marker api.Marker, m membership.Member) bool {
	return marker.Cluster == c.Name && marker.Member == m.Name && marker.InitialCluster == c.InitialCluster() && marker.DataDir == c.DataDir
}

// configured tells whether all that the member runs by is on the host as it is desired.
func (c Cluster) configured(m membership.Member, report Report, f Formation, now time.Time) bool {
	o := report.Observation
	unit, err := c.Unit(o.Facts.MemoryBytes)
	// Without data a member begins anew, which it can as new alone.
	flags := slices.Equal(o.Flags, c.Flags(m, f, StateNew)) ||
		slices.Equal(o.Flags, c.Flags(m, f, StateExisting)) && o.Data.HasMember
	return err == nil && flags &&
		o.Unit.Text == unit &&
		o.Store.Selected == c.Store(report.Contact) &&
		o.Data.Exists &&
		c.certified(m, o.Certificates, now)
}

// knowsAll tells whether a member's own list holds every member, each with its name: a member has
// none until it has joined.
func (c Cluster) knowsAll(view api.Member) bool {
	listed := map[string]bool{}
	for _, entry := range view.Members {
		listed[entry.Name] = true
	}
	for _, m := range c.Members {
		if !listed[m.Name] {
			return false
		}
	}
	return len(view.Members) == len(c.Members)
}

// findLost starts a formation over where it cannot be continued. The members of a new cluster begin
// together, with nothing: one that had joined, and has lost its data since, would vote as if it had
// never confirmed anything, so etcd does not let it start as new again.
//
// Who has joined is what the others say, by the client URLs that a member publishes with its first
// vote; its name is in their lists from the beginning. Where nobody serves, and those with data are
// too few to ever do, nobody will say: then those without data have lost it, or the others never got
// further than their first start, with nothing in it to keep.
func (c Cluster) findLost(reports map[string]Report, observed membership.Observed) {
	joined := map[string]bool{}
	begun, able, formed := 0, 0, 0
	var without []string
	for _, m := range c.Members {
		host, o := observed[m.Name], reports[m.Name].Observation
		if host.Claim == membership.Formed {
			formed++
		}
		going := host.Claim == membership.Forming || host.Claim == membership.Formed
		switch {
		case going && o == nil: // nobody has looked at its data yet
			return
		case going && o.Data.HasMember:
			begun, able = begun+1, able+1
			for _, entry := range o.Member.Members {
				joined[entry.Name] = joined[entry.Name] || len(entry.ClientURLs) > 0
			}
		case going && host.Running && o.Unit.Restarts == 0: // its first start is under way
			able++
		default:
			without = append(without, m.Name)
		}
	}
	lost := len(joined) == 0 && able < membership.Quorum(len(c.Members)) ||
		slices.ContainsFunc(without, func(name string) bool { return joined[name] })
	// A cluster of which every host was handed over is finished, whatever becomes of it.
	if begun == 0 || len(without) == 0 || !lost || formed == len(c.Members) {
		return
	}
	for name, h := range observed {
		if h.Claim == membership.Forming || h.Claim == membership.Formed {
			h.Claim = membership.Stale
			observed[name] = h
		}
	}
}

// spareWritten refuses to set aside what somebody has written to. Revision 1 is that of a store in which
// nothing was ever put.
func (c Cluster) spareWritten(reports map[string]Report, observed membership.Observed) {
	for name, host := range observed {
		o := reports[name].Observation
		if host.Claim == membership.Stale && o != nil && o.Member.Revision > 1 {
			observed[name] = membership.Host{Refused: fmt.Sprintf("an unfinished create that cannot be continued left a member on it, and somebody has written to that since (revision %d): "+
				"save what you need of it, then stop %s and move %s away", o.Member.Revision, api.Unit(c.Name), o.Data.Path)}
		}
	}
}

// marker is the freshest marker that the report holds; nil: the host has none.
func (r Report) Marker() *api.Marker {
	if r.Observation != nil {
		return r.Observation.Marker
	}
	return r.Contact.Marker
}

// dataNotEmpty tells whether something lies in the data directory.
func (r Report) dataNotEmpty() bool {
	if o := r.Observation; o != nil {
		return o.Data.Exists && !o.Data.Empty
	}
	return r.Contact.DataNotEmpty
}

// takenPorts are those of the cluster's ports on which anything but its own member listens. The first
// contact cannot tell the two apart, so it counts only where there is no member yet.
func (r Report) takenPorts() []string {
	var taken []string
	switch o := r.Observation; {
	case o != nil:
		for _, l := range o.Listeners {
			if !l.Ours {
				taken = append(taken, fmt.Sprintf("%d (%s, process %d)", l.Port, l.Process, l.PID))
			}
		}
	case r.Contact.Marker == nil:
		for _, port := range r.Contact.Listening {
			taken = append(taken, fmt.Sprint(port))
		}
	}
	slices.Sort(taken)
	return slices.Compact(taken) // on loopback and on the address, say
}
