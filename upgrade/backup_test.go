package upgrade

import (
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// TestBackupsComeLast: members that have come back up the cluster once there are all that are wanted, and a host that
// cannot be asked is left.
func TestBackupsComeLast(t *testing.T) {
	seat := func(name, address string, change func(*membership.Seat)) membership.Seat {
		s := membership.Seat{Member: membership.Member{Name: name, Address: address}, Wanted: true, ID: name, Role: membership.Voter,
			Started: true, State: membership.Healthy, Version: "3.7.3", Traces: true}
		if change != nil {
			change(&s)
		}
		return s
	}
	want := membership.Spec{Name: "prod", Version: "3.7.3", Backups: "hourly to directory /srv/b", Members: []membership.Member{
		{Name: "a", Address: "192.0.2.11"}, {Name: "b", Address: "192.0.2.21"}, {Name: "c", Address: "192.0.2.13"}}}
	p := membership.Picture{Leader: "a", Seats: []membership.Seat{
		seat("a", "192.0.2.11", nil),
		seat("b", "192.0.2.12", func(s *membership.Seat) { s.Wanted = false }),
		seat("b", "192.0.2.21", func(s *membership.Seat) {
			*s = membership.Seat{Member: s.Member, Wanted: true, State: membership.Missing}
		}),
		seat("c", "192.0.2.13", nil),
	}}
	plan, err := Change(p, want)
	if err != nil {
		t.Fatal(err)
	}
	if last := plan.Steps[len(plan.Steps)-1].String(); last != "back up: hourly to directory /srv/b, by b" {
		t.Errorf("the last step is %q", last)
	}

	p.Seats = []membership.Seat{
		seat("a", "192.0.2.11", func(s *membership.Seat) { s.Unbacked = "it makes no backups yet" }),
		seat("b", "192.0.2.21", func(s *membership.Seat) { s.State, s.Unbacked = membership.Unreachable, "it makes no backups yet" }),
		seat("c", "192.0.2.13", nil),
	}
	if plan, err = Change(p, want); err != nil || len(plan.Steps) != 1 || plan.Steps[0].String() != "back up: hourly to directory /srv/b, by a" {
		t.Errorf("the plan is %v, %v", plan.Steps, err)
	}
}
