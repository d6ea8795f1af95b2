package upgrade

import (
	"context"
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// disputed refuses a cluster whose members hold different data, where no quorum of them holds the same.
func disputed(p membership.Picture) error {
	var hold []string
	for _, s := range p.Voters() {
		switch {
		case s.Data != "":
			hold = append(hold, fmt.Sprintf("%s holds %s", s, s.Data))
		default:
			hold = append(hold, fmt.Sprintf("%s could not be compared (%s)", s, s.State))
		}
	}
	return &membership.Refusal{
		Rule: fmt.Sprintf("an alarm says that the data of the members differs (CORRUPT), and no quorum of the %d voters is seen to hold the same: %s", p.Size(), strings.Join(hold, ", ")),
		Remedy: "bring up those that could not be compared, and plan again; where it stays so, nobody but you can say whose data is right: restore a snapshot of before that " +
			"(see restore), or decide for one member: stop the others for good, take their data or their hosts away, and name it in recover_from",
	}
}

// comes tells whether a voter may be compared once it was brought up.
func comes(s membership.Seat) bool {
	return s.Wanted && s.Failed == "" && s.Data == "" && s.State != membership.Silent && s.State != membership.Blocked && !gone(s)
}

// acquit takes the alarm back that data differs, once every voter that there is holds the same.
func (c *choice) acquit() (membership.Step, bool) {
	_, other := first(c.Voters(), func(s membership.Seat) bool { return s.Diverged || s.Data == "" || s.State != membership.Serving })
	if other || !c.Agreed {
		return membership.Step{}, false
	}
	return membership.Step{Kind: membership.Disarm, To: bootstrap.AlarmCorrupt}, true
}

// expel removes a voter whose data is not that of a quorum: it may give wrong answers to anybody who reads from it. It joins
// anew once the alarm is taken back.
func (c *choice) expel() (membership.Step, bool) {
	s, found := first(c.Voters(), func(s membership.Seat) bool { return s.Diverged && s.Failed == "" })
	if !found || len(c.Healthy()) < membership.Quorum(c.Size()) {
		return membership.Step{}, false
	}
	if before, needed := c.secure(); needed {
		return before, true
	}
	if s.ID == c.Leader {
		return c.lead(s, "holds other data than a quorum")
	}
	remove := step(membership.Remove, s)
	remove.Why = s.Why
	remove.Sum = voters(c.Size(), c.Size()-1, len(c.Healthy()))
	return remove, true
}

// dispute says what keeps the alarm that data differs.
func (c *choice) dispute() (membership.Step, bool) {
	for _, s := range c.Voters() {
		switch {
		case s.State == membership.Serving && s.Data == "":
			c.hold(s, "the alarm that data differs (CORRUPT) stays until every voter was compared, and it was not yet", "apply again once it has come up")
		case s.State != membership.Serving:
			c.hold(s, "it could not be compared, and the alarm that data differs (CORRUPT) stays until every voter was: "+s.Why, "bring it up, or give the member another address; until then the cluster takes no writes")
		}
	}
	return membership.Step{}, false
}

// acquit compares the data of all healthy voters once more, and takes the alarm back that it differs.
func (l *living) acquit(ctx context.Context) error {
	var seats []membership.Member
	for _, s := range l.picture.Healthy() {
		seats = append(seats, s.Member)
	}
	if err := l.sameHash(ctx, seats); err != nil {
		return err
	}
	return l.throughLeader(ctx, api.OpDisarm, api.DisarmRequest{Owner: l.order.Owner, Corrupt: true})
}
