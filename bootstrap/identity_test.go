package bootstrap_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// swap has the addresses of two members lead to each other's hosts.
func swap(reports bootstrap.Reports, a, b membership.Member) {
	reports[a], reports[b] = reports[b], reports[a]
}

// cloned is the report of a clone of a machine, which runs beside it.
func cloned(report bootstrap.Report) bootstrap.Report {
	observed := *report.Observation
	observed.Facts.BootID, report.Contact.BootID, report.Observation = "of the clone", "of the clone", &observed
	return report
}

// another is what is learned of a bare machine that nobody has seen before.
func another(m membership.Member) bootstrap.Report {
	report := bare(m)
	report.Contact.MachineID, report.Contact.BootID = "another for "+m.Name, "another for "+m.Name
	return report
}

// disconnect ends the connections that members report with the one of this ID.
func disconnect(reports bootstrap.Reports, id string) {
	for m, report := range reports {
		if report.Observation != nil {
			observed := *report.Observation
			observed.Member.Connected = slices.DeleteFunc(slices.Clone(observed.Member.Connected), func(peer string) bool { return peer == id })
			report.Observation = &observed
			reports[m] = report
		}
	}
}

// down stops a member's unit.
func down(o *api.Observation) {
	o.Unit.ActiveState, o.Unit.Process, o.Member = "inactive", nil, api.Member{Error: "connect: connection refused", ConnectionsUnknown: true}
}

// disconnectDown ends the connections with the members whose units do not run.
func disconnectDown(reports bootstrap.Reports) {
	for _, report := range maps.Clone(reports) {
		if o := report.Observation; o != nil && o.Marker != nil && (o.Unit.ActiveState == "inactive" || o.Unit.ActiveState == "failed") {
			disconnect(reports, o.Marker.MemberID)
		}
	}
}

// TestWaysThatMislead has ways lead to other machines and members than they ought to: each is told from a member that
// is dead or lost, and named with both sides.
func TestWaysThatMislead(t *testing.T) {
	gone := errors.New("no route to host")
	second := membership.Member{Name: "c", Address: "192.0.2.33"}
	for name, test := range map[string]struct {
		arrange func(c *bootstrap.Cluster, reports bootstrap.Reports)
		says    []string // a refusal each; none: the plan goes on
		members string
	}{
		"as it ought to be": {func(*bootstrap.Cluster, bootstrap.Reports) {}, nil, "a b c"},
		"routes swapped": {func(c *bootstrap.Cluster, reports bootstrap.Reports) { swap(reports, c.Members[0], c.Members[1]) },
			[]string{"a (192.0.2.11): its address leads to the machine of member b, which its cluster knows at https://192.0.2.12:2380; check address, ssh_address and ssh_port of a and b, which may have been swapped",
				"b (192.0.2.12): its address leads to the machine of member a"}, "a b c"},
		"one route to another's machine": {func(c *bootstrap.Cluster, reports bootstrap.Reports) { reports[c.Members[0]] = reports[c.Members[1]] },
			[]string{"a (192.0.2.11): its address leads to the machine of member b"}, "a b c"},
		"routes swapped, no quorum": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			for m, report := range reports {
				report.Observation.Member.Members, report.Observation.Member.Healthy = nil, false
				reports[m] = report
			}
			swap(reports, c.Members[0], c.Members[1])
		}, []string{"a (192.0.2.11): its address leads to the machine of member b", "b (192.0.2.12): its address leads to the machine of member a"}, "a b c"},
		"a second address of c": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			old := c.Members[2]
			c.Members[2], reports[second] = second, reports[old]
		}, nil, "a b c(https://192.0.2.13:2380)"},
		"a second address that the machine does not have": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			old := c.Members[2]
			report := reports[old]
			observed := *report.Observation
			observed.Facts.Addresses, report.Observation = []string{"192.0.2.13"}, &observed
			c.Members[2], reports[second] = second, report
		}, []string{"c (192.0.2.33): none of its interfaces has the address 192.0.2.33"}, "a b c(https://192.0.2.13:2380)"},
		"a second address of c, nobody answers": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			old := c.Members[2]
			for m, report := range reports {
				report.Observation.Member = api.Member{}
				reports[m] = report
			}
			c.Members[2], reports[second] = second, reports[old]
		}, nil, "a b c(https://192.0.2.13:2380)"},
		"c is in the list at its second address already, and runs by the first": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			old := c.Members[2]
			for m, report := range reports {
				observed := *report.Observation
				observed.Member.Members = slices.Clone(observed.Member.Members)
				for i, entry := range observed.Member.Members {
					if entry.Name == "c" {
						observed.Member.Members[i].PeerURLs = []string{"https://192.0.2.33:2380"}
					}
				}
				report.Observation = &observed
				reports[m] = report
			}
			c.Members[2], reports[second] = second, reports[old]
		}, nil, "a b c(https://192.0.2.13:2380 moved)"},
		"c runs by its second address already, and is in the list at the first": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			old := c.Members[2]
			c.Members[2], reports[second] = second, reports[old]
			delete(reports, old)
			observed := *reports[second].Observation
			observed.Unit.Process = &api.Process{Flags: []string{"--initial-advertise-peer-urls=https://192.0.2.33:2380"}}
			reports[second] = bootstrap.Report{Contact: reports[second].Contact, Observation: &observed}
		}, nil, "a b c(https://192.0.2.13:2380 there unheard)"},
		"a second address of c, the first unreachable": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			old := c.Members[2]
			c.Members[2], reports[second], reports[old] = second, reports[old], bootstrap.Report{Err: gone}
		}, nil, "a b c(https://192.0.2.13:2380 unheard)"},
		"a second address of c, another machine at the first": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			old := c.Members[2]
			c.Members[2], reports[second], reports[old] = second, reports[old], bare(old)
		}, nil, "a b c(https://192.0.2.13:2380)"},
		"a second address of c, given up": {func(c *bootstrap.Cluster, reports bootstrap.Reports) { reports[second] = reports[c.Members[2]] }, nil, "a b c"},
		"a second address of c, given up, the first unreachable": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			reports[second], reports[c.Members[2]] = reports[c.Members[2]], bootstrap.Report{Err: gone}
		}, nil, "a b c"},
		"a clone of c": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			reports[second] = cloned(reports[c.Members[2]])
			c.Members[2] = second
		}, []string{"c (192.0.2.33): its machine reports that it carries member c, as does c (192.0.2.13): one is a clone of the other"}, "a b c c"},
		"a clone of c, c given its first address": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			reports[second] = reports[c.Members[2]]
			reports[c.Members[2]] = cloned(reports[second])
		}, []string{"c (192.0.2.13): its machine reports that it carries member c, as does c (192.0.2.33): one is a clone of the other"}, "a b c"},
		"a clone of c, on which c does not run": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			reports[c.Members[2]] = cloned(reports[c.Members[2]])
			down(reports[c.Members[2]].Observation)
		}, []string{"c (192.0.2.13): its address leads to a machine on which it does not run, while the member has connections with a, b; if that machine is a clone of the member's, correct address, ssh_address and ssh_port of c"}, "a b c"},
		"a clone of c, whose data is lost": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			reports[c.Members[2]] = cloned(reports[c.Members[2]])
			down(reports[c.Members[2]].Observation)
			reports[c.Members[2]].Observation.Data.HasMember = false
		}, []string{"c (192.0.2.13): its address leads to a machine on which it does not run, while the member has connections with a, b"}, "a b c"},
		"a clone of c, whose data was moved aside": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			reports[c.Members[2]] = cloned(reports[c.Members[2]])
			down(reports[c.Members[2]].Observation)
			reports[c.Members[2]].Observation.Data.HasMember, reports[c.Members[2]].Observation.Flags = false, nil
		}, []string{"c (192.0.2.13): its address leads to a machine on which it does not run, while the member has connections with a, b"}, "a b c"},
		"a clone of c, on which c does not run, at another address": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			old := c.Members[2]
			c.Members[2], reports[second], reports[old] = second, cloned(reports[old]), bootstrap.Report{Err: gone}
			down(reports[second].Observation)
		}, []string{"c (192.0.2.33): its address leads to a machine on which it does not run, while the member has connections with a, b"}, "a b c(https://192.0.2.13:2380 unheard)"},
		"a clone of c, held by another state": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			reports[c.Members[2]] = cloned(reports[c.Members[2]])
			down(reports[c.Members[2]].Observation)
			marker := *reports[c.Members[2]].Observation.Marker
			marker.Owner, reports[c.Members[2]].Observation.Marker = "others", &marker
		}, []string{"c (192.0.2.13): its address leads to a machine that carries member c of a cluster prod that another state manages, while the member has connections with a, b"}, "a b c"},
		"c has stopped": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			down(reports[c.Members[2]].Observation)
			disconnect(reports, "c1")
		}, nil, "a b c"},
		"a bare machine, the stopped member's at another address": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			down(reports[c.Members[2]].Observation)
			reports[second], reports[c.Members[2]] = reports[c.Members[2]], another(c.Members[2])
			disconnect(reports, "c1")
		}, []string{"c (192.0.2.13): its address leads to a machine that carries nothing of it, while the one that carries it answers at 192.0.2.33; check address, ssh_address and ssh_port of c; if it is to be at 192.0.2.33, give it that address"}, "a b c"},
		"the way to a member that leaves, to another's machine": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			reports[c.Members[2]] = reports[c.Members[1]]
			c.Members = c.Members[:2]
		}, []string{"c (192.0.2.13): its address leads to the machine of member b, which its cluster knows at https://192.0.2.12:2380"}, "a b c"},
		"two members on one machine": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			d := membership.Member{Name: "d", Address: "192.0.2.14"}
			e := membership.Member{Name: "e", Address: "192.0.2.15"}
			c.Members = append(c.Members, d, e)
			reports[d], reports[e] = bare(d), bare(d)
		}, []string{"e (192.0.2.15): its address leads to the same machine as that of d (192.0.2.14)"}, "a b c d e"},
		"a machine with what a removed member has left": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			report := reports[c.Members[2]]
			observed, marker := *report.Observation, *report.Observation.Marker
			marker.Member, marker.MemberID, observed.Member.MemberID, observed.Unit.ActiveState = "d", "gone", "", "inactive"
			observed.Marker, report.Observation = &marker, &observed
			reports[c.Members[2]] = report
		}, []string{"c (192.0.2.13): its address leads to a machine that carries member d, which its cluster no longer knows, while c is in the member list"}, "a b c"},
		"another machine, which carries nothing": {func(c *bootstrap.Cluster, reports bootstrap.Reports) { reports[c.Members[2]] = another(c.Members[2]) },
			[]string{"c (192.0.2.13): its address leads to a machine that carries nothing of it, while the member has connections with a, b; check address, ssh_address and ssh_port of c, and where DNS and NAT lead"}, "a b c"},
		"another machine, for a member that is to go": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			reports[c.Members[2]] = another(c.Members[2])
			c.Members = c.Members[:2]
		}, []string{"c (192.0.2.13): its address leads to a machine that carries nothing of it, while the member has connections with a, b"}, "a b c"},
		"another machine, which is unfit": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			report := another(c.Members[2])
			report.Contact.Systemd = false
			reports[c.Members[2]] = report
		}, []string{"c (192.0.2.13): its address leads to a machine that carries nothing of it, while the member has connections with a, b"}, "a b c"},
		"another machine, of a cluster of another state": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			report := another(c.Members[2])
			report.Contact.Marker = &api.Marker{Cluster: "prod", Member: "x", Owner: "others", MemberID: "x1", Phase: api.PhaseFormed}
			reports[c.Members[2]] = report
		}, []string{"c (192.0.2.13): its address leads to a machine that carries member x of a cluster prod that another state manages, while the member has connections with a, b"}, "a b c"},
		"its machine, without its marker": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			report := another(c.Members[2])
			report.Contact.DataNotEmpty = true
			reports[c.Members[2]] = report
		}, nil, "a b c"},
		"its machine, without its marker and with its data elsewhere": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			report := another(c.Members[2])
			report.Contact.Listening = []int{2380}
			reports[c.Members[2]] = report
		}, nil, "a b c"},
		"its machine, held by another state": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			report := another(c.Members[2])
			report.Contact.Marker = &api.Marker{Cluster: "prod", Member: "c", Owner: "others", MemberID: "c1", Phase: api.PhaseFormed}
			reports[c.Members[2]] = report
		}, nil, "a b c"},
		"another machine, without a quorum": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			for m, report := range reports {
				report.Observation.Member.Healthy = false
				reports[m] = report
			}
			reports[c.Members[2]] = another(c.Members[2])
		}, []string{"c (192.0.2.13): its address leads to a machine that carries nothing of it, while the member has connections with a, b"}, "a b c"},
		"a machine that was installed anew": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			reports[c.Members[2]] = another(c.Members[2])
			disconnect(reports, "c1")
		}, nil, "a b c"},
		"another machine, and nobody could tell their connections": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			reports[c.Members[2]] = another(c.Members[2])
			disconnect(reports, "c1")
			for _, m := range c.Members[:2] {
				reports[m].Observation.Member.ConnectionsUnknown = true
			}
		}, []string{"c (192.0.2.13): its address leads to a machine that carries nothing of it, and none of the others could tell in time whether it has connections with the member"}, "a b c"},
		"a machine that was installed anew, and one of the others could not tell": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			reports[c.Members[2]] = another(c.Members[2])
			disconnect(reports, "c1")
			reports[c.Members[0]].Observation.Member.ConnectionsUnknown = true
		}, nil, "a b c"},
		"machine IDs of one image": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			for m, report := range reports {
				report.Contact.MachineID, report.Observation.Facts.MachineID = "of the image", "of the image"
				reports[m] = report
			}
		}, nil, "a b c"},
	} {
		t.Run(name, func(t *testing.T) {
			c := three()
			reports := alive(t, c)
			test.arrange(&c, reports)
			p := c.Status("us", reports, time.Time{})
			var says, members []string
			for _, mistake := range p.Mistakes {
				says = append(says, mistake.Error())
			}
			for _, s := range p.Members {
				text := s.Name
				if s.From != "" {
					text += "(" + s.From
					if s.Moved {
						text += " moved"
					}
					if s.There {
						text += " there"
					}
					if s.Unheard {
						text += " unheard"
					}
					text += ")"
				}
				members = append(members, text)
			}
			if !slices.EqualFunc(says, test.says, strings.HasPrefix) {
				t.Errorf("mistakes:\n%s\nwant\n%s", strings.Join(says, "\n"), strings.Join(test.says, "\n"))
			}
			if got := strings.Join(members, " "); got != test.members {
				t.Errorf("members: %s, want %s", got, test.members)
			}
		})
	}
}

// TestDataOfAnEarlierLife has a member's machine put back to before the member was last built anew: its marker and its
// log agree with each other, and have another ID than the list has for it.
func TestDataOfAnEarlierLife(t *testing.T) {
	for id, want := range map[string]membership.State{"c1": membership.Stopped, "c0": membership.Lost} {
		c := three()
		reports := alive(t, c)
		report := reports[c.Members[2]]
		o := report.Observation
		o.Unit.ActiveState, o.Unit.Process, o.Member = "inactive", nil, api.Member{Error: "connect: connection refused"}
		o.Marker.MemberID, o.Data.Log = id, &api.Log{ClusterID: "c1", MemberID: id, Term: 2, Index: 100}
		disconnect(reports, "c1")
		if s := c.Status("us", reports, time.Time{}).Member(c.Members[2]); s.State != want {
			t.Errorf("with the data of %s it is %s (%s), want %s", id, s.State, s.Why, want)
		}
	}
}
