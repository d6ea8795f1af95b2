package bootstrap_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
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

// TestWaysDrawn draws where the ways to members lead. Whoever is shown as dead or lost is so by a way that leads to the
// member's own machine, and a way that leads elsewhere is refused or is no member.
func TestWaysDrawn(t *testing.T) {
	sample.Check(t, 500, func(rt *rapid.T) {
		c := cluster("192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14", "192.0.2.15")
		right := alive(t, c)
		members := slices.Clone(c.Members)
		for i, m := range c.Members {
			if rapid.IntRange(0, 5).Draw(rt, "second address of "+m.Name) == 0 {
				at := membership.Member{Name: m.Name, Address: "192.0.2.3" + string(rune('1'+i))}
				members = append(members, at)
				if rapid.Bool().Draw(rt, "wanted") {
					c.Members[i] = at
				}
			}
		}
		reports, leads, stray := bootstrap.Reports{}, map[membership.Member]membership.Member{}, map[membership.Member]bool{}
		machines := slices.Clone(cluster("192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14", "192.0.2.15").Members)
		for _, m := range members {
			to := machines[m.Name[0]-'a']
			switch rapid.IntRange(0, 7).Draw(rt, "way to "+m.Name) {
			case 0:
				to = rapid.SampledFrom(machines).Draw(rt, "to")
			case 1:
				reports[m] = bootstrap.Report{Err: errors.New("no route to host")}
				continue
			case 2:
				reports[m], stray[m] = another(m), true
				continue
			}
			reports[m], leads[m] = right[to], to
		}
		p := c.Status("us", reports, time.Time{})
		for _, s := range p.Members {
			to, reached := leads[s.Member]
			mistaken := slices.ContainsFunc(p.Mistakes, func(r membership.Refusal) bool { return r.Member == s.Name && r.At == s.Address })
			if s.From != "" && (to.Name != s.Name || s.Member == to || s.From != c.PeerURL(to)) {
				rt.Fatalf("%s is to be re-addressed from %s, and its way leads to %s", s, s.From, to.Name)
			}
			if reached && to != s.Member && !mistaken && s.From == "" {
				rt.Fatalf("the way to %s leads to %s, and nobody says so:\n%+v", s, to.Name, p.Mistakes)
			}
			asked := slices.ContainsFunc(slices.Collect(maps.Values(leads)), func(at membership.Member) bool { return at.Name != s.Name })
			if stray[s.Member] && slices.Contains(machines, s.Member) && asked && !mistaken {
				rt.Fatalf("the way to %s leads to a bare machine, and nobody says so:\n%+v", s, p.Mistakes)
			}
			if reached && (s.State == membership.Lost || s.State == membership.Missing) {
				rt.Fatalf("%s is %s (%s), and its way leads to %s", s, s.State, s.Why, to.Name)
			}
		}
	})
}

// TestPlansByWaysDrawn draws where the ways to members lead, which members are to be re-addressed, replaced or built
// anew, and what is the matter with them, and plans. Whatever that comes to, no host is touched in another member's
// name, or by a way that nobody has gone; and of those that serve nobody is stopped, removed, retired or set aside who
// is not to go.
func TestPlansByWaysDrawn(t *testing.T) {
	planned, refused := 0, 0
	sample.Check(t, 1000, func(rt *rapid.T) {
		c := cluster("192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14", "192.0.2.15")
		right := alive(t, c)
		machines := slices.Clone(c.Members)
		well := map[string]bool{}
		for _, m := range machines {
			well[m.Name] = true
			report := right[m]
			observed := *report.Observation
			switch rapid.IntRange(0, 11).Draw(rt, "condition of "+m.Name) {
			case 0:
				well[m.Name], observed.Unit.ActiveState, observed.Unit.Process, observed.Member = false, "inactive", nil, api.Member{Error: "connect: connection refused"}
			case 1:
				well[m.Name], observed.Unit.ActiveState, observed.Unit.Process, observed.Member = false, "inactive", nil, api.Member{Error: "connect: connection refused"}
				observed.Data.HasMember, observed.GuardCheck, observed.Guard = false, api.GuardData, "it holds no data"
			case 2:
				observed.Flags = append(slices.Clip(observed.Flags), "--log-level=debug")
			}
			report.Observation = &observed
			right[m] = report
		}
		for _, m := range machines {
			if !well[m.Name] {
				disconnect(right, m.Name+"1")
			}
		}
		members := slices.Clone(machines)
		leaves := map[string]bool{}
		c.Built = map[string]string{}
		for i, m := range machines {
			at := membership.Member{Name: m.Name, Address: "192.0.2.3" + string(rune('1'+i))}
			switch rapid.IntRange(0, 9).Draw(rt, "asked of "+m.Name) {
			case 0:
				members = append(members, at)
			case 1:
				members, c.Members[i] = append(members, at), at
			case 2: // to another host
				at.Address = "192.0.2.2" + string(rune('1'+i))
				fresh := bare(at)
				fresh.Contact.MachineID, fresh.Contact.BootID = "fresh for "+m.Name, "fresh for "+m.Name
				members, c.Members[i], right[at], leaves[m.Name] = append(members, at), at, fresh, true
			case 3:
				c.Rebuild, leaves[m.Name] = append(c.Rebuild, m.Name), true
				c.Built[m.Name] = "again"
			}
		}
		reports, leads, strays := bootstrap.Reports{}, map[membership.Member]string{}, map[membership.Member]bool{}
		for _, m := range members {
			to := machines[m.Name[0]-'a']
			if fresh, is := right[m]; is && fresh.Observation == nil {
				to = m
			}
			switch rapid.IntRange(0, 9).Draw(rt, "way to "+m.Name) {
			case 0:
				to = rapid.SampledFrom(machines).Draw(rt, "to")
			case 1:
				reports[m] = bootstrap.Report{Err: errors.New("no route to host")}
				continue
			case 2:
				reports[m], leads[m], strays[m] = another(m), "", slices.Contains(machines, m)
				leaves[m.Name] = leaves[m.Name] || !strays[m]
				continue
			}
			reports[m] = right[to]
			if leads[m] = to.Name; right[to].Observation == nil {
				leads[m] = ""
			}
		}
		p := c.Status("us", reports, time.Time{})
		p.Saved = true
		whole, err := plan.Change(p, c.Spec)
		if err != nil {
			refused++
			return
		}
		planned++
		for _, step := range whole.Steps {
			if step.Member == "" || step.Kind == membership.SyncConfiguration {
				continue
			}
			m := membership.Member{Name: step.Member, Address: step.At}
			carries, reached := leads[m]
			if step.Kind != membership.Remove && (!reached || carries != "" && carries != m.Name) {
				rt.Fatalf("%s, and its way leads to %q (reached %t)\n%v", step, carries, reached, whole.Steps)
			}
			switch step.Kind {
			case membership.Stop, membership.Remove, membership.Retire, membership.SetAside, membership.Recover:
				// Of one that runs elsewhere, others have to say so. With nobody else up it serves nobody.
				told := slices.ContainsFunc(slices.Collect(maps.Values(leads)), func(other string) bool { return other != m.Name && well[other] })
				if well[m.Name] && (!leaves[m.Name] && reached && !strays[m] || strays[m] && told) {
					rt.Fatalf("%s, which serves, and is not to go\n%v", step, whole.Steps)
				}
			}
		}
	})
	if planned == 0 || refused == 0 {
		t.Errorf("%d plans and %d refusals: that shows little", planned, refused)
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
		if s := c.Status("us", reports, time.Time{}).Member(c.Members[2]); s.State != want {
			t.Errorf("with the data of %s it is %s (%s), want %s", id, s.State, s.Why, want)
		}
	}
}
