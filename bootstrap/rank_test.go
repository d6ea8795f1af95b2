package bootstrap_test

import (
	"fmt"
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
