package host

import (
	"bytes"
	"fmt"
	"os"
	"syscall"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// failingParty is what the machine and the fake do where a member fails.
type failingParty interface {
	raise(at, alarm string)
	damage(at, part string)
	differ(at string)  // the member ends at each start, since a peer holds other data
	putBack(at string) // the same, since it has told the leader more than it has
	cutRecovery(at string)
}

func (p *machineParty) raise(at, alarm string) {
	m := p.hosts[at].Machine
	marker, err := m.records().Marker("main")
	must(p.t, err)
	client, err := m.local(*marker).Dial(p.t.Context())
	must(p.t, err)
	defer client.Close()
	id, err := api.ParseID(marker.MemberID)
	must(p.t, err)
	_, err = pb.NewMaintenanceClient(client.ActiveConnection()).Alarm(p.t.Context(), &pb.AlarmRequest{
		Action: pb.AlarmRequest_ACTIVATE, MemberID: id, Alarm: pb.AlarmType(pb.AlarmType_value[alarm]),
	})
	must(p.t, err)
}

// ends has the member end at each start, with this journal.
func (p *machineParty) ends(at string, journal ...string) {
	p.hosts[at].live.end(syscall.SIGTERM) // its database has all that was written
	p.hosts[at].live.journal = append(journal, "it has ended")
}

// damage flips a bit in the middle of the log, or overwrites the database from its third page on.
func (p *machineParty) damage(at, part string) {
	p.ends(at)
	m := p.hosts[at].Machine
	if part == nodetest.Log {
		logs := m.etcd(dataDir).LogFiles()
		change(p.t, m.path(logs[len(logs)-1]), func(text []byte) []byte { text[midOfLog(text)] ^= 0x10; return text })
	} else {
		change(p.t, m.path(etcdfs.Database(dataDir)), func(text []byte) []byte {
			from := 2 * os.Getpagesize()
			return append(text[:from], bytes.Repeat([]byte{0xa5}, len(text)-from)...)
		})
	}
	must(p.t, giveTree(m.path(dataDir), etcdOwner))
}

func (p *machineParty) differ(at string) {
	p.ends(at,
		`{"level":"warn","msg":"found different hash values from remote peer","local-member-id":"1","local-member-revision":4,"local-member-compact-revision":0,"local-member-hash":1,"remote-peer-id":"2","remote-peer-revision":4,"remote-peer-compact-revision":0,"remote-peer-hash":2}`,
		`{"level":"fatal","msg":"failed to start","error":"checkInitialHashKV failed: found data inconsistency with peers"}`)
}

func (p *machineParty) putBack(at string) {
	p.ends(at)
	index := p.hosts[at].etcd(dataDir).ReadLog().Index
	p.hosts[at].live.journal = []string{fmt.Sprintf("panic: tocommit(%d) is out of range [lastIndex(%d)]. Was the raft log corrupted, truncated, or lost?", index+1, index)}
}

func (p *machineParty) cutRecovery(at string) {
	m := p.hosts[at].Machine
	marker, err := m.records().Marker("main")
	must(p.t, err)
	to, err := m.dataDir(dataDir).CopyAside(recovered)
	must(p.t, err)
	l := m.etcd(dataDir).ReadLog()
	must(p.t, m.records().PutRecovery("main", records.Recovery{ClusterID: marker.ClusterID, Copy: to, Term: l.Term, Index: l.Index, Agreed: true}))
}

func (p *fakeParty) raise(at, alarm string) { p.host(at).RaiseAlarm("main", alarm) }
func (p *fakeParty) damage(at, part string) { p.host(at).Damage("main", part) }
func (p *fakeParty) cutRecovery(at string)  { p.host(at).CutRecovery("main") }

func (p *fakeParty) differ(at string) {
	p.host(at).Corrupt("main")
	p.host(at).RestartUnit("main")
}

func (p *fakeParty) putBack(at string) {
	p.host(at).Revert("main", 1)
	p.host(at).RestartUnit("main")
}

func disarming(change func(*api.DisarmRequest)) func(*stage) any {
	return func(*stage) any {
		r := api.DisarmRequest{Owner: fleetOwner}
		change(&r)
		return r
	}
}

// alarmedMember is a cluster of one that raises alarms.
var alarmedMember = arrangement{hosts: []string{"a"}, arrange: func(s *stage) { s.form("a"); s.write("a", 3); s.raise("a", "NOSPACE") }, rows: []row{
	{name: "probe it", at: "a", op: api.OpProbe, body: body(api.ProbeRequest{}), same: []string{"ready", "healthy"}},
	{name: "defragment, and disarm nothing", at: "a", op: api.OpDisarm, body: disarming(func(*api.DisarmRequest) {})},
	{name: "disarm what is not raised", at: "a", op: api.OpDisarm, body: disarming(func(r *api.DisarmRequest) { r.Corrupt = true })},
	{name: "save it without space", at: "a", op: api.OpSave, body: body(api.SaveRequest{Owner: fleetOwner}), same: []string{"revision", "keys"}},
	{name: "disarm it", at: "a", op: api.OpDisarm, body: disarming(func(r *api.DisarmRequest) { r.Alarms = true })},
	{name: "it is corrupt", event: func(s *stage) { s.raise("a", "CORRUPT") }},
	{name: "probe what is corrupt", at: "a", op: api.OpProbe, body: body(api.ProbeRequest{}), same: []string{"ready", "healthy"}},
	{name: "await what is corrupt", at: "a", op: api.OpAwait, body: body(api.AwaitRequest{Members: 1, Timeout: 2e9})},
	{name: "disarm NOSPACE alone", at: "a", op: api.OpDisarm, body: disarming(func(r *api.DisarmRequest) { r.Alarms = true })},
	{name: "save what is corrupt", at: "a", op: api.OpSave, body: body(api.SaveRequest{Owner: fleetOwner}), same: []string{"revision", "keys"}},
	{name: "a snapshot of what is corrupt", at: "a", op: api.OpSnapshot, body: body(api.SnapshotRequest{Owner: fleetOwner, Keep: 1}), same: []string{"revision", "keys"}},
	{name: "add to what is corrupt", at: "a", op: api.OpAddLearner, body: adding("d")},
	{name: "its ID", event: func(s *stage) { s.learn("a", "d") }},
	{name: "remove from what is corrupt", at: "a", op: api.OpRemoveMember, body: removal("d", fleetOwner)},
	{name: "disarm CORRUPT", at: "a", op: api.OpDisarm, body: disarming(func(r *api.DisarmRequest) { r.Corrupt = true })},
}}

// readsFiles is why one minor version of etcd does for members that end at each start.
const readsFiles = "no etcd runs on what is asked about: the host reads its files and its journal"

// damagedMember is a cluster of one that ends at each start, since a part of its data is damaged.
func damagedMember(part string) arrangement {
	refused := row{name: "set aside what somebody has written to", at: "a", op: api.OpSetAside, body: body(api.SetAsideRequest{Owner: fleetOwner, Why: "unfinished", Unwritten: true})}
	if part == nodetest.Log {
		refused.want, refused.says = api.CodeRefused, "somebody has written"
	}
	return arrangement{newest: readsFiles, hosts: []string{"a"}, arrange: func(s *stage) { s.form("a"); s.write("a", 3); s.damage("a", part) }, rows: []row{
		{at: "a", op: api.OpHash, body: body(api.HashRequest{}), want: api.CodeFailed},
		{at: "a", op: api.OpSave, body: body(api.SaveRequest{Owner: fleetOwner}), want: api.CodeFailed},
		{name: "recover it", at: "a", op: api.OpRecover, body: recovering(nil), want: api.CodeRefused, says: "cannot be recovered from"},
		{name: "stop it", at: "a", op: api.OpStop, body: body(api.StopRequest{Owner: fleetOwner})},
		{name: "start it", at: "a", op: api.OpStart, body: body(api.StartRequest{})},
		{name: "fence it", at: "a", op: api.OpFence, body: body(api.FenceRequest{Owner: fleetOwner, Source: "a file", Snapshot: noSum})},
		{name: "roll back", at: "a", op: api.OpRollBack, body: body(api.RollBackRequest{Owner: fleetOwner})},
		{name: "restart it", at: "a", op: api.OpRestart, body: body(api.RestartRequest{Owner: fleetOwner})},
		refused,
		{name: "set it aside", at: "a", op: api.OpSetAside, body: body(api.SetAsideRequest{Owner: fleetOwner, Why: "lost"})},
		{name: "join once it was set aside", at: "a", op: api.OpPrepare, body: prepareA(func(r *api.PrepareRequest) { r.Marker.Phase = api.PhaseJoining })},
	}}
}

// differingMember is a cluster of three of which one ends at each start, since the others hold other data.
var differingMember = arrangement{newest: readsFiles, hosts: []string{"a", "b", "c"},
	arrange: func(s *stage) { s.form("a", "b", "c"); s.leads("a", "b", "c", "a"); s.write("a", 3) },
	rows: []row{
		{name: "it holds other data", event: func(s *stage) { s.differ("c") }},
		{name: "hash what differs", at: "c", op: api.OpHash, body: body(api.HashRequest{}), want: api.CodeFailed},
		{name: "restart what differs", at: "c", op: api.OpRestart, body: body(api.RestartRequest{Owner: fleetOwner})},
		{name: "remove what differs", at: "a", op: api.OpRemoveMember, body: removal("c", fleetOwner)},
		{name: "set aside what was removed", at: "c", op: api.OpSetAside, body: body(api.SetAsideRequest{Owner: fleetOwner, Why: "lost"})},
	},
}

// putBackMember is a cluster of three of which one was put back to before what it has told the leader.
var putBackMember = arrangement{newest: readsFiles, hosts: []string{"a", "b", "c"},
	arrange: func(s *stage) { s.form("a", "b", "c"); s.leads("a", "b", "c", "a"); s.write("a", 3); s.putBack("c") },
	rows: []row{
		{name: "start what was put back", at: "c", op: api.OpStart, body: body(api.StartRequest{})},
		{name: "set aside what was put back", at: "c", op: api.OpSetAside, body: body(api.SetAsideRequest{Owner: fleetOwner, Why: "lost"})},
	},
}
