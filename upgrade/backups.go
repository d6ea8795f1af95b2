package upgrade

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// ListedBackup is a backup at a destination, with the members whose hosts have seen it there. A backup in a host's own
// directory is seen only by the host that made it.
type ListedBackup struct {
	api.StoredBackup
	Seen []membership.Member // in order of their names
}

// Backups lists the backups of a cluster as its hosts see them, newest first. problems names the hosts, destinations
// and backups that could not be read. A host without backups, e.g. of a member that is about to join, is a problem
// only if no host has any. Backups changes nothing. looking bounds the observation of the hosts; reading a list of
// thousands takes as long as entries arrive.
func (e *Executor) Backups(ctx, looking context.Context, owner string, members []membership.Member) (list []ListedBackup, problems []string, err error) {
	found := e.backups(ctx, looking, owner, members)
	problems = found.unread
	if !found.answered {
		problems = append(found.none, problems...)
		return nil, nil, &membership.Refusal{Rule: "no host can list the backups (" + strings.Join(problems, "; ") + ")",
			Remedy: "see that etcd_cluster has a backup, and that its hosts can be reached"}
	}
	return found.list, problems, nil
}

// catalog is what the hosts report about a cluster's backups.
type catalog struct {
	list     []ListedBackup // the newest first
	none     []string       // hosts without backups, and why
	unread   []string       // hosts, destinations and backups that could not be read: the list may be incomplete
	answered bool           // at least one host answered
}

// backups asks every host of these members for the backups that it knows of.
func (e *Executor) backups(ctx, looking context.Context, owner string, members []membership.Member) catalog {
	found := catalog{none: []string{}, unread: []string{}}
	reports := e.Observe(looking, members)
	type answer struct {
		membership.Member
		found api.Backups
		err   error
	}
	var answers []*answer
	for _, m := range membership.Sort(members) {
		switch report := reports[m]; {
		case report.Err != nil:
			found.unread = append(found.unread, about(m, notOwned(report, owner)))
		case unableToList(report, owner) != "":
			found.none = append(found.none, about(m, unableToList(report, owner)))
		default:
			answers = append(answers, &answer{Member: m})
		}
	}
	_ = inParallel(answers, func(a *answer) error { // each failure is told below
		a.found, a.err = call[api.Backups](ctx, e.host(a.Member), "", api.OpBackups, e.Cluster.Name, "", api.BackupsRequest{})
		return nil
	})
	for _, a := range answers {
		found.answered = found.answered || a.err == nil
		if a.err != nil {
			a.found = api.Backups{Problems: []string{a.err.Error()}}
		}
		for _, problem := range a.found.Problems {
			found.unread = append(found.unread, about(a.Member, problem))
		}
		for _, b := range a.found.Backups {
			found.list = addListed(found.list, b, a.Member)
		}
	}
	slices.SortFunc(found.list, func(a, b ListedBackup) int { return cmp.Compare(a.Destination, b.Destination) })
	api.SortNewestFirst(found.list, func(b ListedBackup) api.Taken { return b.Taken() })
	return found
}

// about prefixes a text with the member that it is about.
func about(m membership.Member, what string) string {
	return fmt.Sprintf("%s: %s", m, what)
}

// unableToList returns why a host cannot be asked for backups, or "" if it can.
func unableToList(report bootstrap.Report, owner string) string {
	if not := notOwned(report, owner); not != "" {
		return not
	}
	if report.Observation.Backup == nil {
		return "its host makes no backups"
	}
	return ""
}

// addListed adds to a list a backup that a member's host has seen.
func addListed(list []ListedBackup, b api.StoredBackup, by membership.Member) []ListedBackup {
	for i := range list {
		l := &list[i]
		if l.Name != b.Name || l.Destination != b.Destination {
			continue
		}
		l.Seen = append(l.Seen, by)
		if b.VerifiedAt.After(l.VerifiedAt) {
			l.VerifiedAt = b.VerifiedAt
		}
		return list
	}
	return append(list, ListedBackup{b, []membership.Member{by}})
}

// renewOnHosts has all hosts renew certificates by themselves as desired that do not.
func (r *changeRun) renewOnHosts(ctx context.Context) error {
	return r.run.renewOnHosts(ctx, plan.Targets(r.status, r.Cluster.Spec, membership.RenewOnHosts), r.order.Owner)
}

func (r *run) renewOnHosts(ctx context.Context, members []membership.Member, owner string) error {
	return inParallel(members, func(m membership.Member) error {
		if err := r.tell(ctx, m, api.OpRenewOnHost, api.RenewOnHostRequest{Owner: owner, Renewal: r.Cluster.OnHosts, Of: r.Cluster.OnHostsOf}); err != nil {
			return fmt.Errorf("%s: %w", m, err)
		}
		return nil
	})
}

// backUp configures backups on all hosts whose backup settings differ from what is desired.
func (r *changeRun) backUp(ctx context.Context) error {
	return r.run.backUp(ctx, plan.Targets(r.status, r.Cluster.Spec, membership.BackUp), r.order.Owner)
}

func (r *run) backUp(ctx context.Context, members []membership.Member, owner string) error {
	return inParallel(members, func(m membership.Member) error {
		if err := r.tell(ctx, m, api.OpBackUp, api.BackUpRequest{Owner: owner, Backup: r.Cluster.Backup}); err != nil {
			return fmt.Errorf("%s: %w", m, err)
		}
		return nil
	})
}
