package etcdclient

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Look asks the member for its status.
func (l Local) Look(ctx context.Context) api.Member {
	ctx, cancel := l.within(ctx)
	defer cancel()
	client, err := l.Dial(ctx)
	if err != nil {
		connected, known := l.Connected(ctx)
		return api.Member{Error: err.Error(), HealthError: err.Error(), Ready: l.Ready(ctx), Connected: connected, ConnectionsUnknown: !known}
	}
	defer client.Close()

	// Each answer fills fields of its own, and a missing answer leaves them empty. The error of the read, which needs a
	// quorum, says why.
	var view api.Member
	var questions sync.WaitGroup
	askStatus := func() {
		status, err := client.Status(ctx, client.Endpoints()[0])
		if err != nil {
			view.Error = err.Error()
			return
		}
		tellStatus(&view, status)
	}
	questions.Go(askStatus)
	questions.Go(func() {
		// The read is linearizable, so that it fails on a member that is cut off from its peers. Any key will do.
		if _, err := client.Get(ctx, "health"); err != nil {
			view.HealthError = err.Error()
			return
		}
		view.Healthy = true
	})
	askList := func() {
		// The list is serializable: the member's own view, which it has without a quorum too.
		if list, err := client.MemberList(ctx, clientv3.WithSerializable()); err == nil {
			view.Members = Listed(list.Members)
		}
	}
	questions.Go(askList)
	questions.Go(func() { view.ClusterVersion = l.clusterVersion(ctx) })
	questions.Go(func() { view.Ready = l.Ready(ctx) })
	questions.Go(func() {
		connected, known := l.Connected(ctx)
		view.Connected, view.ConnectionsUnknown = connected, !known
	})
	questions.Wait()
	if view.Healthy {
		// The read may have waited for an election, so the status is asked for again: it names the new leader.
		// The list comes after it, so that it is no older than the applied index, by which lists are compared.
		// Readiness is asked for again too, since the member may have given up its own read, by which it tells that.
		askStatus()
		askList()
		view.Ready = view.Ready || l.Ready(ctx)
	}
	return view
}

// tellStatus copies the member's status to view.
func tellStatus(view *api.Member, s *clientv3.StatusResponse) {
	view.Responding = true
	view.ClusterID, view.MemberID = api.FormatID(s.Header.ClusterId), api.FormatID(s.Header.MemberId)
	if s.Leader != 0 {
		view.Leader = api.FormatID(s.Leader)
	}
	view.Learner = s.IsLearner
	view.Version = s.Version
	view.RaftTerm, view.RaftIndex, view.AppliedIndex = s.RaftTerm, s.RaftIndex, s.RaftAppliedIndex
	view.Revision = s.Header.Revision
	view.DBSizeBytes, view.DBUsedBytes, view.QuotaBytes = s.DbSize, s.DbSizeInUse, s.DbSizeQuota
	view.StorageVersion = s.StorageVersion
	if s.DowngradeInfo != nil && s.DowngradeInfo.Enabled {
		view.Downgrade = s.DowngradeInfo.TargetVersion
	}
	view.Alarms = Raised(s.Errors)
}

// Listed returns a list of members as the store reports it, sorted by ID.
func Listed(members []*etcdserverpb.Member) []api.ListedMember {
	var list []api.ListedMember
	for _, e := range members {
		list = append(list, api.ListedMember{ID: api.FormatID(e.ID), Name: e.Name, PeerURLs: e.PeerURLs, ClientURLs: e.ClientURLs, Learner: e.IsLearner})
	}
	slices.SortFunc(list, func(a, b api.ListedMember) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// Raised returns the alarms among the errors of a status, sorted, each with the member that raised it. etcd writes them
// as "memberID:10276657743932975437 alarm:NOSPACE". The alarms are read from a status because the list of alarms goes
// through the log: each request for it is a write, and learners refuse it.
func Raised(complaints []string) []string {
	var alarms []string
	for _, complaint := range complaints {
		var member uint64
		kind := ""
		for _, field := range strings.Fields(complaint) {
			if text, ok := strings.CutPrefix(field, "memberID:"); ok {
				member, _ = strconv.ParseUint(text, 10, 64)
			}
			if text, ok := strings.CutPrefix(field, "alarm:"); ok {
				kind = text
			}
		}
		if kind != "" {
			alarms = append(alarms, kind+" "+api.FormatID(member))
		}
	}
	slices.Sort(alarms)
	return alarms
}
