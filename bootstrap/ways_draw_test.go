package bootstrap_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// machine is a machine as it really is, whatever leads to it.
type machine struct {
	is      string // what it is, for messages
	carries string // the member whose marker it has; empty: none of this cluster
	of      string // the member whose machine it is, or a clone of; empty: nobody's
	clone   bool
	serves  bool // its member runs
	report  bootstrap.Report
}

// site is a cluster with all machines that there are, and where the addresses of its members lead.
type site struct {
	cluster bootstrap.Cluster
	own     map[string]*machine            // the members' machines, by name
	ways    map[membership.Member]*machine // nil: no answer
	stale   map[membership.Member]bool     // what is known of the machine is from before it was booted
	leaves  map[string]bool                // members that are to go from where they are
	alone   bool                           // the members that run are no quorum
	fresh   map[membership.Member]*machine // of members that are to come
}

// reports are what is learned at the addresses.
func (s site) reports() bootstrap.Reports {
	reports := bootstrap.Reports{}
	for m, to := range s.ways {
		if to == nil {
			reports[m] = bootstrap.Report{Err: errors.New("no route to host")}
			continue
		}
		reports[m] = to.report
		if s.stale[m] {
			report := to.report
			report.Contact.BootID = "before"
			reports[m] = report
		}
	}
	return reports
}

// planned is what comes of it.
func (s site) planned() (membership.ClusterStatus, plan.Plan, error) {
	p := s.cluster.Status("us", s.reports(), time.Time{})
	p.Saved = true
	planned, err := plan.Change(p, s.cluster.Spec)
	return p, planned, err
}

// members are all that have an address, in order.
func (s site) members() []membership.Member {
	return slices.SortedFunc(maps.Keys(s.ways), func(a, b membership.Member) int { return strings.Compare(a.Name+a.Address, b.Name+b.Address) })
}

// told tells whether a member that serves, other than this one, was reached and has been seen to be connected with it.
func (s site) told(name string) bool {
	for m, to := range s.ways {
		if to != nil && to.serves && !s.stale[m] && slices.Contains(to.report.Observation.Member.Connected, name+"1") {
			return true
		}
	}
	return false
}

var fiveAddresses = []string{"192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14", "192.0.2.15"}

// drawSite draws a cluster, what is the matter with its members, and what is asked of it. Every address leads where it
// ought to, or nobody answers there.
func drawSite(rt *rapid.T, all map[int]bootstrap.Reports) site {
	addresses := fiveAddresses[:rapid.SampledFrom([]int{3, 5}).Draw(rt, "size")]
	s := site{cluster: cluster(addresses...), own: map[string]*machine{}, ways: map[membership.Member]*machine{}, stale: map[membership.Member]bool{}, leaves: map[string]bool{}, fresh: map[membership.Member]*machine{}}
	runs := map[string]bool{}
	worse := rapid.IntRange(0, 4).Draw(rt, "many are down") == 0
	for _, m := range s.cluster.Members {
		report := all[len(addresses)][m]
		o := new(*report.Observation)
		report.Observation, o.Member.Connected = o, slices.Clone(o.Member.Connected)
		condition := rapid.IntRange(0, 13).Draw(rt, "condition of "+m.Name)
		if worse {
			condition %= 3
		}
		runs[m.Name] = condition > 3
		is := m.Name + ", which serves"
		switch condition {
		case 0, 1:
			down(o)
			is = m.Name + ", stopped"
		case 2:
			down(o)
			o.Data.HasMember, o.GuardCheck, o.Guard = false, api.GuardData, "it holds no data"
			is = m.Name + ", without data"
		case 3:
			report = bare(m)
			is = m.Name + ", installed anew"
		case 4:
			o.Flags = append(slices.Clip(o.Flags), "--log-level=debug")
		}
		s.own[m.Name] = &machine{is: is, carries: m.Name, of: m.Name, serves: runs[m.Name], report: report}
		if report.Observation == nil {
			s.own[m.Name].carries = ""
		}
	}
	s.alone = len(slices.DeleteFunc(slices.Clone(s.cluster.Members), func(m membership.Member) bool { return !runs[m.Name] })) < membership.Quorum(len(s.cluster.Members))
	for i, m := range s.cluster.Members {
		o := s.own[m.Name].report.Observation
		if o == nil {
			continue
		}
		o.Member.Connected = slices.DeleteFunc(o.Member.Connected, func(id string) bool { return !runs[strings.TrimSuffix(id, "1")] })
		if s.alone || !runs[m.Name] {
			o.Member.Healthy, o.Member.Ready, o.Member.Leader = false, false, ""
			o.Data.Log = &api.Log{ClusterID: "c1", MemberID: m.Name + "1", Term: 2, Index: uint64(100 + rapid.IntRange(0, 2).Draw(rt, "log of "+m.Name))}
		} else if leader := s.cluster.Members[slices.IndexFunc(s.cluster.Members, func(m membership.Member) bool { return runs[m.Name] })]; i >= 0 {
			o.Member.Leader = leader.Name + "1"
		}
	}
	s.ask(rt)
	if rapid.Bool().Draw(rt, "machine IDs of one image") {
		for _, to := range s.machines() {
			to.report.Contact.MachineID = "of the image"
		}
	}
	for _, m := range s.members() {
		if rapid.IntRange(0, 11).Draw(rt, "answer of "+m.Name+" at "+m.Address) == 0 {
			s.ways[m] = nil
		}
	}
	if s.alone && rapid.Bool().Draw(rt, "recovered") {
		s.cluster.Recover.Member = rapid.SampledFrom(s.cluster.Members).Draw(rt, "from").Name
		for _, m := range s.cluster.Members {
			if m.Name != s.cluster.Recover.Member {
				s.cluster.Recover.Abandons = append(s.cluster.Recover.Abandons, m.Name)
			}
		}
	}
	return s
}

// machines are all that addresses lead to.
func (s site) machines() (all []*machine) {
	for _, m := range s.members() {
		if to := s.ways[m]; to != nil && !slices.Contains(all, to) {
			all = append(all, to)
		}
	}
	return all
}

// ask draws what is asked of the members.
func (s *site) ask(rt *rapid.T) {
	s.cluster.Built = map[string]string{}
	fewer := len(s.cluster.Members) == 5 && rapid.IntRange(0, 4).Draw(rt, "fewer members") == 0
	desired := slices.Clone(s.cluster.Members)
	for i, m := range s.cluster.Members {
		s.ways[m] = s.own[m.Name]
		at := membership.Member{Name: m.Name, Address: fmt.Sprintf("192.0.2.3%d", i+1)}
		switch rapid.IntRange(0, 11).Draw(rt, "asked of "+m.Name) {
		case 0: // a second address, which nobody asks for
			s.ways[at] = s.own[m.Name]
		case 1:
			s.ways[at], desired[i] = s.own[m.Name], at
		case 2: // to another machine
			at.Address = fmt.Sprintf("192.0.2.2%d", i+1)
			s.fresh[at] = &machine{is: "a fresh one", report: another(at)}
			s.ways[at], desired[i], s.leaves[m.Name] = s.fresh[at], at, true
		case 3:
			s.cluster.Rebuild, s.leaves[m.Name] = append(s.cluster.Rebuild, m.Name), true
			s.cluster.Built[m.Name] = "again"
		}
	}
	if fewer {
		gone := rapid.IntRange(0, 3).Draw(rt, "who goes")
		for _, m := range s.cluster.Members[gone : gone+2] {
			s.leaves[m.Name] = true
		}
		desired = slices.Delete(desired, gone, gone+2)
	}
	s.cluster.Members = desired
}

// cloneOf is a second machine with all that a member's has: its machine ID, marker, keys and data.
func (s site) cloneOf(name string, condition string) *machine {
	of := s.own[name]
	clone := &machine{is: "a clone of " + of.is + ", " + condition, carries: of.carries, of: name, clone: true, report: of.report}
	clone.report.Contact.BootID = "of the clone"
	if of.report.Observation == nil {
		return clone
	}
	o := *of.report.Observation
	switch condition {
	case "stopped", "without data", "set aside":
		down(&o)
		o.Data.Log = &api.Log{ClusterID: "c1", MemberID: name + "1", Term: 2, Index: 90}
		switch condition {
		case "without data":
			o.Data.HasMember, o.Data.Log, o.GuardCheck, o.Guard = false, nil, api.GuardData, "it holds no data"
		case "set aside":
			o.Data.HasMember, o.Data.Log, o.Flags = false, nil, nil
			clone.carries = ""
		}
	default:
		clone.serves = of.serves
	}
	clone.report.Observation = &o
	return clone
}

// ofAnotherOwner is a machine with a member of the same cluster name that another state manages.
func (s site) ofAnotherOwner(name string, observed bool) *machine {
	of := s.own[name]
	marker := s.cluster.Marker(membership.Member{Name: name, Address: "198.51.100.7"}, bootstrap.Formation{Owner: "them", Token: "t"}, api.PhaseFormed)
	marker.MemberID, marker.ClusterID = "9"+name, "9"
	report := another(membership.Member{Name: name})
	report.Contact.Marker = &marker
	if observed && of.report.Observation != nil {
		o := *of.report.Observation
		o.Marker, o.Member = &marker, api.Member{Responding: true, Healthy: true, Ready: true, ClusterID: "9", MemberID: marker.MemberID, Leader: marker.MemberID,
			Members: []api.ListedMember{{ID: marker.MemberID, Name: name, PeerURLs: []string{"https://198.51.100.7:2380"}}}}
		report.Observation = &o
	}
	return &machine{is: "another owner's, with a member " + name, of: "another", report: report}
}

// ofAnotherCluster is a machine that carries a cluster of another name, which has our ports, or whose marker lies where
// ours ought to.
func (s site) ofAnotherCluster(m membership.Member, marked bool) *machine {
	report := another(m)
	if marked {
		report.Contact.MarkerError = "its cluster.json cannot be read: it is of cluster test"
		return &machine{is: "another cluster's, with its marker", of: "another", report: report}
	}
	report.Contact.Listening = s.cluster.Ports()
	return &machine{is: "another cluster's, on the same ports", of: "another", report: report}
}

// mistake is what somebody has mistaken: which addresses lead elsewhere, and whom has to be named if it can be seen.
type mistake struct {
	is   string
	ways map[membership.Member]*machine
	old  membership.Member // what is known of it is from before a boot
}

// drawMistake draws a mistake.
func (s site) drawMistake(rt *rapid.T, label string) mistake {
	members := s.members()
	m := rapid.SampledFrom(members).Draw(rt, label+" of")
	other := rapid.SampledFrom(members).Draw(rt, label+" with")
	condition := rapid.SampledFrom([]string{"as it is", "stopped", "without data", "set aside"}).Draw(rt, label+" finds it")
	one := func(is string, to *machine) mistake {
		return mistake{is: fmt.Sprintf("%s: %s leads to %s", is, m, to.is), ways: map[membership.Member]*machine{m: to}}
	}
	switch rapid.IntRange(0, 7).Draw(rt, label) {
	case 0:
		return mistake{is: fmt.Sprintf("%s and %s are swapped", m, other), ways: map[membership.Member]*machine{m: s.ways[other], other: s.ways[m]}}
	case 1:
		return one("another's machine", s.own[other.Name])
	case 2:
		return one("a bare machine", &machine{is: "a bare one", report: another(m)})
	case 3:
		return one("a clone", s.cloneOf(m.Name, condition))
	case 4:
		return one("a clone of another's", s.cloneOf(other.Name, condition))
	case 5:
		return one("another owner's", s.ofAnotherOwner(m.Name, condition == "stopped"))
	case 6:
		return one("another cluster's", s.ofAnotherCluster(m, condition == "stopped"))
	}
	return mistake{is: fmt.Sprintf("%s was booted since", m), old: m}
}

// with is the site with a mistake.
func (s site) with(mistakes ...mistake) site {
	s.ways, s.stale = maps.Clone(s.ways), map[membership.Member]bool{}
	for _, made := range mistakes {
		maps.Copy(s.ways, made.ways)
		if made.old != (membership.Member{}) {
			s.stale[made.old] = true
		}
	}
	return s
}
