package host

import (
	"fmt"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

func sortedOperations(requests map[api.Operation]func(*stage) any) []api.Operation {
	var ops []api.Operation
	for op := range requests {
		ops = append(ops, op)
	}
	slices.Sort(ops)
	return ops
}

const inTime = patience

func adding(at string) func(*stage) any {
	return func(s *stage) any {
		return api.AddLearnerRequest{Owner: fleetOwner, PeerURL: s.place(at).peerURL(), Timeout: inTime}
	}
}

func promoting(at string) func(*stage) any {
	return func(s *stage) any { return api.PromoteRequest{Owner: fleetOwner, ID: s.ids[at], Timeout: inTime} }
}

func leading(at string) func(*stage) any {
	return func(s *stage) any { return api.MoveLeaderRequest{Owner: fleetOwner, To: s.ids[at]} }
}

func updating(at, to string) func(*stage) any {
	return func(s *stage) any {
		return api.UpdateMemberRequest{Owner: fleetOwner, ID: s.ids[at], PeerURL: s.place(to).peerURL(), Timeout: inTime}
	}
}

func recovering(change func(*api.RecoverRequest)) func(*stage) any {
	return func(s *stage) any {
		r := api.RecoverRequest{Owner: fleetOwner, ClusterID: s.clusterID, Timeout: time.Minute}
		if change != nil {
			change(&r)
		}
		return r
	}
}

// oneMember is a cluster of one member that serves.
var oneMember = arrangement{hosts: []string{"a"}, arrange: func(s *stage) { s.form("a") }, rows: []row{
	{at: "a", op: api.OpAwait, body: body(api.AwaitRequest{Members: 1, Timeout: inTime})},
	{at: "a", op: api.OpProbe, body: body(api.ProbeRequest{})},
	{at: "a", op: api.OpHash, body: body(api.HashRequest{}), same: []string{"hash_revision", "compact_revision", "revision"}},
	{name: "hash of the future", at: "a", op: api.OpHash, body: body(api.HashRequest{Revision: 1 << 40}), want: api.CodeFailed},
	// The database is still empty.
	{at: "a", op: api.OpSnapshot, body: body(api.SnapshotRequest{Owner: fleetOwner, Keep: 3}), same: []string{"revision", "keys"}},
	{name: "keep no snapshot", at: "a", op: api.OpSnapshot, body: body(api.SnapshotRequest{Owner: fleetOwner}), want: api.CodeRefused, loud: true},
	{at: "a", op: api.OpSave, body: body(api.SaveRequest{Owner: fleetOwner}), same: []string{"revision", "keys"}},
	{name: "save for a caller that may come back", at: "a", op: api.OpSave, body: body(api.SaveRequest{Owner: fleetOwner, ID: oneRun}), same: []string{"revision", "keys"}},
	{name: "the rest of what has come", at: "a", op: api.OpSave, body: body(api.SaveRequest{Owner: fleetOwner, ID: oneRun, From: 5}), want: api.CodeRefused, says: "does not have the snapshot any more"},
	{name: "the rest of another cluster's", at: "a", op: api.OpSave, body: body(api.SaveRequest{Owner: "another", ID: oneRun, From: 5}), want: api.CodeRefused},
	{name: "the rest of nothing", at: "a", op: api.OpSave, body: body(api.SaveRequest{Owner: fleetOwner, From: 5}), want: api.CodeRefused, says: "is no ID"},
	{name: "save it by a path", at: "a", op: api.OpSave, body: body(api.SaveRequest{Owner: fleetOwner, ID: "../main.run"}), want: api.CodeRefused, says: "is no ID"},
	{name: "save before its beginning", at: "a", op: api.OpSave, body: body(api.SaveRequest{Owner: fleetOwner, ID: oneRun, From: -1}), want: api.CodeRefused, says: "from byte -1 on"},
	{name: "send what is uploaded", at: "a", op: api.OpSave, body: body(api.SaveRequest{Owner: fleetOwner, ID: oneRun, S3: &api.S3{}}), want: api.CodeRefused, says: "is uploaded"},
	{at: "a", op: api.OpDisarm, body: body(api.DisarmRequest{Owner: fleetOwner, Alarms: true})},
	{name: "disarm what is not raised", at: "a", op: api.OpDisarm, body: body(api.DisarmRequest{Owner: fleetOwner, Corrupt: true})},
	{name: "recover one that is alone", at: "a", op: api.OpRecover, body: recovering(nil)},
	{name: "recover another cluster", at: "a", op: api.OpRecover, body: recovering(func(r *api.RecoverRequest) { r.ClusterID = nobody }), want: api.CodeRefused},
	{name: "recover in no time", at: "a", op: api.OpRecover, body: recovering(func(r *api.RecoverRequest) { r.Timeout = 0 }), want: api.CodeRefused, says: "time limit"},
	{name: "remove the one that is asked", at: "a", op: api.OpRemoveMember, body: removal("a", fleetOwner), want: api.CodeRefused, says: "ask another voter"},
	{name: "remove nobody", at: "a", op: api.OpRemoveMember, body: body(api.RemoveMemberRequest{Owner: fleetOwner, ID: "00ff", Timeout: inTime}), want: api.CodeRefused, says: "no member ID"},
	{name: "remove one that is gone", at: "a", op: api.OpRemoveMember, body: body(api.RemoveMemberRequest{Owner: fleetOwner, ID: "ff", Timeout: inTime})},
	{name: "promote nobody", at: "a", op: api.OpPromote, body: body(api.PromoteRequest{Owner: fleetOwner, ID: "ff", Timeout: inTime}), want: api.CodeFailed, says: "member not found"},
	{name: "promote a voter", at: "a", op: api.OpPromote, body: promoting("a")},
	{name: "lead by nobody", at: "a", op: api.OpMoveLeader, body: body(api.MoveLeaderRequest{Owner: fleetOwner, To: "ff"}), want: api.CodeRefused, says: "no voter"},
	{name: "lead by who leads", at: "a", op: api.OpMoveLeader, body: leading("a")},
	{name: "update nobody", at: "a", op: api.OpUpdateMember, body: func(s *stage) any {
		return api.UpdateMemberRequest{Owner: fleetOwner, ID: "ff", PeerURL: s.place("b").peerURL(), Timeout: inTime}
	}, want: api.CodeRefused, says: "not in the list"},
	{name: "update to no URL", at: "a", op: api.OpUpdateMember, body: func(s *stage) any { return api.UpdateMemberRequest{Owner: fleetOwner, ID: s.ids["a"], Timeout: inTime} }, want: api.CodeRefused, says: "no peer URL"},
	{name: "update to where it is", at: "a", op: api.OpUpdateMember, body: updating("a", "a")},
	{name: "add a learner at no URL", at: "a", op: api.OpAddLearner, body: body(api.AddLearnerRequest{Owner: fleetOwner, Timeout: inTime}), want: api.CodeRefused, says: "no peer URL"},
	{name: "add a learner in no time", at: "a", op: api.OpAddLearner, body: func(s *stage) any { return api.AddLearnerRequest{Owner: fleetOwner, PeerURL: s.place("b").peerURL()} }, want: api.CodeRefused, says: "time limit"},
	{name: "add a voter as a learner", at: "a", op: api.OpAddLearner, body: adding("a"), want: api.CodeRefused, says: "has this peer URL"},
	{name: "go down to no minor version", at: "a", op: api.OpDowngrade, body: body(api.DowngradeRequest{Owner: fleetOwner, Version: "3.6.0"}), want: api.CodeRefused},
	{name: "go down", at: "a", op: api.OpDowngrade, body: goingDown(-1)},
	{name: "go down again", at: "a", op: api.OpDowngrade, body: goingDown(-1)},
	{name: "go down further meanwhile", at: "a", op: api.OpDowngrade, body: goingDown(-2), want: api.CodeRefused, says: "is under way"},
	{name: "cancel that", at: "a", op: api.OpDowngrade, body: body(api.DowngradeRequest{Owner: fleetOwner})},
	{name: "cancel no downgrade", at: "a", op: api.OpDowngrade, body: body(api.DowngradeRequest{Owner: fleetOwner})},
	{name: "go down by two minor versions", at: "a", op: api.OpDowngrade, body: body(api.DowngradeRequest{Owner: fleetOwner, Version: "3.2"}), want: api.CodeRefused, says: "downgrade to 3.2"},
	{name: "fence for no snapshot", at: "a", op: api.OpFence, body: body(api.FenceRequest{Owner: fleetOwner, Source: "a file", Snapshot: "x"}), want: api.CodeRefused, says: "SHA-256"},
	{name: "restore one that is not fenced", at: "a", op: api.OpRestore, body: func(s *stage) any {
		return api.RestoreRequest{Marker: s.marker("a"), Source: "a file", Snapshot: noSum, PeerURL: s.place("a").peerURL(), Bump: 1000}
	}, want: api.CodeRefused},
	{name: "join with the data of a voter", at: "a", op: api.OpPrepare, body: prepareA(func(r *api.PrepareRequest) { r.Marker.Phase = api.PhaseJoining }), want: api.CodeRefused, says: "set that aside first"},
	{name: "form again with the data of a voter", at: "a", op: api.OpPrepare, body: prepareA(nil)}, // stays formed
	{name: "form another with the data of a voter", at: "a", op: api.OpPrepare, body: prepareA(func(r *api.PrepareRequest) { r.Marker.Token = "t2" }), want: api.CodeRefused, says: "is not empty"},
	{at: "a", op: api.OpRestart, body: body(api.RestartRequest{Owner: fleetOwner})},
	{at: "a", op: api.OpStop, body: body(api.StopRequest{Owner: fleetOwner})},
	{at: "a", op: api.OpStart, body: body(api.StartRequest{})},
	{at: "a", op: api.OpSetAside, body: body(api.SetAsideRequest{Owner: fleetOwner, Why: "unfinished"})},
	{name: "join once it was set aside", at: "a", op: api.OpPrepare, body: prepareA(func(r *api.PrepareRequest) { r.Marker.Phase = api.PhaseJoining })},
	{at: "a", op: api.OpRetire, body: body(api.RetireRequest{Owner: fleetOwner})},
}}

// stoppedMember is a cluster of one member that is stopped.
var stoppedMember = arrangement{hosts: []string{"a"},
	arrange: func(s *stage) { s.form("a"); s.must("a", api.OpStop, api.StopRequest{Owner: fleetOwner}, nil) },
	rows: joined(
		each(those(changing(fleetOwner), api.OpSnapshot, api.OpSave, api.OpMoveLeader, api.OpDowngrade, api.OpDisarm, api.OpAddLearner), api.CodeFailed, "")[1:],
		[]row{
			{name: "hash", at: "a", op: api.OpHash, body: body(api.HashRequest{}), want: api.CodeFailed},
			{name: "it joins by its marker", event: func(s *stage) { s.edit("a", func(m *api.Marker) { m.Phase = api.PhaseJoining }) }},
			{name: "recover one that has not joined", at: "a", op: api.OpRecover, body: recovering(nil), want: api.CodeRefused},
			{name: "it is formed again", event: func(s *stage) { s.edit("a", func(m *api.Marker) { m.Phase = api.PhaseFormed }) }},
			{name: "recover one that ends too early", at: "a", op: api.OpRecover, body: recovering(func(r *api.RecoverRequest) { r.Term = 1 << 20 }), want: api.CodeRefused, says: "is not recovered from"},
			{name: "its data is gone", event: func(s *stage) { s.loseData("a") }},
			{name: "recover without data", at: "a", op: api.OpRecover, body: recovering(nil), want: api.CodeRefused},
			{name: "join without data", at: "a", op: api.OpPrepare, body: prepareA(func(r *api.PrepareRequest) { r.Marker.Phase = api.PhaseJoining })},
			{name: "form without data", at: "a", op: api.OpPrepare, body: prepareA(nil)},
		},
	),
}

// threeMembers is a cluster of three members, led by b, and another host.
var threeMembers = arrangement{hosts: []string{"a", "b", "c", "d"},
	arrange: func(s *stage) { s.form("a", "b", "c"); s.leads("b", "a", "c", "b") },
	rows: []row{
		{name: "recover what has its quorum", at: "a", op: api.OpRecover, body: recovering(nil), want: api.CodeRefused, says: "has its quorum"},
		{name: "lead by another, asked of a follower", at: "a", op: api.OpMoveLeader, body: leading("c")},
		{name: "update to where another is", at: "a", op: api.OpUpdateMember, body: updating("c", "b"), want: api.CodeFailed, says: "Peer URLs already exists"},
		{at: "a", op: api.OpAddLearner, body: adding("d")},
		{name: "its ID", event: func(s *stage) { s.learn("a", "d") }},
		{name: "add it again", at: "a", op: api.OpAddLearner, body: adding("d")},
		{name: "promote one that does not run", at: "a", op: api.OpPromote, body: promoting("d"), want: api.CodeRefused, says: "in sync with leader"},
		{name: "lead by a learner", at: "b", op: api.OpMoveLeader, body: leading("d"), want: api.CodeRefused, says: "no voter"},
		{name: "lead by a learner, asked of a follower", at: "a", op: api.OpMoveLeader, body: leading("d"), want: api.CodeRefused, says: "no voter"},
		{name: "update a learner", at: "a", op: api.OpUpdateMember, body: updating("d", "d"), want: api.CodeRefused, loud: true},
		{name: "the learner is prepared", at: "d", op: api.OpPrepare, body: func(s *stage) any { return api.PrepareRequest{Marker: s.joining("d"), Keys: s.keys("d")} }},
		{name: "the learner is configured", at: "d", op: api.OpConfigure, body: func(s *stage) any { return s.prepare("d", s.joining("d"), "existing") }},
		{name: "the learner starts", at: "d", op: api.OpStart, body: body(api.StartRequest{})},
		{name: "it comes", event: func(s *stage) { s.await("d", api.AwaitRequest{Learner: true}) }},
		{name: "add through a learner", at: "d", op: api.OpAddLearner, body: adding("d"), want: api.CodeRefused, says: "is a learner"},
		{name: "remove through a learner", at: "d", op: api.OpRemoveMember, body: removal("a", fleetOwner), want: api.CodeRefused, says: "is a learner"},
		{name: "update through a learner", at: "d", op: api.OpUpdateMember, body: updating("a", "a"), want: api.CodeRefused, says: "is a learner"},
		{name: "promote through a learner", at: "d", op: api.OpPromote, body: promoting("d"), want: api.CodeRefused, says: "is a learner"},
		{name: "lead through a learner", at: "d", op: api.OpMoveLeader, body: leading("a"), want: api.CodeRefused, says: "is a learner"},
		{name: "downgrade through a learner", at: "d", op: api.OpDowngrade, body: body(api.DowngradeRequest{Owner: fleetOwner}), want: api.CodeRefused, says: "is a learner"},
		{name: "defragment a learner", at: "d", op: api.OpDisarm, body: body(api.DisarmRequest{Owner: fleetOwner}), want: api.CodeRefused, says: "is a learner"},
		{name: "a snapshot of a learner", at: "d", op: api.OpSnapshot, body: body(api.SnapshotRequest{Owner: fleetOwner, Keep: 1}), want: api.CodeRefused, says: "is a learner"},
		{name: "save a learner", at: "d", op: api.OpSave, body: body(api.SaveRequest{Owner: fleetOwner}), want: api.CodeRefused, says: "is a learner"},
		{name: "hash of a learner", at: "d", op: api.OpHash, body: body(api.HashRequest{})},
		{name: "the learner is to be a voter", at: "d", op: api.OpConfigure, body: func(s *stage) any {
			m := s.joining("d")
			m.Phase, m.ClusterID, m.MemberID = api.PhaseFormed, s.clusterID, s.ids["d"]
			return s.prepare("d", m, "existing")
		}},
		{name: "a learner that is formed joins again", at: "d", op: api.OpPrepare, body: func(s *stage) any { return api.PrepareRequest{Marker: s.joining("d"), Keys: s.keys("d")} }, want: api.CodeRefused, says: "set that aside first"},
		{at: "a", op: api.OpPromote, body: promoting("d")},
		{name: "promote it again", at: "a", op: api.OpPromote, body: promoting("d")},
		{name: "move the leadership", at: "b", op: api.OpMoveLeader, body: leading("c")},
		{name: "remove one that does not lead", at: "a", op: api.OpRemoveMember, body: removal("b", fleetOwner)},
		{name: "remove it again", at: "a", op: api.OpRemoveMember, body: removal("b", fleetOwner)},
	},
}

// lostQuorum is a cluster of three members of which two are stopped.
var lostQuorum = arrangement{hosts: []string{"a", "b", "c"},
	arrange: func(s *stage) {
		s.form("a", "b", "c")
		s.leads("a", "b", "c", "a")
		s.stop("b")
		s.stop("c")
	},
	rows: []row{
		{name: "add without a quorum", at: "a", op: api.OpAddLearner, body: func(s *stage) any {
			return api.AddLearnerRequest{Owner: fleetOwner, PeerURL: s.place("d").peerURL(), Timeout: time.Second}
		}, want: api.CodeFailed},
		{name: "remove without a quorum", at: "a", op: api.OpRemoveMember, body: func(s *stage) any {
			return api.RemoveMemberRequest{Owner: fleetOwner, ID: s.ids["b"], Timeout: time.Second}
		}, want: api.CodeFailed},
		{name: "promote without a quorum", at: "a", op: api.OpPromote, body: func(s *stage) any {
			return api.PromoteRequest{Owner: fleetOwner, ID: s.ids["b"], Timeout: time.Second}
		}, want: api.CodeFailed},
		{name: "save without a quorum", at: "a", op: api.OpSave, body: body(api.SaveRequest{Owner: fleetOwner}), want: api.CodeRefused},
		{name: "lead by another without a quorum", at: "a", op: api.OpMoveLeader, body: leading("b")},
		{name: "lead by nobody without a quorum", at: "a", op: api.OpMoveLeader, body: body(api.MoveLeaderRequest{Owner: fleetOwner, To: nobody}), want: api.CodeRefused, says: "no voter"},
		{name: "cancel a downgrade without a quorum", at: "a", op: api.OpDowngrade, body: body(api.DowngradeRequest{Owner: fleetOwner})},
		{name: "disarm without a quorum", at: "a", op: api.OpDisarm, body: body(api.DisarmRequest{Owner: fleetOwner})},
		{name: "a snapshot without a quorum", at: "a", op: api.OpSnapshot, body: body(api.SnapshotRequest{Owner: fleetOwner, Keep: 3}), same: []string{"revision", "keys"}},
		{name: "hash without a quorum", at: "a", op: api.OpHash, body: body(api.HashRequest{}), same: []string{"hash_revision"}},
		{name: "recover another cluster", at: "a", op: api.OpRecover, body: recovering(func(r *api.RecoverRequest) { r.ClusterID = nobody }), want: api.CodeRefused},
		// The member runs on.
		{name: "recover one that ends too early", at: "a", op: api.OpRecover, body: recovering(func(r *api.RecoverRequest) { r.Term = 1 << 20 }), want: api.CodeRefused, says: "is not recovered from"},
		{name: "it stops", event: func(s *stage) { s.stop("a") }},
		{name: "a recovery is cut off", event: func(s *stage) { s.cutRecovery("a") }},
		{name: "start it among the others", at: "a", op: api.OpStart, body: body(api.StartRequest{}), want: api.CodeRefused, says: "must not meet the other voters"},
		{name: "restart it among the others", at: "a", op: api.OpRestart, body: body(api.RestartRequest{Owner: fleetOwner}), want: api.CodeRefused, says: "must not meet the other voters"},
		{name: "configure it among the others", at: "a", op: api.OpConfigure, body: func(s *stage) any {
			m := s.marker("a", "b", "c")
			m.Phase, m.ClusterID, m.MemberID = api.PhaseFormed, s.clusterID, s.ids["a"]
			return s.prepare("a", m, "new")
		}},
		{name: "start it among the others still", at: "a", op: api.OpStart, body: body(api.StartRequest{}), want: api.CodeRefused, says: "must not meet the other voters"},
		{at: "a", op: api.OpRecover, body: recovering(nil)},
		{name: "recover again", at: "a", op: api.OpRecover, body: recovering(nil)},
	},
}

// fencedHost carries a member that a restore has fenced.
var fencedHost = arrangement{hosts: []string{"a"},
	arrange: func(s *stage) { s.form("a") },
	rows: []row{
		{at: "a", op: api.OpFence, body: body(api.FenceRequest{Owner: fleetOwner, Source: "a file", Snapshot: noSum})},
		{name: "fence again", at: "a", op: api.OpFence, body: body(api.FenceRequest{Owner: fleetOwner, Source: "another file", Snapshot: noSum})},
		{at: "a", op: api.OpStart, body: body(api.StartRequest{}), want: api.CodeRefused, says: "is under way"},
		{at: "a", op: api.OpRestart, body: body(api.RestartRequest{Owner: fleetOwner}), want: api.CodeRefused, says: "is under way"},
		{at: "a", op: api.OpSetAside, body: body(api.SetAsideRequest{Owner: fleetOwner, Why: "lost"}), want: api.CodeRefused, says: "is under way"},
		{at: "a", op: api.OpAdvance, body: body(api.AdvanceRequest{Owner: fleetOwner, Stage: api.StageChecked}), want: api.CodeRefused},
		{name: "it is over", at: "a", op: api.OpAdvance, body: body(api.AdvanceRequest{Owner: fleetOwner}), want: api.CodeRefused},
		{name: "restored by being told", at: "a", op: api.OpAdvance, body: body(api.AdvanceRequest{Owner: fleetOwner, Stage: api.StageRestored}), want: api.CodeRefused},
		{name: "recover what is fenced", at: "a", op: api.OpRecover, body: recovering(nil), want: api.CodeRefused},
		{name: "restore what was not fetched", at: "a", op: api.OpRestore, body: func(s *stage) any {
			return api.RestoreRequest{Marker: s.marker("a"), Source: "another file", Snapshot: noSum, PeerURL: s.place("a").peerURL(), Bump: 1000}
		}, want: api.CodeRefused},
		{name: "roll back for another", at: "a", op: api.OpRollBack, body: body(api.RollBackRequest{Owner: another}), want: api.CodeRefused, says: "another Terraform object"},
		{at: "a", op: api.OpRollBack, body: body(api.RollBackRequest{Owner: fleetOwner})},
		{name: "start what was rolled back", at: "a", op: api.OpStart, body: body(api.StartRequest{})},
	},
}

// frozenMember is one of three that runs, and does nothing.
var frozenMember = arrangement{hosts: []string{"a", "b", "c"},
	arrange: func(s *stage) { s.form("a", "b", "c"); s.leads("a", "a", "b", "c"); s.freeze("c", true) },
	rows: []row{
		{at: "c", op: api.OpProbe, body: body(api.ProbeRequest{}), same: []string{"responding", "error", "healthy", "health_error", "ready"}},
		{name: "one of the others", at: "a", op: api.OpProbe, body: body(api.ProbeRequest{}), same: []string{"responding", "healthy"}},
		{name: "save it", at: "c", op: api.OpSave, body: body(api.SaveRequest{Owner: fleetOwner}), want: api.CodeFailed},
		{name: "it goes on", event: func(s *stage) { s.freeze("c", false) }},
		{name: "it answers", at: "c", op: api.OpProbe, body: body(api.ProbeRequest{}), same: []string{"responding"}},
	},
}

// diskAway is a host whose data is on a disk that is not mounted: nothing touches what is below the mount point.
var diskAway = arrangement{hosts: []string{"a"},
	arrange: func(s *stage) { s.form("a"); s.unmount("a") },
	rows: []row{
		{at: "a", op: api.OpSetAside, body: body(api.SetAsideRequest{Owner: fleetOwner, Why: "lost"}), want: api.CodeRefused, says: "was on the file system"},
		{at: "a", op: api.OpFence, body: body(api.FenceRequest{Owner: fleetOwner, Source: "a file", Snapshot: noSum}), want: api.CodeRefused, says: "was on the file system"},
		{at: "a", op: api.OpPrepare, body: prepareA(nil), want: api.CodeRefused, says: "was on the file system"},
		{name: "recover without it", at: "a", op: api.OpRecover, body: recovering(nil), want: api.CodeRefused, says: "was on the file system"},
		{at: "a", op: api.OpRetire, body: body(api.RetireRequest{Owner: fleetOwner}), want: api.CodeRefused, says: "was on the file system"},
		{name: "purge without it", at: "a", op: api.OpRetire, body: body(api.RetireRequest{Owner: fleetOwner, Purge: true}), want: api.CodeRefused, says: "was on the file system"},
		{name: "the disk comes", event: func(s *stage) { s.mount("a") }},
		{name: "fence it", at: "a", op: api.OpFence, body: body(api.FenceRequest{Owner: fleetOwner, Source: "a file", Snapshot: noSum})},
		{name: "the disk goes", event: func(s *stage) { s.unmount("a") }},
		{name: "roll back without it", at: "a", op: api.OpRollBack, body: body(api.RollBackRequest{Owner: fleetOwner}), want: api.CodeRefused, says: "was on the file system"},
		{name: "the disk comes again", event: func(s *stage) { s.mount("a") }},
		{name: "roll back with it", at: "a", op: api.OpRollBack, body: body(api.RollBackRequest{Owner: fleetOwner})},
		{name: "purge with it", at: "a", op: api.OpRetire, body: body(api.RetireRequest{Owner: fleetOwner, Purge: true})},
	},
}

// minor returns a minor version: the one of the members, or one that is that much newer.
func (s *stage) minor(newer int) string {
	var number int
	if _, err := fmt.Sscanf(s.version, "3.%d.", &number); err != nil {
		s.Fatal(err)
	}
	return fmt.Sprintf("3.%d", number+newer)
}

func goingDown(by int) func(*stage) any {
	return func(s *stage) any { return api.DowngradeRequest{Owner: fleetOwner, Version: s.minor(by)} }
}

// learn keeps the ID of a member that was added, as another has it.
func (s *stage) learn(from, of string) {
	o, err := s.observe(from)
	if err != nil {
		s.Fatal(err)
	}
	for _, l := range o.Member.Members {
		if l.PeerURLs[0] == s.place(of).peerURL() {
			s.ids[of] = l.ID
		}
	}
}

// joining returns the marker of a host that joins a, b and c.
func (s *stage) joining(at string) api.Marker {
	m := s.marker(at, "a", "b", "c")
	m.Phase = api.PhaseJoining
	return m
}
