package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// readdress gives a member its new address. Meanwhile its certificates also name the old address: peers reach the
// member at either, and it may have to be rolled back. A member that served and does not come up at its new address is
// rolled back to the old one.
func (r *changeRun) readdress(ctx context.Context, step membership.Step) error {
	m := step.Subject()
	s := r.member(m)
	before := r.currentConfiguration(m)
	if err := r.issueFor(ctx, step, before, r.Cluster.Peering(step.Named, "").BothNames(m, s.From)); err != nil {
		return err
	}
	alone := r.status.Size() == 1 && s.State != membership.Healthy // the member updates the list itself once it serves
	if !s.Moved && !alone {
		if err := r.updatePeerURL(ctx, m, s.ID, r.Cluster.PeerURL(m)); err != nil {
			return err
		}
	}
	request, err := r.readdressedRequest(step, before, plan.Misconfigured(r.status, r.Cluster.Spec, m))
	if err != nil {
		return err
	}
	var failure error
	if !s.There || s.State != membership.Healthy {
		failure = r.configureAndRestart(ctx, m, request)
	}
	switch {
	case failure == nil:
	case !failureKnown(failure):
		return fmt.Errorf("it is not known whether it came up at its new address: %w", failure)
	case s.State != membership.Healthy:
		return failure
	default:
		return r.moveBack(ctx, step, before, failure)
	}
	if !s.Moved && alone {
		through := api.UpdateMemberRequest{Owner: r.order.Owner, ID: s.ID, PeerURL: r.Cluster.PeerURL(m), Timeout: retryTimeout}
		if err := r.tell(ctx, m, api.OpUpdateMember, through); err != nil {
			return err
		}
	}
	if err := r.verify(ctx, m); err != nil {
		return err
	}
	return r.issue(ctx, step, request)
}

// moveBack rolls a member back to its old address.
func (r *changeRun) moveBack(ctx context.Context, step membership.Step, before api.ConfigureRequest, failure error) error {
	m := step.Subject()
	s := r.member(m)
	// In a cluster of one no other member can update the list: the member starts with the new address in it.
	if r.status.Size() > 1 {
		if err := r.updatePeerURL(ctx, m, s.ID, s.From); err != nil {
			return fmt.Errorf("it did not come up at its new address: %w\nThe member list could not be rolled back either: %w", failure, err)
		}
	}
	var refused refusedError
	untouched := errors.As(failure, &refused) // it is not restarted in vain
	if !untouched {
		if err := r.rollBackTo(ctx, m, before); err != nil {
			return fmt.Errorf("it did not come up at its new address: %w\nIt could not be rolled back to %s either: %w", failure, membership.HostOf(s.From), err)
		}
	}
	if r.status.Size() == 1 {
		if err := r.updatePeerURL(ctx, m, s.ID, s.From); err != nil {
			return fmt.Errorf("it did not come up at its new address: %w\nIt runs at %s again, but the member list could not be rolled back: %w", failure, membership.HostOf(s.From), err)
		}
	}
	if !untouched {
		failure = fmt.Errorf("it did not come up at its new address, and was rolled back to %s, where it is healthy: %w", membership.HostOf(s.From), failure)
	}
	if err := r.issueOldName(ctx, step, before); err != nil {
		return fmt.Errorf("%w\nIts certificates go on naming both addresses, until the next apply renews them: %w", failure, err)
	}
	return failure
}

// issueOldName gives a member that stays at its old address certificates that name that one alone.
func (r *changeRun) issueOldName(ctx context.Context, step membership.Step, before api.ConfigureRequest) (err error) {
	m := step.Subject()
	old := membership.Member{Name: m.Name, Address: membership.HostOf(r.member(m).From)}
	if old.Address == m.Address { // another port
		return nil
	}
	if before.Certificates, err = r.certificatesBy(ctx, m, step.Signers, before, r.Cluster.Peering(step.Named, "").Keys(old)); err != nil {
		return err
	}
	return r.write(ctx, m, before)
}

// updatePeerURL updates a member's peer URL in the member list: through another voter, or through itself if there is
// no other.
func (r *changeRun) updatePeerURL(ctx context.Context, m membership.Member, id, peerURL string) error {
	except := m
	if r.status.Size() == 1 {
		except = membership.Member{}
	}
	through, err := r.leader(except)
	if err != nil {
		return err
	}
	if err := r.tell(ctx, through, api.OpUpdateMember, api.UpdateMemberRequest{Owner: r.order.Owner, ID: id, PeerURL: peerURL, Timeout: retryTimeout}); err != nil {
		return err
	}
	return r.confirm(ctx, fmt.Sprintf("%s is at %s", m.Name, peerURL), func(view api.Member) bool {
		for _, entry := range view.Members {
			if entry.ID == id {
				return strings.Join(entry.PeerURLs, ",") == peerURL
			}
		}
		return false
	}, m)
}

// readdressedRequest returns what a member runs by at its new address: its current configuration with the new address,
// or, if whole is set, everything that is desired.
func (r *changeRun) readdressedRequest(step membership.Step, now api.ConfigureRequest, whole bool) (api.ConfigureRequest, error) {
	m := step.Subject()
	request, err := r.configureRequest(m, step.Demands, r.Cluster.Version, api.PhaseFormed)
	if err != nil {
		return request, err
	}
	if whole {
		return request, nil
	}
	request.Store, request.Marker.Store = now.Store, now.Marker.Store
	c := r.clusterFor(m, r.Cluster.Version)
	request.Unit = now.Unit
	request.Marker.ClientPort, request.Marker.MetricsPort = now.Marker.ClientPort, now.Marker.MetricsPort
	request.Flags = c.Readdressed(m, now.Flags, now.Marker)
	return request, nil
}
