package bootstrap_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestRankOfSurvivors holds that a voter is ranked by what lies on its disk in every state that its unit can be in, and
// that what cannot be read has no rank: it never passes for a log with nothing in it.
func TestRankOfSurvivors(t *testing.T) {
	c := three()
	b := c.Members[1]
	for name, test := range map[string]struct {
		change func(*api.Observation)
		want   string
	}{
		"stopped":                 {func(o *api.Observation) { o.Unit.ActiveState, o.Member = "inactive", api.Member{} }, "stopped 4.812"},
		"waits for its quorum":    {func(o *api.Observation) { o.Unit.ActiveState, o.Member = "activating", api.Member{} }, "unhealthy 4.812"},
		"runs without its quorum": {func(o *api.Observation) { o.Member.Healthy, o.Member.RaftTerm, o.Member.RaftIndex = false, 9, 700 }, "unhealthy 4.812"},
		"crashes": {func(o *api.Observation) {
			o.Unit.ActiveState, o.Unit.Looping, o.Member = "activating", true, api.Member{}
		},
			"unhealthy 4.812 looping"},
		"serves": {func(o *api.Observation) { o.Data.Log = nil }, "healthy"},
		"cannot be read": {func(o *api.Observation) { o.Member.Healthy, o.Data.Log.Error = false, "a record is damaged" },
			"unhealthy (its log cannot be read: a record is damaged)"},
		"damaged database": {func(o *api.Observation) { o.Member.Healthy, o.Data.Log.DatabaseError = false, "it is damaged" },
			"unhealthy 4.812 [its database cannot be read: it is damaged]"},
		"log behind its database": {func(o *api.Observation) { o.Member.Healthy, o.Data.Log.Applied = false, 900 },
			"lost 4.812 [its log ends before what its database has applied (index 900)] had 900"},
		"an earlier store": {func(o *api.Observation) { o.Member.Healthy, o.Data.Log = false, nil },
			"unhealthy (its host runs an older store, which does not report it: stop its unit there (systemctl stop etcd@prod.service), and plan again)"},
		"unmounted": {func(o *api.Observation) {
			o.Member.Healthy, o.GuardCheck, o.Guard = false, api.GuardMount, "it is not mounted"
		},
			"blocked (it is not mounted)"},
		"its recovery was cut short": {func(o *api.Observation) {
			o.Unit.ActiveState, o.Member, o.GuardCheck, o.Guard = "inactive", api.Member{}, api.GuardAlone, "it starts alone"
		},
			"blocked 4.812 alone"},
		"data lost": {func(o *api.Observation) { o.Member.Healthy, o.Data.HasMember, o.Data.Log = false, false, nil }, "lost"},
		"another's data": {func(o *api.Observation) {
			o.Member.Healthy, o.GuardCheck, o.Data.Log.MemberID = false, api.GuardIdentity, "1"
		}, "lost"},
		"rolled back":    {func(o *api.Observation) { o.Member.Healthy, o.GuardCheck = false, api.GuardProgress }, "lost 4.812"},
		"someone else's": {func(o *api.Observation) { o.Marker.Owner = "them" }, "foreign (its host carries member b of a cluster prod that another state manages)"},
	} {
		reports := alive(t, c)
		o := reports[b].Observation
		o.Data.Log = &api.Log{ClusterID: o.Marker.ClusterID, MemberID: o.Marker.MemberID, Term: 4, Index: 812, Applied: 800}
		test.change(o)
		disconnectDown(reports)
		if got := printRank(*c.Status(ours.Owner, reports, time.Time{}).Member(b)); got != test.want {
			t.Errorf("%s: got  %s\nwant %s", name, got, test.want)
		}
	}
	reports := alive(t, c)
	reports[b] = bootstrap.Report{Contact: api.Contact{Machine: "x86_64", Marker: reports[b].Observation.Marker}}
	if got := printRank(*c.Status(ours.Owner, reports, time.Time{}).Member(b)); got != "store missing (its store is gone)" {
		t.Errorf("without a store: got %s", got)
	}
}

func printRank(s membership.MemberStatus) string {
	text := string(s.State)
	if s.Index > 0 {
		text += fmt.Sprintf(" %d.%d", s.Term, s.Index)
	}
	if s.Looping {
		text += " looping"
	}
	if s.Alone {
		text += " alone"
	}
	if s.Unread != "" {
		text += " (" + s.Unread + ")"
	}
	if s.Damaged != "" {
		text += " [" + s.Damaged + "]"
	}
	if s.Had > 0 {
		text += fmt.Sprintf(" had %d", s.Had)
	}
	return text
}

// TestMembersThatACutOffMemberHasNotHeardOf has the only member that answers, without a quorum, tell a list of before
// others were added. Those whose hosts have a former voter's data, or could not be asked, may be voters: they are
// named, and ranked by their logs. Nobody counts as a voter by that: each may as well have been removed, or given up by
// an earlier recovery.
func TestMembersThatACutOffMemberHasNotHeardOf(t *testing.T) {
	stale := func(reports bootstrap.Reports, m membership.Member, n int) { // the member answers, and has no quorum
		o := reports[m].Observation
		o.Member.Healthy, o.Member.Leader, o.Member.Members = false, "", o.Member.Members[:n]
	}
	away := bootstrap.Report{Err: errors.New("no route to host")}
	fresh := membership.Member{Name: "g", Address: "192.0.2.99"}
	for name, test := range map[string]struct {
		change func(all []membership.Member, reports bootstrap.Reports)
		want   string
	}{
		"a new one's host is away": {func(all []membership.Member, reports bootstrap.Reports) { reports[fresh] = away },
			"g unreachable,"},
		"a new one's host is away, and an interrupted change was about to add it": {func(all []membership.Member, reports bootstrap.Reports) {
			reports[fresh] = away
			reports[all[0]].Observation.Marker.Added = []string{"https://192.0.2.99:2380"}
		}, "g unreachable unlisted by a"},
		"as it is": {func([]membership.Member, bootstrap.Reports) {},
			"a voter unhealthy 4.800, b voter unreachable, c voter unreachable, d stopped 5.790 unlisted by a, e stopped 4.801 unlisted by a, f stopped 4.799 unlisted by a"},
		"it has a quorum": {func(all []membership.Member, reports bootstrap.Reports) {
			reports[all[0]].Observation.Member.Healthy = true
		},
			"a voter healthy, b voter unreachable, c voter unreachable, d stopped, e stopped, f stopped"},
		"a recovery has left it alone": {func(all []membership.Member, reports bootstrap.Reports) { stale(reports, all[0], 1) },
			"a voter unhealthy 4.800, b unreachable, c unreachable, d stopped, e stopped, f stopped"},
		"it is alone, and one that was given up runs, and has come further": {func(all []membership.Member, reports bootstrap.Reports) {
			o := reports[all[3]].Observation
			o.Member, o.Unit.ActiveState = reports[all[0]].Observation.Member, "active"
			o.Member.MemberID = "d1"
			stale(reports, all[0], 1)
		}, "a voter unhealthy 4.800, b unreachable, c unreachable, d unhealthy, e stopped, f stopped"},
		"another one that answers has come further": {func(all []membership.Member, reports bootstrap.Reports) {
			o := reports[all[3]].Observation
			o.Unit.ActiveState = "active"
			o.Member = api.Member{Responding: true, ClusterID: "c1", MemberID: "d1"}
			for _, m := range all[:5] {
				o.Member.Members = append(o.Member.Members, api.ListedMember{ID: m.Name + "1", Name: m.Name, PeerURLs: []string{"https://" + m.Address + ":2380"}})
			}
			reports[all[0]].Observation.Member.AppliedIndex = 900 // no plan has that of a refresh
		}, "a voter unhealthy 4.800, b voter unreachable, c voter unreachable, d voter unhealthy 5.790, e voter stopped 4.801, f stopped 4.799 unlisted by d"},
		"another one that answers has come further, with an older store": {func(all []membership.Member, reports bootstrap.Reports) {
			o := reports[all[3]].Observation
			o.Unit.ActiveState, o.Data.Log = "active", nil
			o.Member = api.Member{Responding: true, ClusterID: "c1", MemberID: "d1", RaftTerm: 5, RaftIndex: 790}
			for _, m := range all[:5] {
				o.Member.Members = append(o.Member.Members, api.ListedMember{ID: m.Name + "1", Name: m.Name, PeerURLs: []string{"https://" + m.Address + ":2380"}})
			}
		}, "d voter unhealthy"},
		"a former voter that is no longer wanted is away": {func(all []membership.Member, reports bootstrap.Reports) { reports[all[5]] = away },
			"f unreachable unlisted by a"},
		"a log that cannot be read": {func(all []membership.Member, reports bootstrap.Reports) {
			reports[all[3]].Observation.Data.Log.Error = "a record is damaged"
		},
			"d stopped (its log cannot be read: a record is damaged) unlisted by a"},
		"an older store": {func(all []membership.Member, reports bootstrap.Reports) { reports[all[3]].Observation.Data.Log = nil },
			"d stopped (its host runs an older store, which does not report it: stop its unit there (systemctl stop etcd@prod.service), and plan again) unlisted by a"},
		"no store": {func(all []membership.Member, reports bootstrap.Reports) {
			reports[all[3]] = bootstrap.Report{Contact: api.Contact{Machine: "x86_64", Marker: reports[all[3]].Observation.Marker}}
		}, "d store missing (its store is gone) unlisted by a"},
		"its disk is away": {func(all []membership.Member, reports bootstrap.Reports) {
			o := reports[all[3]].Observation
			o.Data.HasMember, o.GuardCheck, o.Guard = false, api.GuardMount, "it is not mounted"
		}, "d blocked (it is not mounted) unlisted by a"},
		"its host is away": {func(all []membership.Member, reports bootstrap.Reports) { reports[all[3]] = away }, "d unreachable unlisted by a"},
		"a learner that never voted": {func(all []membership.Member, reports bootstrap.Reports) {
			reports[all[3]].Observation.Marker.Phase = api.PhaseJoining
		}, "d stopped,"},
		"its data was moved aside": {func(all []membership.Member, reports bootstrap.Reports) {
			reports[all[3]].Observation.Data.HasMember, reports[all[3]].Observation.Flags = false, nil
		}, "d missing,"},
		"a member of another cluster": {func(all []membership.Member, reports bootstrap.Reports) {
			reports[all[3]].Observation.Marker.ClusterID = "c2"
		}, "d stopped,"},
		"what answers has an unreadable log": {func(all []membership.Member, reports bootstrap.Reports) {
			reports[all[0]].Observation.Data.Log.Error = "a record is damaged"
		},
			"a voter unhealthy (its log cannot be read: a record is damaged), b voter unreachable, c voter unreachable, d stopped 5.790 unlisted by a, "},
	} {
		t.Run(name, func(t *testing.T) {
			c := three()
			for _, name := range []string{"d", "e", "f"} {
				c.Members = append(c.Members, membership.Member{Name: name, Address: fmt.Sprintf("192.0.2.%d", 11+name[0]-'a')})
			}
			reports := alive(t, c)
			all := slices.Clone(c.Members)
			c.Members = all[:5] // f was removed
			for m, log := range map[membership.Member]api.Log{all[0]: {Term: 4, Index: 800}, all[3]: {Term: 5, Index: 790}, all[4]: {Term: 4, Index: 801}, all[5]: {Term: 4, Index: 799}} {
				o := reports[m].Observation
				log.ClusterID, log.MemberID = o.Marker.ClusterID, o.Marker.MemberID
				o.Data.Log = &log
				if m != all[0] {
					o.Member, o.Unit.ActiveState = api.Member{}, "inactive"
				}
			}
			stale(reports, all[0], 3)
			disconnectDown(reports)
			reports[all[1]], reports[all[2]] = away, away
			test.change(all, reports)
			if _, asked := reports[fresh]; asked {
				c.Members, c.Inspects = append(c.Members, fresh), []membership.Member{fresh}
			}
			var got []string
			for _, s := range c.Status(ours.Owner, reports, time.Time{}).Members {
				text := strings.Join(strings.Fields(s.Name+" "+string(s.Role)+" "+printRank(s)), " ")
				if s.Unlisted != "" {
					text += " unlisted by " + s.Unlisted
				}
				got = append(got, text)
			}
			if text := strings.Join(got, ", ") + ","; !strings.Contains(text, test.want) {
				t.Errorf("got  %s\nwant %s", text, test.want)
			}
		})
	}
}
