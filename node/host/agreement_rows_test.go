package host

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

const (
	another = "owner-of-another"
	noSum   = "0000000000000000000000000000000000000000000000000000000000000000"
	nobody  = "ff" // the ID of no member
	oneRun  = "00112233445566778899aabbccddeeff"

	laterField = "later" // of a request, or an operation: only stores know it that are newer than the arrangements'
)

// agreements are all arrangements, by the state of their hosts. A new call of api gets rows here.
var agreements = map[string]arrangement{
	"a host that carries no cluster":     bareHost,
	"a host that is prepared":            preparedHost,
	"a host of another owner":            foreignHost,
	"a host whose marker is damaged":     damagedMarker,
	"a call for another machine":         wrongTarget,
	"a cluster of one":                   oneMember,
	"a cluster of one that was stopped":  stoppedMember,
	"a cluster of three":                 threeMembers,
	"a cluster without its quorum":       lostQuorum,
	"a host that is fenced":              fencedHost,
	"a host that renews certificates":    renewingHost,
	"a member that is restored":          restoredMember,
	"a restore that is rolled back":      rolledBack,
	"a restore of another":               restoreOfAnother,
	"a host whose disk is away":          diskAway,
	"a member that hangs":                frozenMember,
	"a member that is backed up":         backedUpMember,
	"a member with alarms":               alarmedMember,
	"a member whose log is damaged":      damagedMember(nodetest.Log),
	"a member whose database is damaged": damagedMember(nodetest.Database),
	"a member that holds other data":     differingMember,
	"a machine that was put back":        putBackMember,
}

// TestTheFakeAgreesWithTheMachine asks machines and fakes that are arranged alike for the same: they have to answer
// alike, and be alike afterwards.
func TestTheFakeAgreesWithTheMachine(t *testing.T) {
	t.Parallel()
	for name, a := range agreements {
		t.Run(name, func(t *testing.T) { playBoth(t, a) })
	}
}

// TestEveryCallHasRows wants each call of the machine in the table, carried out and refused.
func TestEveryCallHasRows(t *testing.T) {
	asked := map[api.Operation]map[bool]bool{
		api.OpLock:    {true: true, false: true}, // by each arrangement, and TestTheFakeLocksAsTheMachineDoes
		api.OpObserve: {true: true, false: true}, // after each row, and with a damaged marker
	}
	for _, a := range agreements {
		for _, r := range a.rows {
			if asked[r.op] == nil {
				asked[r.op] = map[bool]bool{}
			}
			asked[r.op][r.want == ""] = true
		}
	}
	for op := range operations {
		if !asked[op][false] && op != api.OpProbe { // it answers always, if only that there is nobody
			t.Errorf("no row has %s refused: give it some, for each of its rules", op)
		}
		if !asked[op][true] {
			t.Errorf("no row has %s carried out", op)
		}
	}
}

// later adds a field to a request that only a later store knows.
func later(request any) func(*stage) any {
	return func(s *stage) any {
		fields := map[string]any{}
		text, err := json.Marshal(secret.Revealed(request))
		if err == nil {
			err = json.Unmarshal(text, &fields)
		}
		if err != nil {
			s.Fatal(err)
		}
		fields[laterField] = true
		return fields
	}
}

func body(b any) func(*stage) any { return func(*stage) any { return b } }

// changing returns requests that change a host or its cluster, as the owner would make them.
func changing(owner string) map[api.Operation]func(*stage) any {
	return map[api.Operation]func(*stage) any{
		api.OpConfigure: func(s *stage) any {
			m := s.marker("a")
			m.Owner = owner
			return s.configuration("a", m, "new", api.Prepared{})
		},
		api.OpStop:        body(api.StopRequest{Owner: owner}),
		api.OpRestart:     body(api.RestartRequest{Owner: owner}),
		api.OpSetAside:    body(api.SetAsideRequest{Owner: owner, Why: "unfinished"}),
		api.OpSnapshot:    body(api.SnapshotRequest{Owner: owner, Keep: 3}),
		api.OpSave:        body(api.SaveRequest{Owner: owner}),
		api.OpRecover:     body(api.RecoverRequest{Owner: owner, ClusterID: nobody, Timeout: time.Second}),
		api.OpFence:       body(api.FenceRequest{Owner: owner, Source: "a file", Snapshot: noSum}),
		api.OpAdvance:     body(api.AdvanceRequest{Owner: owner, Stage: api.StageChecked}),
		api.OpBackUp:      body(api.BackUpRequest{Owner: owner}),
		api.OpRenewOnHost: body(api.RenewOnHostRequest{Owner: owner, Of: api.RenewalPlaces{Peers: true, Clients: true}}),
		api.OpFirewall:    body(api.FirewallRequest{Owner: owner}),
		api.OpRunNow:      body(api.RunNowRequest{Owner: owner, Timeout: time.Second}),
		api.OpAddLearner: func(s *stage) any {
			return api.AddLearnerRequest{Owner: owner, PeerURL: s.place("d").peerURL(), Timeout: time.Second}
		},
		api.OpRemoveMember: body(api.RemoveMemberRequest{Owner: owner, ID: nobody, Timeout: time.Second}),
		api.OpPromote:      body(api.PromoteRequest{Owner: owner, ID: nobody, Timeout: time.Second}),
		api.OpUpdateMember: func(s *stage) any {
			return api.UpdateMemberRequest{Owner: owner, ID: nobody, PeerURL: s.place("d").peerURL(), Timeout: time.Second}
		},
		api.OpMoveLeader: body(api.MoveLeaderRequest{Owner: owner, To: nobody}),
		api.OpDowngrade:  body(api.DowngradeRequest{Owner: owner, Version: "3.6"}),
		api.OpDisarm:     body(api.DisarmRequest{Owner: owner}),
	}
}

// each has a row for each of some requests.
func each(requests map[api.Operation]func(*stage) any, want api.Code, says string) (rows []row) {
	for _, op := range sortedOperations(requests) {
		rows = append(rows, row{at: "a", op: op, body: requests[op], want: want, says: says})
	}
	return rows
}

// those returns some of the requests.
func those(requests map[api.Operation]func(*stage) any, ops ...api.Operation) map[api.Operation]func(*stage) any {
	found := map[api.Operation]func(*stage) any{}
	for _, op := range ops {
		found[op] = requests[op]
	}
	return found
}

// also adds requests.
func also(requests, more map[api.Operation]func(*stage) any) map[api.Operation]func(*stage) any {
	all := maps.Clone(requests)
	maps.Copy(all, more)
	return all
}

func prepareA(change func(*api.PrepareRequest)) func(*stage) any {
	return func(s *stage) any {
		r := api.PrepareRequest{Marker: s.marker("a"), Keys: s.keys("a")}
		if change != nil {
			change(&r)
		}
		return r
	}
}

func configureA(change func(*api.ConfigureRequest)) func(*stage) any { return configuring(nil, change) }

// configuring configures a host with certificates of the keys that it was prepared with.
func configuring(prepare func(*api.PrepareRequest), change func(*api.ConfigureRequest)) func(*stage) any {
	return func(s *stage) any {
		marker, ask := s.marker("a"), prepareA(prepare)(s).(api.PrepareRequest)
		var prepared api.Prepared
		s.must("a", api.OpPrepare, ask, &prepared)
		r := s.configuration("a", marker, "new", prepared)
		if change != nil {
			change(&r)
		}
		return r
	}
}

// ofKind asks for a peer key of another algorithm.
func ofKind(algorithm string) func(*api.PrepareRequest) {
	return func(r *api.PrepareRequest) { r.Keys[0].Algorithm = algorithm }
}

// neighbour has host a carry a member of another cluster, which shares nothing with its own but what change makes it.
func neighbour(change func(m *api.Marker, a place)) func(*stage) {
	return func(s *stage) {
		m := api.Marker{Cluster: "events", Owner: another, Member: "a", Phase: api.PhaseFormed, Token: "t1", DataDir: "/var/lib/other", ClientPort: 1, PeerPort: 2, MetricsPort: 3}
		change(&m, s.place("a"))
		s.neighbour("a", m)
	}
}

// bareHost has nothing on it but a store.
var bareHost = arrangement{hosts: []string{"a"}, rows: joined(
	each(changing(fleetOwner), api.CodeRefused, "this host carries no cluster main"),
	[]row{
		{at: "a", op: api.OpStart, body: body(api.StartRequest{}), want: api.CodeRefused, says: "this host carries no cluster main"},
		{at: "a", op: api.OpRollBack, body: body(api.RollBackRequest{Owner: fleetOwner})},
		{at: "a", op: api.OpAwait, body: body(api.AwaitRequest{}), want: api.CodeRefused},
		{at: "a", op: api.OpProbe, body: body(api.ProbeRequest{})},
		{at: "a", op: api.OpHash, body: body(api.HashRequest{}), want: api.CodeRefused},
		{at: "a", op: api.OpTry, body: body(api.TryRequest{Store: noSum}), want: api.CodeRefused, says: "is not installed"},
		{at: "a", op: api.OpArrived, body: body(api.ArrivedRequest{DataDir: dataDir, SHA256: noSum})},
		{name: "arrived of no upload", at: "a", op: api.OpArrived, body: body(api.ArrivedRequest{DataDir: dataDir, SHA256: "x"}), want: api.CodeRefused, says: "SHA-256"},
		{at: "a", op: api.OpSendBackup, body: body(api.SendBackupRequest{Name: "x"}), want: api.CodeRefused},
		{at: "a", op: api.OpBackups, body: body(api.BackupsRequest{}), want: api.CodeRefused},
		{at: "a", op: api.OpPreflight, body: body(api.PreflightRequest{Token: noSum, Timeout: time.Second, DataDir: dataDir})},
		{name: "preflight of what only a later store knows", at: "a", op: api.OpPreflight, body: later(api.PreflightRequest{Token: noSum, Timeout: time.Second}), want: api.CodeUnsupported, says: `unknown field "later"`},
		{name: "observe what only a later store knows", at: "a", op: api.OpProbe, body: later(api.ProbeRequest{})},
		{name: "what only a later store does", at: "a", op: laterField, body: body(struct{}{}), want: api.CodeUnsupported, says: `knows no operation "later"`},
		{name: "prepare what is no path", at: "a", op: api.OpPrepare, body: prepareA(func(r *api.PrepareRequest) { r.Marker.DataDir = "data" }), want: api.CodeRefused, says: "data directory"},
		{name: "prepare a directory of the system", at: "a", op: api.OpPrepare, body: prepareA(func(r *api.PrepareRequest) { r.Marker.DataDir = "/home/etcd" }), want: api.CodeRefused, says: "data directory"},
		{name: "preflight for another machine", at: "a", op: api.OpPreflight, target: func(*stage) *api.Target { return &api.Target{MachineID: "another"} }, body: body(api.PreflightRequest{Token: noSum, Timeout: time.Second}), want: api.CodeRefused, says: "this call is for the machine with the ID another"},
		{name: "preflight without a token", at: "a", op: api.OpPreflight, body: body(api.PreflightRequest{Timeout: time.Second}), want: api.CodeRefused, says: "no token of a preflight"},
		{name: "preflight without an end", at: "a", op: api.OpPreflight, body: body(api.PreflightRequest{Token: noSum}), want: api.CodeRefused, says: "a time limit of 0s was given for a preflight"},
		{name: "preflight of a place that is none", at: "a", op: api.OpPreflight, body: body(api.PreflightRequest{Token: noSum, Timeout: time.Second, DataDir: "data"}), want: api.CodeRefused, says: "no absolute path"},
		{name: "preflight that listens nowhere", at: "a", op: api.OpPreflight, body: body(api.PreflightRequest{Token: noSum, Timeout: time.Second, Listen: "a:2380"}), want: api.CodeRefused, says: "cannot listen on"},
		{name: "preflight that dials nobody", at: "a", op: api.OpPreflight, body: body(api.PreflightRequest{Token: noSum, Timeout: time.Second, Dial: []api.PreflightPeer{{Member: "b", At: "192.0.2.12"}}}), want: api.CodeRefused, says: "peer b cannot be dialed"},
		{name: "fetch into no data directory", at: "a", op: api.OpFetch, body: body(api.FetchRequest{Owner: fleetOwner, DataDir: "data", MinorVersion: "3.7"}), want: api.CodeRefused, says: "data directory"},
		{name: "fetch for no minor version", at: "a", op: api.OpFetch, body: body(api.FetchRequest{Owner: fleetOwner, DataDir: dataDir}), want: api.CodeRefused, says: "no minor version of etcd"},
		{name: "fetch behind the end", at: "a", op: api.OpFetch, body: body(api.FetchRequest{Owner: fleetOwner, DataDir: dataDir, MinorVersion: "3.7", From: 1}), want: api.CodeRefused, says: "after byte"},
		{name: "fetch what is no SHA-256", at: "a", op: api.OpFetch, body: body(api.FetchRequest{Owner: fleetOwner, DataDir: dataDir, MinorVersion: "3.7", SHA256: "x"}), want: api.CodeRefused, says: "is no SHA-256"},
		{name: "restore what was not fetched", at: "a", op: api.OpRestore, body: func(s *stage) any {
			return api.RestoreRequest{Marker: s.marker("a"), Source: "a file", Snapshot: noSum, PeerURL: s.place("a").peerURL(), Bump: 1000}
		}, want: api.CodeRefused},
		{name: "restore without a bump", at: "a", op: api.OpRestore, body: func(s *stage) any {
			return api.RestoreRequest{Marker: s.marker("a"), Source: "a file", Snapshot: noSum, PeerURL: s.place("a").peerURL()}
		}, want: api.CodeRefused, says: "raise"},
		{name: "a marker of another cluster", at: "a", op: api.OpPrepare, body: prepareA(func(r *api.PrepareRequest) { r.Marker.Cluster = "events" }), want: api.CodeRefused, loud: true},
		{name: "a key of no algorithm", at: "a", op: api.OpPrepare, body: prepareA(func(r *api.PrepareRequest) { r.Keys[0].Algorithm = "dsa" }), want: api.CodeRefused, says: `"dsa"`},
		{name: "a key of no name", at: "a", op: api.OpPrepare, body: prepareA(func(r *api.PrepareRequest) { r.Keys[0].Name = "spare" }), want: api.CodeRefused, says: `"spare"`},
		{name: "by no holder of the lock", at: "a", op: api.OpPrepare, holder: noHolder, body: prepareA(nil), want: api.CodeBusy},
		{name: "by another holder of the lock", at: "a", op: api.OpPrepare, holder: "run-2", body: prepareA(nil), want: api.CodeBusy},
		{name: "the lock ends", event: func(s *stage) { s.unlock("a") }},
		{name: "without the lock", at: "a", op: api.OpPrepare, body: prepareA(nil), want: api.CodeRefused, says: "lock"},
		{name: "the lock is taken again", event: func(s *stage) { s.lock("a") }},
		{name: "retire where there is nothing", at: "a", op: api.OpRetire, body: body(api.RetireRequest{Owner: another})},
		{name: "a store comes again", event: func(s *stage) { s.unlock("a"); s.lock("a") }},
		{name: "something lies in the data directory", event: func(s *stage) { s.litter("a", dataDir) }},
		{name: "a neighbour has its port", event: neighbour(func(m *api.Marker, a place) { m.PeerPort = a.client })},
		{name: "prepare with a neighbour's port", at: "a", op: api.OpPrepare, body: prepareA(nil), want: api.CodeRefused, says: "cluster events on this host has port"},
		{name: "a neighbour's data lies in its directory", event: neighbour(func(m *api.Marker, _ place) { m.DataDir = dataDir + "/events" })},
		{name: "prepare around a neighbour's data", at: "a", op: api.OpPrepare, body: prepareA(nil), want: api.CodeRefused, says: "cluster events on this host has data directory"},
		{name: "a neighbour shares nothing", event: neighbour(func(*api.Marker, place) {})},
		{name: "prepare over what is somebody's", at: "a", op: api.OpPrepare, body: prepareA(nil), want: api.CodeRefused, says: "is not empty"},
	},
)}

// preparedHost was prepared for member a.
var preparedHost = arrangement{hosts: []string{"a"}, rows: []row{
	{at: "a", op: api.OpPrepare, body: prepareA(nil)},
	{name: "start before it is configured", at: "a", op: api.OpStart, body: body(api.StartRequest{}), want: api.CodeFailed},
	{name: "configure for another member", at: "a", op: api.OpConfigure, body: configureA(func(r *api.ConfigureRequest) { r.Marker.Member = "b" }), want: api.CodeRefused, says: "this host was prepared for member a"},
	{name: "configure another directory", at: "a", op: api.OpConfigure, body: configureA(func(r *api.ConfigureRequest) { r.Marker.DataDir = "/var/lib/other" }), want: api.CodeRefused, says: "this host was prepared for member a"},
	{name: "configure a store that is not there", at: "a", op: api.OpConfigure, body: configureA(func(r *api.ConfigureRequest) { r.Store = noSum }), want: api.CodeRefused, says: "is not installed"},
	{name: "configure no unit", at: "a", op: api.OpConfigure, body: configureA(func(r *api.ConfigureRequest) { r.Unit = "" }), want: api.CodeRefused, says: "unit"},
	{name: "configure what is no flag", at: "a", op: api.OpConfigure, body: configureA(func(r *api.ConfigureRequest) { r.Flags = append(r.Flags, "--force-new-cluster") }), want: api.CodeRefused, says: "no flag of the form"},
	{name: "configure flags of another directory", at: "a", op: api.OpConfigure, body: configureA(func(r *api.ConfigureRequest) { r.Flags[1] = "--data-dir=/elsewhere" }), want: api.CodeRefused, says: "the flags lack --data-dir"},
	{name: "configure a certificate of another key", at: "a", op: api.OpConfigure, body: configureA(func(r *api.ConfigureRequest) { r.Certificates[api.KeyPeer] = r.Certificates[api.KeyAdmin] }), want: api.CodeRefused, says: "certificate"},
	{name: "configure a certificate of no key", at: "a", op: api.OpConfigure, body: configureA(func(r *api.ConfigureRequest) { r.Certificates["spare"] = r.Certificates[api.KeyAdmin] }), want: api.CodeRefused, says: `"spare"`},
	{name: "configure what is no bundle", at: "a", op: api.OpConfigure, body: configureA(func(r *api.ConfigureRequest) { r.PeerCA = "none" }), want: api.CodeRefused, says: "bundle"},
	{name: "configure what is no list of revoked certificates", at: "a", op: api.OpConfigure, body: configureA(func(r *api.ConfigureRequest) { r.ClientCRL = "none" }), want: api.CodeRefused, says: "revoked certificates"},
	{name: "configure for another cluster", at: "a", op: api.OpConfigure, body: configureA(func(r *api.ConfigureRequest) { r.Marker.Cluster = "events" }), want: api.CodeRefused, loud: true},
	{name: "configure what only a later store knows", at: "a", op: api.OpConfigure, body: func(s *stage) any { return later(configureA(nil)(s))(s) }, want: api.CodeUnsupported, says: `unknown field "later"`},
	{at: "a", op: api.OpConfigure, body: configureA(nil)},
	{name: "configure, and keep the certificates", at: "a", op: api.OpConfigure, body: configureA(func(r *api.ConfigureRequest) { r.Certificates, r.PeerCA, r.ClientCA = nil, "", "" })},
	{name: "a key of another kind waits for its certificate", at: "a", op: api.OpPrepare, body: prepareA(ofKind("ecdsa-p384"))},
	{name: "configure, while it waits", at: "a", op: api.OpConfigure, body: configuring(ofKind("ecdsa-p384"), func(r *api.ConfigureRequest) { r.Certificates = nil })},
	{name: "configure its certificate, and it takes its place", at: "a", op: api.OpConfigure, body: configuring(ofKind("ecdsa-p384"), nil)},
	{name: "a key of another kind waits again", at: "a", op: api.OpPrepare, body: prepareA(ofKind("rsa-2048"))},
	{name: "configure the key in use anew, and nobody waits", at: "a", op: api.OpConfigure, body: configuring(ofKind("ecdsa-p384"), nil)},
	{name: "a key is lost", event: func(s *stage) { s.loseKey("a", api.KeyAdmin) }},
	{name: "configure without the key", at: "a", op: api.OpConfigure, body: func(s *stage) any {
		r := s.configuration("a", s.marker("a"), "new", api.Prepared{})
		r.Certificates = nil
		return r
	}},
	{name: "prepare anew makes it", at: "a", op: api.OpPrepare, body: prepareA(nil)},
	{name: "configure its certificate", at: "a", op: api.OpConfigure, body: configureA(nil)},
	{name: "a key is another's", event: func(s *stage) { s.swapKey("a", api.KeyServer, api.KeyPeer) }},
	{name: "configure by the certificates that are there", at: "a", op: api.OpConfigure, body: func(s *stage) any {
		r := s.configuration("a", s.marker("a"), "new", api.Prepared{})
		r.Certificates = nil
		return r
	}},
	{name: "prepare by that key", at: "a", op: api.OpPrepare, body: prepareA(nil)},
	{name: "configure its certificate too", at: "a", op: api.OpConfigure, body: configureA(nil)},
	{name: "another create by us, while it forms", at: "a", op: api.OpPrepare, body: prepareA(func(r *api.PrepareRequest) { r.Marker.Token = "t2" })},
	{name: "another owner, while it forms", at: "a", op: api.OpPrepare, body: prepareA(func(r *api.PrepareRequest) { r.Marker.Owner = another })},
	{name: "undo it", at: "a", op: api.OpPrepare, body: prepareA(nil)},
	{at: "a", op: api.OpTry, body: func(s *stage) any { return api.TryRequest{Store: s.store, Flags: []string{"--name=a"}} }},
	{name: "the store does not know a flag", event: func(s *stage) { s.refuseFlags("a") }},
	{name: "try flags that it does not know", at: "a", op: api.OpTry, body: func(s *stage) any { return api.TryRequest{Store: s.store, Flags: []string{"--name=a"}} }, want: api.CodeRefused, says: "does not take these flags"},
	{name: "set aside for no reason", at: "a", op: api.OpSetAside, body: body(api.SetAsideRequest{Owner: fleetOwner}), want: api.CodeRefused},
	{name: "set aside for a reason that is a path", at: "a", op: api.OpSetAside, body: body(api.SetAsideRequest{Owner: fleetOwner, Why: "../x"}), want: api.CodeRefused},
	{name: "a restore comes further that is none", at: "a", op: api.OpAdvance, body: body(api.AdvanceRequest{Owner: fleetOwner, Stage: api.StageOpened}), want: api.CodeRefused},
	{name: "a restore ends that is none", at: "a", op: api.OpAdvance, body: body(api.AdvanceRequest{Owner: fleetOwner})},
	{name: "disable backups that there are none of", at: "a", op: api.OpBackUp, body: body(api.BackUpRequest{Owner: fleetOwner})},
	{name: "back up without a digest", at: "a", op: api.OpBackUp, body: body(api.BackUpRequest{Owner: fleetOwner, Backup: &api.Backup{Schedule: "daily", Directory: "/var/backups/etcd"}}), want: api.CodeRefused},
	{name: "back up to nowhere", at: "a", op: api.OpBackUp, body: body(api.BackUpRequest{Owner: fleetOwner, Backup: &api.Backup{Digest: "1", Schedule: "daily"}}), want: api.CodeRefused},
	{name: "disable renewals that there are none of", at: "a", op: api.OpRenewOnHost, body: body(api.RenewOnHostRequest{Owner: fleetOwner, Of: api.RenewalPlaces{Peers: true, Clients: true}})},
	{name: "renew nobody knows whose", at: "a", op: api.OpRenewOnHost, body: body(api.RenewOnHostRequest{Owner: fleetOwner}), want: api.CodeRefused},
	{name: "renew without a digest", at: "a", op: api.OpRenewOnHost, body: body(api.RenewOnHostRequest{Owner: fleetOwner, Renewal: &api.Renewal{Peers: &api.SigningPlace{URL: "https://192.0.2.8"}}, Of: api.RenewalPlaces{Peers: true}}), want: api.CodeRefused},
	{name: "renew by nobody", at: "a", op: api.OpRenewOnHost, body: body(api.RenewOnHostRequest{Owner: fleetOwner, Renewal: &api.Renewal{}, Of: api.RenewalPlaces{Peers: true, Clients: true}}), want: api.CodeRefused},
	{name: "no firewall where there is none", at: "a", op: api.OpFirewall, body: body(api.FirewallRequest{Owner: fleetOwner})},
	{name: "a firewall that keeps every peer out", at: "a", op: api.OpFirewall, body: body(api.FirewallRequest{Owner: fleetOwner, Firewall: &api.Firewall{ClientPort: 2379, PeerPort: 2380}}), want: api.CodeRefused, says: "nobody may reach as a peer"},
	{name: "a firewall for a port that is none", at: "a", op: api.OpFirewall, body: body(api.FirewallRequest{Owner: fleetOwner, Firewall: &api.Firewall{ClientPort: 2379, Peers: []string{"192.0.2.1"}}}), want: api.CodeRefused, says: "0 is no port to filter"},
	{name: "a firewall for a network that is none", at: "a", op: api.OpFirewall, body: body(api.FirewallRequest{Owner: fleetOwner, Firewall: &api.Firewall{ClientPort: 2379, PeerPort: 2380, Clients: []string{"10.0.0.1/8"}, Peers: []string{"192.0.2.1"}}}), want: api.CodeRefused, says: "10.0.0.0/8"},
	{name: "run what is not backed up", at: "a", op: api.OpRunNow, body: body(api.RunNowRequest{Owner: fleetOwner, Timeout: time.Second}), want: api.CodeRefused},
	{name: "list backups where none are made", at: "a", op: api.OpBackups, body: body(api.BackupsRequest{}), want: api.CodeRefused},
	{name: "send a backup where none are made", at: "a", op: api.OpSendBackup, body: body(api.SendBackupRequest{Name: "x"}), want: api.CodeRefused},
	{name: "send the rest of one where none are made", at: "a", op: api.OpSendBackup, body: body(api.SendBackupRequest{Name: "x", From: 5}), want: api.CodeRefused},
	{at: "a", op: api.OpSetAside, body: body(api.SetAsideRequest{Owner: fleetOwner, Why: "unfinished"})},
	{at: "a", op: api.OpRetire, body: body(api.RetireRequest{Owner: fleetOwner, Purge: true})},
}}

// claimed arranges a host that belongs to another owner, in a phase.
func claimed(phase api.Phase) func(*stage) {
	return func(s *stage) {
		s.must("a", api.OpConfigure, s.prepare("a", s.marker("a"), "new"), nil)
		s.edit("a", func(m *api.Marker) { m.Owner, m.Phase = another, phase })
	}
}

// foreignHost is a host of another owner's: it changes for nobody else, whatever is requested.
var foreignHost = arrangement{hosts: []string{"a"}, arrange: claimed(api.PhaseFormed), rows: joined(
	each(changing(fleetOwner), api.CodeRefused, "is managed by another Terraform object"),
	[]row{
		{at: "a", op: api.OpRetire, body: body(api.RetireRequest{Owner: fleetOwner}), want: api.CodeRefused, says: "another Terraform object"},
		{at: "a", op: api.OpRollBack, body: body(api.RollBackRequest{Owner: fleetOwner}), want: api.CodeRefused, says: "another Terraform object"},
		{at: "a", op: api.OpFetch, body: body(api.FetchRequest{Owner: fleetOwner, DataDir: dataDir, MinorVersion: "3.7", Source: api.Source{Path: "/tmp/x"}}), want: api.CodeRefused, says: "another Terraform object"},
		{at: "a", op: api.OpRestore, body: func(s *stage) any {
			return api.RestoreRequest{Marker: s.marker("a"), Source: "a file", Snapshot: noSum, PeerURL: s.place("a").peerURL(), Bump: 1000}
		}, want: api.CodeRefused, says: "another Terraform object"},
		{at: "a", op: api.OpPrepare, body: prepareA(nil), want: api.CodeRefused, says: "another Terraform object"},
		{name: "it joins", event: func(s *stage) { s.edit("a", func(m *api.Marker) { m.Phase = api.PhaseJoining }) }},
		{name: "prepare over a member that joins", at: "a", op: api.OpPrepare, body: prepareA(nil), want: api.CodeRefused, says: "another Terraform object"},
	},
)}

// damagedMarker is a host whose owner nobody knows.
var damagedMarker = arrangement{hosts: []string{"a"},
	arrange: func(s *stage) {
		s.must("a", api.OpConfigure, s.prepare("a", s.marker("a"), "new"), nil)
		s.garble("a", true)
	},
	rows: joined(each(also(changing(fleetOwner), map[api.Operation]func(*stage) any{
		api.OpPrepare:  prepareA(nil),
		api.OpStart:    body(api.StartRequest{}),
		api.OpRetire:   body(api.RetireRequest{Owner: fleetOwner}),
		api.OpRollBack: body(api.RollBackRequest{Owner: fleetOwner}),
		api.OpFetch:    body(api.FetchRequest{Owner: fleetOwner, DataDir: dataDir, MinorVersion: "3.7", Source: api.Source{Path: "/tmp/x"}}),
		api.OpRestore: func(s *stage) any {
			return api.RestoreRequest{Marker: s.marker("a"), Source: "a file", Snapshot: noSum, PeerURL: s.place("a").peerURL(), Bump: 1000}
		},
		api.OpObserve:    body(api.ObserveRequest{DataDir: dataDir}),
		api.OpSendBackup: body(api.SendBackupRequest{Name: "x"}),
		api.OpProbe:      body(api.ProbeRequest{}),
		api.OpHash:       body(api.HashRequest{}),
		api.OpAwait:      body(api.AwaitRequest{Timeout: time.Second}),
	}), api.CodeFailed, ""), []row{
		{name: "list backups where none are made", at: "a", op: api.OpBackups, body: body(api.BackupsRequest{}), want: api.CodeRefused},
	}),
}

// wrongTarget is a host that gets requests meant for another one.
var wrongTarget = arrangement{hosts: []string{"a"},
	arrange: func(s *stage) { s.must("a", api.OpConfigure, s.prepare("a", s.marker("a"), "new"), nil) },
	rows: joined(
		meant(api.CodeRefused, "and it came to the one with the ID", func(*stage) *api.Target { return &api.Target{MachineID: "0123", For: "a"} }),
		meant(api.CodeRefused, "was booted after this run had observed it, or is a clone", func(*stage) *api.Target { return &api.Target{BootID: "0123", For: "a"} }),
		meant(api.CodeRefused, "another Terraform object manages it by now", func(*stage) *api.Target { return &api.Target{Seen: true, For: "a", Member: "a", Owner: another} }),
		meant(api.CodeRefused, "this call is for a host that carries member b", func(*stage) *api.Target { return &api.Target{Seen: true, For: "b", Member: "b"} }),
		meant(api.CodeRefused, "for a host that carries no member of this cluster", func(*stage) *api.Target { return &api.Target{Seen: true, For: "b"} }),
		meant(api.CodeRefused, "this call is for member b", func(*stage) *api.Target { return &api.Target{For: "b"} }),
		meant(api.CodeRefused, api.Untargeted, func(*stage) *api.Target { return nil }),
		[]row{{name: "for itself", at: "a", op: api.OpStop, body: body(api.StopRequest{Owner: fleetOwner}), target: func(*stage) *api.Target { return &api.Target{Seen: true, For: "a", Member: "a"} }}},
	),
}

// meant has a row for calls that change the host, meant for a target.
func meant(want api.Code, says string, target func(*stage) *api.Target) []row {
	requests := also(changing(fleetOwner), map[api.Operation]func(*stage) any{
		api.OpPrepare: prepareA(nil), api.OpStart: body(api.StartRequest{}), api.OpRetire: body(api.RetireRequest{Owner: fleetOwner}), api.OpRollBack: body(api.RollBackRequest{Owner: fleetOwner}),
	})
	delete(requests, api.OpSave) // changes nothing, and takes no target
	rows := each(requests, want, says)
	for i := range rows {
		rows[i].target = target
	}
	return rows
}

func joined(all ...[]row) (rows []row) {
	for _, some := range all {
		rows = append(rows, some...)
	}
	return rows
}

func removal(of string, owner string) func(*stage) any {
	return func(s *stage) any {
		return api.RemoveMemberRequest{Owner: owner, ID: s.ids[of], Timeout: 10 * time.Second}
	}
}

// TestTheFakeLocksAsTheMachineDoes takes a lock that is held.
func TestTheFakeLocksAsTheMachineDoes(t *testing.T) {
	machine, fake := newMachineParty(t, []string{"a"}), newFakeParty()
	machine.lock("a")
	fake.lock("a")
	second := api.Holder{ID: "run-2", Who: "them"}
	body, err := json.Marshal(api.LockRequest{Holder: second})
	if err != nil {
		t.Fatal(err)
	}
	_, _, refused := fake.host("a").Lock(t.Context(), fake.world.Stores["amd64"], "main", second)
	for name, err := range map[string]error{
		"machine": machine.exchange("a", api.Request{Version: api.Version, Operation: api.OpLock, Cluster: "main", Body: body}, nil, io.Discard, nil),
		"fake":    refused,
	} {
		var busy *api.Error
		if !errors.As(err, &busy) || busy.Code != api.CodeBusy || busy.Holder == nil || busy.Holder.ID != agreementHolder {
			t.Errorf("the %s answers whoever comes second %v", name, err)
		}
	}
}
