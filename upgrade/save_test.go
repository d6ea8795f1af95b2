package upgrade

import (
	"errors"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestSaver holds which member a snapshot is taken of, and why none is.
func TestSaver(t *testing.T) {
	voter := func(id string, applied uint64) bootstrap.Report {
		return bootstrap.Report{Observation: &api.Observation{
			Marker: &api.Marker{Cluster: "prod", Owner: "us", ClusterID: "c1"},
			Member: api.Member{Responding: true, Healthy: true, ClusterID: "c1", MemberID: id, Leader: "a1", AppliedIndex: applied},
		}}
	}
	but := func(r bootstrap.Report, change func(*api.Observation)) bootstrap.Report {
		change(r.Observation)
		return r
	}
	cramped := func(o *api.Observation) { o.Data.Cramped = true }
	unhealthy := func(o *api.Observation) { o.Member.Healthy = false }
	for name, test := range map[string]struct {
		a, b, c bootstrap.Report
		want    string // a name, or a part of the refusal
	}{
		"a follower that has applied the most":         {voter("a1", 9), voter("b1", 7), voter("c1", 8), "c"},
		"of two that are equal, the first":             {voter("a1", 9), voter("b1", 7), voter("c1", 7), "b"},
		"the leader, where there is no other":          {voter("a1", 9), bootstrap.Report{Err: errors.New("no route to host")}, but(voter("c1", 8), unhealthy), "a"},
		"never one without room, where others have it": {voter("a1", 9), but(voter("b1", 9), cramped), but(voter("c1", 9), cramped), "a"},
		"one without room, where there is no other":    {but(voter("a1", 9), cramped), but(voter("b1", 9), cramped), but(voter("c1", 9), unhealthy), "b"},
		"never a learner":                              {voter("a1", 9), but(voter("b1", 9), func(o *api.Observation) { o.Member.Learner = true }), voter("c1", 3), "c"},
		"never one of another state":                   {voter("a1", 9), but(voter("b1", 9), func(o *api.Observation) { o.Marker.Owner = "them" }), but(voter("c1", 9), func(o *api.Observation) { o.Marker = nil }), "a"},
		"never one of another cluster":                 {voter("a1", 9), but(voter("b1", 9), func(o *api.Observation) { o.Member.ClusterID = "c2" }), voter("c1", 3), "c"},
		"none of a cluster that serves nobody": {but(voter("a1", 9), unhealthy), bootstrap.Report{Err: errors.New("no route to host")}, but(voter("c1", 8), func(o *api.Observation) { o.Member = api.Member{} }),
			"no healthy voter can save a snapshot (a (192.0.2.11): it serves no linearizable read; b (192.0.2.12): its host cannot be reached: no route to host; c (192.0.2.13): it does not answer)"},
	} {
		t.Run(name, func(t *testing.T) {
			reports := bootstrap.Reports{{Name: "a", Address: "192.0.2.11"}: test.a, {Name: "b", Address: "192.0.2.12"}: test.b, {Name: "c", Address: "192.0.2.13"}: test.c}
			from, err := snapshotSource(reports, "us")
			if refusal := (*membership.Refusal)(nil); errors.As(err, &refusal) {
				if !strings.Contains(err.Error(), test.want) {
					t.Errorf("refused: %v", err)
				}
			} else if err != nil || from.Name != test.want {
				t.Errorf("%q, %v; want %s", from.Name, err, test.want)
			}
		})
	}
}
