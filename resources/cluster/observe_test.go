package cluster

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
)

// TestWhoseReportsAreKept holds which hosts of members that are no longer desired a state keeps: those of members that
// may vote, and those on which something is left to clean up.
func TestWhoseReportsAreKept(t *testing.T) {
	hosts, p := providerdata.Routes{}, membership.ClusterStatus{}
	for name, s := range map[string]membership.MemberStatus{
		"desired":       {Desired: true, Role: membership.Voter},
		"votes":         {Role: membership.Voter, State: membership.Unreachable},
		"has remains":   {Traces: true},
		"has left":      {State: membership.Missing},
		"is away":       {State: membership.Unreachable},
		"may vote":      {State: membership.Unreachable, Unlisted: "a"}, // the list is that of a, which is cut off
		"is not routed": {Role: membership.Voter},
	} {
		s.Member = membership.Member{Name: name, Address: name + ".example"}
		p.Members = append(p.Members, s)
		if name != "is not routed" {
			hosts[s.Member] = providerdata.SSHTarget{}
		}
	}
	var kept []string
	for _, m := range slices.Collect(maps.Keys(unfinished(p, hosts))) {
		kept = append(kept, m.Name)
	}
	slices.Sort(kept)
	if got, want := strings.Join(kept, ", "), "has remains, may vote, votes"; got != want {
		t.Errorf("kept are %s, and not %s", got, want)
	}
}
