package bootstrap

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/clocks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Report is what was learned about one host: the first contact, and the observation too if a store was there to make
// it. Err is set if the host could not be observed.
type Report struct {
	Contact     api.Contact
	Observation *api.Observation
	Err         error
	// Data is a letter for the data that a voter holds, set if members' data was compared: voters with the same letter
	// hold the same data. Empty: not compared.
	Data string
	// Clock compares the host's clock with the operator's.
	Clock clocks.Clock
}

// Resume returns the formation to continue: that of an unfinished create of this very cluster on its hosts, or fresh.
func (c Cluster) Resume(reports map[string]Report, fresh Formation) Formation {
	for _, m := range c.Members {
		if marker := reports[m.Name].Marker(); marker != nil && marker.Phase == api.PhaseForming && c.owns(*marker, m) {
			return Formation{Owner: marker.Owner, Token: marker.Token}
		}
	}
	return fresh
}

// Assess compares what the hosts reported with what is desired. Certificates are checked for validity at now.
func (c Cluster) Assess(reports map[string]Report, f Formation, now time.Time) membership.Observed {
	c = c.Peered()
	observed := membership.Observed{}
	var reached []located
	for _, m := range c.Members {
		report, known := reports[m.Name]
		if !known {
			continue
		}
		host := c.assess(m, report, f, now)
		is := identity{machine: report.Machine(), boot: report.Boot()}
		if i := slices.IndexFunc(reached, func(other located) bool { return is.oneMachine(other.at) }); i >= 0 && host.Refused == "" {
			refusal := onOneMachine(m, reached[i].Member)
			host.Refused = refusal.Error()
		}
		reached = append(reached, located{m, is})
		observed[m.Name] = host
	}
	c.findLost(reports, observed)
	c.refuseWritten(reports, observed)
	return observed
}

// located is a member and the machine that its address leads to.
type located struct {
	membership.Member
	at identity
}

// assess compares one host with what is desired of it.
func (c Cluster) assess(m membership.Member, report Report, f Formation, now time.Time) membership.Host {
	if report.Err != nil {
		return membership.Host{Refused: report.Err.Error()}
	}
	claim, refused := c.claim(m, report, f)
	if refused != "" && c.unimported(m, report, f) {
		return membership.Host{Refused: refused, Unimported: true}
	}
	if refused == "" {
		refused = cmp.Or(c.unfit(report.Contact), addressMissing(m, report))
	}
	if under := restoring(report); under != "" && refused == "" {
		refused = fmt.Sprintf("a restore of %s is under way on it: put `restore` back into the configuration to finish it", under)
	}
	refused = cmp.Or(refused, c.unfilterable(report))
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
	host.Configured = c.configured(m, report, f, now) && c.filtersAsDesired(o)
	host.Unbacked, host.Unrenewed = c.Unbacked(o), c.Unrenewed(m, o)
	host.Ready = host.Running && o.Member.Ready && o.Member.Healthy && c.knowsAll(o.Member)
	if host.Ready {
		host.ClusterID, host.Leader = o.Member.ClusterID, o.Member.Leader
	}
	return host
}

// claim returns what the host is to this create, or why the create may not use it.
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

// unimported tells whether a host carries a member of a finished cluster that this state does not hold.
func (c Cluster) unimported(m membership.Member, report Report, f Formation) bool {
	marker := report.Marker()
	return marker != nil && marker.Phase == api.PhaseFormed && (marker.Owner != f.Owner || !c.owns(*marker, m))
}

// owns tells whether a create of this very cluster wrote the marker, for this very member.
func (c Cluster) owns(marker api.Marker, m membership.Member) bool {
	return marker.Cluster == c.Name && marker.Member == m.Name && marker.InitialCluster == c.InitialCluster() && marker.DataDir == c.DataDir
}

// configured tells whether everything that the member runs by is on the host as desired.
func (c Cluster) configured(m membership.Member, report Report, f Formation, now time.Time) bool {
	o := report.Observation
	unit, err := c.Unit(o.Facts.MemoryBytes)
	// A member without data begins anew, which it can do only as new.
	flags := slices.Equal(o.Flags, c.Flags(m, f, StateNew)) ||
		slices.Equal(o.Flags, c.Flags(m, f, StateExisting)) && o.Data.HasMember
	return err == nil && flags &&
		o.Unit.Text == unit &&
		o.Store.Selected == c.Store(report.Contact) &&
		o.Data.Exists &&
		c.certified(m, o.Certificates, now)
}

// knowsAll tells whether a member lists every member with its name. A member has no name in the list before it has
// joined.
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

// findLost starts a formation over if it cannot be continued. The members of a new cluster start together, without
// data. A member that had joined and lost its data since would vote as if it had never confirmed anything, so etcd
// does not let it start as new again.
//
// The other members tell who has joined, by the client URLs that a member publishes with its first vote; names are in
// their lists from the beginning. If nobody serves, and those with data are too few to ever do so, nobody will tell.
// Then the members without data have lost it, or the others never got further than their first start, with nothing in
// them to keep.
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
		case going && o == nil: // its data was not observed yet
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
	// A cluster whose hosts were all handed over is finished, whatever becomes of it.
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

// refuseWritten refuses to set data aside that somebody has written to, as far as is known. A store that was never
// written to is at revision 1.
func (c Cluster) refuseWritten(reports map[string]Report, observed membership.Observed) {
	for name, host := range observed {
		o := reports[name].Observation
		if host.Claim != membership.Stale || host.Refused != "" || o == nil {
			continue
		}
		if revision := revisionOf(*o); revision > 1 {
			observed[name] = membership.Host{Refused: fmt.Sprintf("an unfinished create that cannot be continued left a member on it, and somebody has written to that since (revision %d): "+
				"save what you need of it, then stop %s and move %s away", revision, api.Unit(c.Name), o.Data.Path)}
		}
	}
}

// revisionOf returns the newest revision that a member answers with, or that its database has if it is stopped; 0 if
// neither is known.
func revisionOf(o api.Observation) int64 {
	if o.Data.Log != nil {
		return max(o.Member.Revision, o.Data.Log.Revision)
	}
	return o.Member.Revision
}

// Marker returns the latest marker that the report holds, or nil.
func (r Report) Marker() *api.Marker {
	if r.Observation != nil {
		return r.Observation.Marker
	}
	return r.Contact.Marker
}

// dataNotEmpty tells whether the data directory holds anything.
func (r Report) dataNotEmpty() bool {
	if o := r.Observation; o != nil {
		return o.Data.Exists && !o.Data.Empty
	}
	return r.Contact.DataNotEmpty
}

// takenPorts lists the cluster's ports on which something else than its own member listens. The first contact cannot
// tell the two apart, so it counts only if there is no member yet.
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
			text := fmt.Sprint(port)
			if who := r.Contact.Holders[port]; who != "" {
				text += " (" + who + ")"
			}
			taken = append(taken, text)
		}
	}
	slices.Sort(taken)
	return slices.Compact(taken) // e.g. on loopback and on the address
}

// Barrier returns what keeps a run out of a host that answers, or "" if the host does not answer or lets the run in.
func Barrier(err error) api.Barrier {
	var barred *api.Barred
	var said *api.Error
	switch {
	case errors.As(err, &barred):
		return barred.Barrier
	case errors.As(err, &said): // the program there has answered that it could not do it
		return api.BarrierProgram
	}
	return ""
}

// remedy returns what lets a run into a host that answers, or "" if the host does not answer or lets the run in.
func remedy(err error) string {
	if barrier := Barrier(err); barrier != "" {
		return barrier.Remedy()
	}
	return ""
}

// ErrStillAtWork is the error of a host that a run leaves alone, since a call of an earlier run has not ended there.
// Its data disk may hang.
var ErrStillAtWork = errors.New("a call of an earlier run is still at work on its host")

// WhyUnasked returns why a host could not be observed, in the same words each time.
func WhyUnasked(err error) string {
	if barrier := Barrier(err); barrier != "" {
		return barrier.Why()
	}
	if errors.Is(err, ErrStillAtWork) {
		return ErrStillAtWork.Error()
	}
	return "its host cannot be reached"
}
