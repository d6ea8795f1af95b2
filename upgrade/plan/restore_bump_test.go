package plan

import (
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestBump holds by how much revisions are raised: just beyond what is known to have been seen, and where that is not
// known, beyond what could have been.
func TestBump(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const all = "a=https://192.0.2.11:2380,b=https://192.0.2.12:2380,c=https://192.0.2.13:2380"
	member := func(name string, revision int64, phase api.Phase, added ...string) api.Restoration {
		return api.Restoration{Revision: revision, Marker: &api.Marker{Member: name, Phase: phase, InitialCluster: all, Added: added}}
	}
	formed := func(name string, revision int64) api.Restoration { return member(name, revision, api.PhaseFormed) }
	hour := api.Snapshot{Revision: 100, TakenAt: now.Add(-time.Hour)}
	sinceRelease := int64(now.Sub(released).Seconds()+1) * maxRate
	for name, c := range map[string]struct {
		snapshot api.Snapshot
		old      []api.Restoration
		want     int64
	}{
		"all were read":                          {hour, []api.Restoration{formed("a", 150), formed("b", 151), formed("c", 149)}, 53},
		"a quorum was read":                      {hour, []api.Restoration{formed("a", 150), formed("b", 0), formed("c", 149)}, 52},
		"the cluster is older than its backup":   {hour, []api.Restoration{formed("a", 50), formed("b", 50)}, 2},
		"a minority was read":                    {hour, []api.Restoration{formed("a", 150)}, 3601*maxRate + 2},
		"a minority has seen more than it can":   {hour, []api.Restoration{formed("a", 1<<40)}, 1<<40 - 100 + 2},
		"nobody was read":                        {hour, nil, 3601*maxRate + 2},
		"one that was to be added may vote":      {hour, []api.Restoration{member("a", 150, api.PhaseFormed, "https://192.0.2.14:2380"), formed("b", 150)}, 3601*maxRate + 2},
		"a learner is no voter":                  {hour, []api.Restoration{formed("a", 150), member("b", 150, api.PhaseJoining)}, 3601*maxRate + 2},
		"a snapshot of which no time is known":   {api.Snapshot{Revision: 100}, nil, sinceRelease + 2},
		"a snapshot of the future":               {api.Snapshot{Revision: 100, TakenAt: now.Add(time.Second)}, nil, sinceRelease + 2},
		"a snapshot older than etcd":             {api.Snapshot{Revision: 100, TakenAt: time.Unix(0, 0)}, nil, sinceRelease + 2},
		"hosts that carried nothing say nothing": {hour, []api.Restoration{{}, formed("a", 150), formed("b", 149)}, 52},
	} {
		if got := Bump(c.snapshot, c.old, now); got != c.want {
			t.Errorf("%s: raised by %d, want %d", name, got, c.want)
		}
	}
}
