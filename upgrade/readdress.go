package upgrade

import (
	"context"
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// readdress gives a member its new address. While it lasts, its certificates name the old one too: others reach it at either,
// and it may have to go back. A member that served, and does not come up at its new address, is put back to where it was.
func (r *changeRun) readdress(ctx context.Context, m membership.Member) error {
	s := r.member(m)
	before := r.present(m)
	if err := r.name(ctx, m, before, r.Cluster.BothNames(m, s.From)); err != nil {
		return err
	}
	alone := r.status.Size() == 1 && s.State != membership.Healthy // it changes the list itself, once it serves
	if !s.Moved && !alone {
		if err := r.list(ctx, m, s.ID, r.Cluster.PeerURL(m)); err != nil {
			return err
		}
	}
	request, err := r.elsewhere(m, before, plan.Misconfigured(r.status, r.Cluster.Spec, m))
	if err != nil {
		return err
	}
	var failure error
	if !s.There || s.State != membership.Healthy {
		failure = r.swap(ctx, m, request)
	}
	switch {
	case failure == nil:
	case !said(failure):
		return fmt.Errorf("what became of it is not known: %w", failure)
	case s.State != membership.Healthy:
		return failure
	default:
		return r.moveBack(ctx, m, before, failure)
	}
	if !s.Moved && alone {
		through := api.UpdateMemberRequest{Owner: r.order.Owner, ID: s.ID, PeerURL: r.Cluster.PeerURL(m), Timeout: patience}
		if err := r.tell(ctx, m, api.OpUpdateMember, through); err != nil {
			return err
		}
	}
	if err := r.verify(ctx, m); err != nil {
		return err
	}
	return r.name(ctx, m, request, r.Cluster.Keys(m))
}

// moveBack puts a member back to the address that it had.
func (r *changeRun) moveBack(ctx context.Context, m membership.Member, before api.ConfigureRequest, failure error) error {
	s := r.member(m)
	if r.status.Size() > 1 { // a cluster of one has nobody to change the list through: it comes up with the new one in it
		if err := r.list(ctx, m, s.ID, s.From); err != nil {
			return fmt.Errorf("it did not come up at its new address: %w\nThe list could not be put back either: %w", failure, err)
		}
	}
	if err := r.swap(ctx, m, before); err != nil {
		return fmt.Errorf("it did not come up at its new address: %w\nIt could not be put back to %s either: %w", failure, membership.HostOf(s.From), err)
	}
	if r.status.Size() == 1 {
		if err := r.list(ctx, m, s.ID, s.From); err != nil {
			return fmt.Errorf("it did not come up at its new address: %w\nIt runs at %s again, and the list could not be put back: %w", failure, membership.HostOf(s.From), err)
		}
	}
	return fmt.Errorf("it did not come up at its new address, and was put back to %s, where it is healthy: %w", membership.HostOf(s.From), failure)
}

// name gives a member certificates for these keys, and changes nothing else.
func (r *changeRun) name(ctx context.Context, m membership.Member, as api.ConfigureRequest, keys []api.KeyRequest) (err error) {
	if as.Certificates, err = r.certificatesFor(ctx, m, as.Marker, keys); err != nil {
		return err
	}
	as.PeerCA, as.ClientCA = r.Cluster.PeerCA, r.Cluster.ClientCA
	return r.tell(ctx, m, api.OpConfigure, as)
}

// list has the member list say where a member is: through another voter, or through itself where it is alone.
func (r *changeRun) list(ctx context.Context, m membership.Member, id, peerURL string) error {
	but := m
	if r.status.Size() == 1 {
		but = membership.Member{}
	}
	through, err := r.leader(but)
	if err != nil {
		return err
	}
	if err := r.tell(ctx, through, api.OpUpdateMember, api.UpdateMemberRequest{Owner: r.order.Owner, ID: id, PeerURL: peerURL, Timeout: patience}); err != nil {
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

// elsewhere is what a member runs by at its new address: what it has, but for what follows from that; or, of one that is
// down and misconfigured, all that is desired.
func (r *changeRun) elsewhere(m membership.Member, now api.ConfigureRequest, whole bool) (api.ConfigureRequest, error) {
	request, err := r.configureRequest(m, r.Cluster.Version, api.PhaseFormed)
	if err != nil {
		return request, err
	}
	if whole {
		return request, nil
	}
	request.Store, request.Marker.Store = now.Store, now.Marker.Store
	c := r.as(m, r.Cluster.Version)
	request.Unit = now.Unit
	request.Marker.ClientPort, request.Marker.MetricsPort = now.Marker.ClientPort, now.Marker.MetricsPort
	request.Flags = c.Readdressed(m, now.Flags, now.Marker)
	return request, nil
}
