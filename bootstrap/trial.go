package bootstrap

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/preflight"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// A trial is what the hosts of new members, and of those that they are to work with, try together once the store is
// there and before anything else is.

// trialTimeout is how long hosts try to reach each other. A busy host may begin seconds after the others. Only a peer
// that does not answer takes all of it.
const trialTimeout = 30 * time.Second

// Newcomers returns the members that the steps bring to a host without a part of the cluster, or to another address of
// their host, and whose hosts have a store to call.
func (c Cluster) Newcomers(steps []membership.Step, reports Reports) (members []membership.Member) {
	for _, m := range c.Members {
		o := reports[m].Observation
		if o == nil || !c.Carries(o.Store.SHA256) {
			continue
		}
		if slices.ContainsFunc(steps, func(s membership.Step) bool {
			if s.Subject() != m {
				return false
			}
			switch s.Kind {
			case membership.Configure, membership.AddLearner, membership.Join, membership.Restore:
				return o.Marker == nil
			}
			return s.Kind == membership.Readdress
		}) {
			members = append(members, m)
		}
	}
	return members
}

// Trial returns what each host is asked to try for the newcomers. Hosts without a request are not asked. What the user
// has waived is not tried.
func (c Cluster) Trial(newcomers []membership.Member, reports Reports, token string) map[membership.Member]api.PreflightRequest {
	isNew := func(m membership.Member) bool { return slices.Contains(newcomers, m) }
	tries := func(id string) bool { return !slices.Contains(c.Waived, id) }
	var hosts []membership.Member
	for m, report := range reports {
		// A member whose newcomer has its name leaves or moves.
		sameName := slices.ContainsFunc(newcomers, func(n membership.Member) bool { return n.Name == m.Name })
		if isNew(m) || !sameName && c.worksWith(m, report) {
			hosts = append(hosts, m)
		}
	}
	slices.SortFunc(hosts, func(a, b membership.Member) int { return strings.Compare(a.Name+" "+a.Address, b.Name+" "+b.Address) })
	asked := slices.DeleteFunc(slices.Clone(hosts), func(m membership.Member) bool { return !c.Carries(reports[m].Observation.Store.SHA256) })
	requests := map[membership.Member]api.PreflightRequest{}
	for _, m := range asked {
		request := api.PreflightRequest{Member: m.Name, Token: token, Timeout: trialTimeout}
		// A member that only moves to another address keeps the disk that it has.
		if isNew(m) && reports[m].Observation.Marker == nil && slices.Contains(c.Inspects, m) && tries(preflight.FsyncLatency) {
			request.DataDir = c.DataDir
		}
		for _, other := range hosts {
			if other.Name == m.Name || !isNew(m) && !isNew(other) || !tries(preflight.PeerUnreachable) {
				continue
			}
			listens, isAsked := c.listens(other, reports[other]), slices.Contains(asked, other)
			if !listens && !isAsked {
				continue // a member with an older store, which is to move to this port
			}
			if isAsked && lets(reports[m], other) {
				request.Await = append(request.Await, other.Name)
			}
			if lets(reports[other], m) {
				request.Dial = append(request.Dial, api.PreflightPeer{Member: other.Name, At: c.peerAt(other), Answers: !listens})
			}
		}
		if address, err := netip.ParseAddr(m.Address); err == nil && address.Is4() && !address.IsLoopback() {
			request.From = m.Address // as members do: SetMemberLocalAddr
		}
		if len(request.Await) > 0 && !c.listens(m, reports[m]) {
			request.Listen = net.JoinHostPort(listenOn(m.Address), strconv.Itoa(c.PeerPort))
		} else {
			request.Await = nil
		}
		if tries(preflight.NameResolution) && len(hosts) > 1 {
			request.Names = namesAmong(hosts)
		}
		if request.DataDir != "" || len(request.Dial) > 0 || len(request.Names) > 0 {
			requests[m] = request
		}
	}
	return requests
}

// lets tells whether the firewall of a host lets a member in. A host of an unfinished create may have the firewall of
// other members still: it gets its own with its configuration, and until then nobody can try to reach it.
func lets(host Report, m membership.Member) bool {
	f := host.Observation.Firewall
	return f == nil || f.Differs == "" && slices.Contains(f.Peers, m.Address)
}

// worksWith tells whether new members are going to work with a member at once: it is healthy, or it is formed together
// with them.
func (c Cluster) worksWith(m membership.Member, report Report) bool {
	o := report.Observation
	if o == nil || o.Marker == nil || o.Marker.Cluster != c.Name || o.Marker.Member != m.Name {
		return false
	}
	return o.Member.Healthy || o.Marker.Phase == api.PhaseForming && slices.Contains(c.Members, m)
}

// listens tells whether something on a member's host listens at the address and port where peers reach the member.
func (c Cluster) listens(m membership.Member, report Report) bool {
	at, err := netip.ParseAddr(listenOn(m.Address))
	return err == nil && slices.ContainsFunc(report.Observation.Listeners, func(l api.Listener) bool {
		on, err := netip.ParseAddr(l.Address)
		return l.Port == c.PeerPort && (err != nil || on.IsUnspecified() || at.IsUnspecified() || on.Unmap() == at.Unmap())
	})
}

// peerAt returns where peers dial a member.
func (c Cluster) peerAt(m membership.Member) string {
	return net.JoinHostPort(m.Address, strconv.Itoa(c.PeerPort))
}

// namesAmong returns the addresses that are names.
func namesAmong(members []membership.Member) (names []string) {
	for _, m := range members {
		if _, err := netip.ParseAddr(m.Address); err != nil && !slices.Contains(names, m.Address) {
			names = append(names, m.Address)
		}
	}
	return names
}

// AssessTrial returns what the user is warned of by what the hosts have found out, and what keeps the newcomers from
// becoming members, all of it in one error.
func (c Cluster) AssessTrial(newcomers []membership.Member, requests map[membership.Member]api.PreflightRequest, results map[membership.Member]api.Preflight) (doubts []string, refused error) {
	var refusals []error
	take := func(m membership.Member, f preflight.Finding) {
		if f.Severity != preflight.Error {
			doubts = append(doubts, fmt.Sprintf("%s: %s (%s)", m, f, f.ID))
			return
		}
		refusals = append(refusals, &membership.Refusal{Member: m.Name, At: m.Address, Rule: f.Text, Remedy: howToWaive(f)})
	}
	var apart []string
	hosts := slices.SortedFunc(maps.Keys(results), func(a, b membership.Member) int { return strings.Compare(a.Name+" "+a.Address, b.Name+" "+b.Address) })
	for _, m := range hosts {
		request, result := requests[m], results[m]
		if result.Appends != nil {
			for _, f := range preflight.Slow(request.DataDir, *result.Appends, c.MaxFsyncP99) {
				take(m, f)
			}
		}
		if result.AppendError != "" {
			f := preflight.Found(preflight.FsyncLatency, "the disk of %s could not be measured: %s", request.DataDir, result.AppendError)
			f.Severity = preflight.Error
			take(m, f)
		}
		if result.ListenError != "" {
			apart = append(apart, fmt.Sprintf("%s cannot listen on %s (%s)", m.Name, request.Listen, result.ListenError))
		}
		for _, peer := range request.Dial {
			if why, failed := result.Unreached[peer.Member]; failed && !deaf(peer.Member, requests, results) {
				apart = append(apart, fmt.Sprintf("%s cannot reach %s:%d (%s)", m.Name, peer.Member, c.PeerPort, why))
			}
		}
	}
	all := func(id string, texts []string) {
		if len(texts) > 0 {
			f := preflight.Found(id, "%s", strings.Join(texts, "; "))
			refusals = append(refusals, &membership.Refusal{Rule: f.Text, Remedy: howToWaive(f)})
		}
	}
	all(preflight.PeerUnreachable, apart)
	names := lookups{newcomers, hosts, requests, results}
	var differing []string
	for _, name := range names.all() {
		switch text := names.disagreement(name); {
		case text == "":
		case names.misleads(name):
			differing = append(differing, text)
		default:
			doubts = append(doubts, fmt.Sprintf("%s (%s)", text, preflight.NameResolution))
		}
	}
	all(preflight.NameResolution, differing)
	return doubts, membership.JoinRefusals(refusals...)
}

// howToWaive says what a user can do about an error that can be waived.
func howToWaive(f preflight.Finding) string {
	return fmt.Sprintf("%s; to use the hosts all the same: preflight.waive = [%q]", f.Remedy, f.ID)
}

// deaf tells whether a member's host could not listen, or did not say whether it could, so that it is no wonder that
// nobody reaches it.
func deaf(member string, requests map[membership.Member]api.PreflightRequest, results map[membership.Member]api.Preflight) bool {
	for m, request := range requests {
		if m.Name != member || request.Listen == "" {
			continue
		}
		if result, told := results[m]; !told || result.ListenError != "" {
			return true
		}
	}
	return false
}

// lookups are what the names of members lead to on the hosts of a trial.
type lookups struct {
	newcomers, hosts []membership.Member
	requests         map[membership.Member]api.PreflightRequest
	results          map[membership.Member]api.Preflight
}

// all returns all names that hosts have looked up, sorted.
func (l lookups) all() []string {
	names := map[string]bool{}
	for _, result := range l.results {
		for name := range result.Lookups {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// on returns what a name leads to on a host. A host may know its own name as an address of loopback, as Debian has it,
// which says nothing.
func (l lookups) on(m membership.Member, name string) (found api.Lookup, says bool) {
	found, asked := l.results[m].Lookups[name]
	if m.Address == name {
		found.Addresses = slices.DeleteFunc(slices.Clone(found.Addresses), isLoopback)
	}
	return found, asked && (found.Error != "" || len(found.Addresses) > 0)
}

// disagreement returns what a name leads to on each host if that differs, or if a host cannot look it up, and "" if the
// hosts agree.
func (l lookups) disagreement(name string) string {
	answers := map[string]bool{}
	var told []string
	for _, m := range l.hosts {
		found, says := l.on(m, name)
		if !says {
			continue
		}
		answer := "to " + strings.Join(found.Addresses, ", ")
		if found.Error != "" {
			answer = "nowhere (" + found.Error + ")"
			answers["an error"] = true
		}
		answers[answer] = true
		told = append(told, fmt.Sprintf("%s on %s", answer, m.Name))
	}
	if len(answers) < 2 {
		return ""
	}
	return fmt.Sprintf("the name %s leads %s", name, strings.Join(told, ", "))
}

// misleads tells whether a name on which hosts disagree keeps the newcomers from becoming members. The names of running
// members may lead to different addresses on their hosts, as long as each newcomer agrees with one of them. The name of
// a newcomer may if every host that dialed the newcomer by it has reached the newcomer.
func (l lookups) misleads(name string) bool {
	isNew := func(m membership.Member) bool { return slices.Contains(l.newcomers, m) }
	if owner := slices.IndexFunc(l.newcomers, func(m membership.Member) bool { return m.Address == name }); owner >= 0 {
		return !l.reached(l.newcomers[owner])
	}
	return slices.ContainsFunc(l.hosts, func(m membership.Member) bool {
		mine, says := l.on(m, name)
		return isNew(m) && says && !slices.ContainsFunc(l.hosts, func(other membership.Member) bool {
			theirs, says := l.on(other, name)
			return !isNew(other) && says && slices.ContainsFunc(mine.Addresses, func(a string) bool { return slices.Contains(theirs.Addresses, a) })
		})
	})
}

// reached tells whether the host of a newcomer has itself answered all that dialed it, of which there is at least one.
func (l lookups) reached(newcomer membership.Member) bool {
	dialed := false
	for m, result := range l.results {
		for _, peer := range l.requests[m].Dial {
			if peer.Member != newcomer.Name {
				continue
			}
			if _, failed := result.Unreached[peer.Member]; failed || !peer.Answers {
				return false
			}
			dialed = true
		}
	}
	return dialed
}

func isLoopback(text string) bool {
	address, err := netip.ParseAddr(text)
	return err == nil && address.IsLoopback()
}
