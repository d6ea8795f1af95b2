package upgrade

import (
	"context"
	"fmt"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// firewall has all hosts filter as desired that do not. A host that fails keeps nobody else from being repaired.
func (r *changeRun) firewall(ctx context.Context, step membership.Step) error {
	return inParallel(plan.Targets(r.status, r.Cluster.Spec, membership.Firewall), func(m membership.Member) error {
		if err := r.filter(ctx, m, r.storeToCall(m), r.order.Owner); err != nil {
			return r.noteFailure(step, m, fmt.Errorf("%s: %w", m, err))
		}
		return nil
	})
}

// filter has a member's host filter as desired, by a store of it.
func (r *run) filter(ctx context.Context, m membership.Member, store, owner string) error {
	peers := r.peersNow()
	request := api.FirewallRequest{Owner: owner, Firewall: r.Cluster.FirewallFor(peers)}
	if request.Firewall != nil && r.Cluster.Carries(store) { // another build's may refuse what it does not know
		request.Known = r.reports.AddressesOf(peers)
	}
	_, err := askBy[api.Done](ctx, r, m, store, api.OpFirewall, request)
	return err
}

// peersNow returns the addresses that hosts let in as peers: those of the desired members, and of all that etcd's list
// has by the last observation.
func (r *run) peersNow() []string {
	if r.peers != nil {
		return r.peers()
	}
	return slices.Compact(slices.Sorted(slices.Values(r.Cluster.Addresses())))
}
