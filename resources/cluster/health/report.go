package health

import (
	"errors"
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// LeftUndone returns what a change was asked for and could not do, and what it did, or nil if it did everything.
// Deferred repairs are left to the next plan.
func LeftUndone(outcome upgrade.Outcome) error {
	var left []error
	for _, deferred := range outcome.Deferred {
		refusal := *deferred
		member := membership.Member{Name: deferred.Member, Address: deferred.At}
		if err := outcome.Reports[member].Err; err != nil {
			refusal.Rule = fmt.Sprintf("%s (%s)", refusal.Rule, err)
		}
		left = append(left, &refusal)
	}
	if len(left) == 0 {
		return nil
	}
	return errors.Join(append(left, errors.New(Did(outcome.Done)))...)
}

// Did says what a run has done.
func Did(done []membership.Step) string {
	switch len(done) {
	case 0:
		return "No step was done, and no host was changed."
	case 1:
		return fmt.Sprintf("One step was done: %s.", done[0])
	}
	return fmt.Sprintf("%d steps were done, the last of them: %s.", len(done), done[len(done)-1])
}

// Found says how a member was found, or nil if it is no longer a member.
func Found(s *membership.MemberStatus, seen bootstrap.Reports) string {
	if s == nil {
		return "Its host has no part in the cluster now."
	}
	how := []string{}
	if s.Why != "" {
		how = append(how, s.Why)
	}
	if err := seen[s.Member].Err; err != nil {
		how = append(how, err.Error())
	}
	for _, drift := range Drift(*s).Elements() {
		if text := drift.(interface{ ValueString() string }).ValueString(); text != s.Why {
			how = append(how, text)
		}
	}
	is := Of(*s)
	if is == learner {
		is = "a learner"
	}
	text := fmt.Sprintf("It is %s now", is)
	if len(how) > 0 {
		text += ": " + strings.Join(how, "; ")
	}
	return text + "."
}
