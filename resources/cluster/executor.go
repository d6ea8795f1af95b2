package cluster

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// How long an operation may take if the configuration does not say. Forming three members takes seconds; the rest is
// for slow networks and disks.
const (
	createTimeout = 20 * time.Minute
	readTimeout   = 2 * time.Minute
	updateTimeout = 30 * time.Minute
	deleteTimeout = 20 * time.Minute
)

// startPatience is how long a refresh waits for a member that was just started, e.g. because its host has booted, or
// that has served and does not at the moment. A plan made a moment earlier would repair what recovers by itself.
// Members with little data serve within 2 s of their start.
const startPatience = 30 * time.Second

// form has the executor create the cluster.
func (r *clusterResource) form(ctx context.Context, cluster bootstrap.Cluster, members map[string]memberModel, authority authority.Model) (upgrade.Formed, error) {
	executor, err := r.signing(ctx, cluster, authority, "create", routesTo(members), nobody, true)
	if err != nil {
		return upgrade.Formed{}, err
	}
	fresh, err := newFormation(executor.Cluster.Name, r.providerData.Random)
	if err != nil {
		return upgrade.Formed{}, err
	}
	return executor.Form(ctx, fresh)
}

// change has the executor update the cluster. It may do only what the plan could show.
func (r *clusterResource) change(ctx context.Context, plan clusterModel, ch change, authority authority.Model, owner string) (upgrade.Outcome, error) {
	hosts := ch.routes()
	// If the plan could not show the steps, machines may have been replaced since the plan observed them. They are
	// other machines then, and the run waits while they boot.
	known := !plan.Rollout.IsUnknown()
	without := nobody
	if known {
		without = ch.askedInVain
	}
	executor, err := r.signing(ctx, ch.cluster, authority, "update", hosts, without, plan.needsAuthorities(ch))
	if err != nil {
		return upgrade.Outcome{}, err
	}
	order := upgrade.Order{Owner: owner, Members: hosts.Members(), Served: ch.serving(owner), Refuse: ch.refuse, Mends: ch.mends}
	if known {
		order.Approved, order.Machines = append([]membership.Step{}, ch.plan.Steps...), ch.seen.Machines()
	}
	outcome, err := executor.Change(ctx, order)
	if err != nil && ctx.Err() == nil { // what a step did before it failed is not seen yet
		outcome.Reports = r.lookAgain(ctx, *executor, hosts, outcome.Reports)
	}
	return outcome, err
}

// lookAgain observes the hosts after a failed run. It does not wait again for a host that became unreachable during the
// run, and does not ask one again that hung.
func (r *clusterResource) lookAgain(ctx context.Context, executor upgrade.Executor, to providerdata.Routes, last bootstrap.Reports) bootstrap.Reports {
	hosts, err := r.hosts(to, everybody)
	if err == nil { // the run has had all of them
		executor.Hosts = hosts
	}
	executor.Cluster.Inspects = nil // as in a refresh
	members := slices.DeleteFunc(to.Members(), func(m membership.Member) bool { return upgrade.Hangs(last[m].Err) })
	reports := executor.Observe(ctx, members)
	for m, report := range last {
		if upgrade.Hangs(report.Err) {
			reports[m] = report
		}
	}
	return reports
}

// everybody and nobody say which hosts an operation can do without.
func everybody(membership.Member) bool { return true }
func nobody(membership.Member) bool    { return false }

// askedInVain tells whether a host could not be reached when the change was planned, by the same settings as now. The
// plan does nothing on such a host, so the run need not wait for it.
func (ch change) askedInVain(m membership.Member) bool {
	was := ch.others.And(routesTo(ch.before))
	return ch.seen[m].Err != nil && ch.routes()[m] == was[m]
}

// hosts returns the hosts that the routes lead to. The run does not wait for those that it can do without.
func (r *clusterResource) hosts(to providerdata.Routes, without func(membership.Member) bool) (hosts map[membership.Member]upgrade.Host, err error) {
	hosts = map[membership.Member]upgrade.Host{}
	for m, target := range to {
		find := r.providerData.Hosts.Host
		if without(m) {
			find = r.providerData.Hosts.Briefly
		}
		if hosts[m], err = find(target); err != nil {
			return nil, err
		}
	}
	return hosts, nil
}

// serving returns the voters that were healthy when the change was planned.
func (ch change) serving(owner string) (members []membership.Member) {
	for _, s := range ch.cluster.Status(owner, ch.seen, time.Time{}).Healthy() {
		members = append(members, s.Member)
	}
	return members
}

// signing returns an executor that signs the hosts' certificate requests. It fails if the authorities could not sign
// now and the operation needs them; any other operation goes on without.
func (r *clusterResource) signing(ctx context.Context, cluster bootstrap.Cluster, by authority.Model, operation string, to providerdata.Routes, without func(membership.Member) bool, needed bool) (*upgrade.Executor, error) {
	signer, err := by.Signer(r.providerData.Now, cluster.Renewal.Validity)
	if err != nil && needed {
		return nil, err
	}
	cluster.Signers, cluster.Chains = by.Signers(), by.Chains()
	algorithm, err := authority.Algorithm(cluster.ClientCA)
	if err != nil {
		return nil, err
	}
	cluster.KeyAlgorithm = string(algorithm)
	executor, err := r.executor(ctx, cluster, operation, to, without)
	if err == nil {
		executor.Signer = signer
	}
	return executor, err
}

// executor returns an executor for one operation on hosts, some of which the operation can do without. It fails with
// ErrNotKnown if the provider's settings are not known yet.
func (r *clusterResource) executor(ctx context.Context, cluster bootstrap.Cluster, operation string, to providerdata.Routes, without func(membership.Member) bool) (*upgrade.Executor, error) {
	run, err := providerdata.NewToken(r.providerData.Random)
	if err != nil {
		return nil, err
	}
	hosts, err := r.hosts(to, without)
	if err != nil {
		return nil, err
	}
	return &upgrade.Executor{
		Cluster:  cluster,
		Hosts:    hosts,
		Holder:   api.Holder{ID: run, Who: fmt.Sprintf("%s, %s", r.providerData.Operator, operation)},
		Now:      r.providerData.Now,
		Progress: r.providerData.ProgressOf(ctx, cluster.Name),
	}, nil
}

// newFormation returns the identity of a new attempt to form a cluster. The initial-cluster-token differs each time, so
// that a new cluster on the same hosts gets another cluster ID than the previous one.
func newFormation(cluster string, random io.Reader) (bootstrap.Formation, error) {
	owner, err := providerdata.NewToken(random)
	if err != nil {
		return bootstrap.Formation{}, err
	}
	return bootstrap.Formation{Owner: owner, Token: cluster + "-" + owner[:12]}, nil
}
