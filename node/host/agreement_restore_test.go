package host

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// snapshot returns the SHA-256 of the snapshot that the arrangement restores.
func (s *stage) snapshot() string {
	sum := sha256.Sum256(s.saved)
	return hex.EncodeToString(sum[:])
}

// saves has a member send the snapshot that the arrangement restores.
func saves(at string) row {
	return row{name: "save what is restored", at: at, op: api.OpSave, body: body(api.SaveRequest{Owner: fleetOwner}), same: []string{"revision", "keys"},
		keep: func(s *stage, _ map[string]any) { s.saved = slices.Clone(s.received) }}
}

// fetching uploads the snapshot.
func fetching(name, at string, change func(*stage, *api.FetchRequest)) row {
	return row{name: name, at: at, op: api.OpFetch, content: func(s *stage) []byte { return s.saved }, body: func(s *stage) any {
		r := api.FetchRequest{Owner: fleetOwner, DataDir: dataDir, MinorVersion: s.minor(0), Source: api.Source{Upload: &api.Upload{SizeBytes: int64(len(s.saved)), SHA256: s.snapshot()}}}
		if change != nil {
			change(s, &r)
		}
		return r
	}}
}

// restoring restores the snapshot as a cluster of one.
func restoring(at string, change func(*api.RestoreRequest)) func(*stage) any {
	return func(s *stage) any {
		r := api.RestoreRequest{Marker: s.restored(at), Source: "a file", Snapshot: s.snapshot(), PeerURL: s.place(at).peerURL(), Bump: 1000}
		if change != nil {
			change(&r)
		}
		return r
	}
}

// restored returns the marker of the restored member.
func (s *stage) restored(at string) api.Marker {
	m := s.marker(at)
	m.Token = "restored"
	return m
}

// becomesRestored has the stage know the cluster that was restored.
func becomesRestored(s *stage, result map[string]any) {
	for field, name := range map[string]string{"cluster_id": "restored", "member_id": "its member"} {
		id, _ := result[field].(string)
		s.names[id] = name
	}
}

func fencing(s *stage) any {
	return api.FenceRequest{Owner: fleetOwner, Source: "a file", Snapshot: s.snapshot()}
}

func (r row) refused(says string) row {
	r.want, r.says = api.CodeRefused, says
	return r
}

func (r row) fails(says string) row {
	r.want, r.says = api.CodeFailed, says
	return r
}

// restoredMember is a cluster of one that is restored from its own snapshot, to its end.
var restoredMember = arrangement{hosts: []string{"a"},
	arrange: func(s *stage) { s.form("a"); s.write("a", 3) },
	rows: []row{
		saves("a"),
		{name: "more is written", event: func(s *stage) { s.write("a", 2) }},
		fetching("fetch for another", "a", func(_ *stage, r *api.FetchRequest) { r.Owner = another }).refused("another Terraform object"),
		fetching("fetch what has another SHA-256", "a", func(_ *stage, r *api.FetchRequest) { r.SHA256 = noSum }).refused("SHA-256"),
		fetching("fetch what was damaged on its way", "a", func(_ *stage, r *api.FetchRequest) { r.Source.Upload.SHA256 = noSum }).fails("damaged on its way"),
		fetching("fetch from nowhere", "a", func(_ *stage, r *api.FetchRequest) { r.Source = api.Source{} }).refused("comes from one place"),
		{name: "fetch what is no snapshot", at: "a", op: api.OpFetch, content: func(*stage) []byte { return bytes.Repeat([]byte("x"), 4096) }, body: func(s *stage) any {
			sum := sha256.Sum256(bytes.Repeat([]byte("x"), 4096))
			return api.FetchRequest{Owner: fleetOwner, DataDir: dataDir, MinorVersion: s.minor(0), Source: api.Source{Upload: &api.Upload{SizeBytes: 4096, SHA256: hex.EncodeToString(sum[:])}}}
		}, want: api.CodeRefused, says: "snapshot"},
		same(fetching("fetch it", "a", nil), "revision", "keys"),
		same(fetching("fetch it again", "a", nil), "revision", "keys"),
		{name: "restore one that is not fenced", at: "a", op: api.OpRestore, body: restoring("a", nil), want: api.CodeRefused, says: "not fenced"},
		{name: "fence for another snapshot", at: "a", op: api.OpFence, body: body(api.FenceRequest{Owner: fleetOwner, Source: "a file", Snapshot: noSum}), same: []string{"revision", "stage"}},
		{name: "restore what it is not fenced for", at: "a", op: api.OpRestore, body: restoring("a", nil), want: api.CodeRefused, says: "a file"},
		{at: "a", op: api.OpFence, body: fencing, same: []string{"revision", "stage"}},
		{name: "restore without a bump", at: "a", op: api.OpRestore, body: restoring("a", func(r *api.RestoreRequest) { r.Bump = 0 }), want: api.CodeRefused, says: "raise"},
		{name: "restore to before what clients have seen", at: "a", op: api.OpRestore, body: restoring("a", func(r *api.RestoreRequest) { r.Bump = 1 }), want: api.CodeRefused, says: "raise revisions by"},
		{name: "restore into another directory", at: "a", op: api.OpRestore, body: restoring("a", func(r *api.RestoreRequest) { r.Marker.DataDir = "data" }), want: api.CodeRefused, says: "data directory"},
		{at: "a", op: api.OpRestore, body: restoring("a", nil), keep: becomesRestored},
		{name: "restore it again", at: "a", op: api.OpRestore, body: restoring("a", nil)},
		{name: "restore it with another token", at: "a", op: api.OpRestore, body: restoring("a", func(r *api.RestoreRequest) { r.Marker.Token = "another" }), want: api.CodeRefused, says: "token"},
		{name: "restore it with another bump", at: "a", op: api.OpRestore, body: restoring("a", func(r *api.RestoreRequest) { r.Bump++ }), want: api.CodeRefused, says: "token"},
		{name: "fence it for another snapshot", at: "a", op: api.OpFence, body: body(api.FenceRequest{Owner: fleetOwner, Source: "another file", Snapshot: noSum}), want: api.CodeRefused, says: "a file"},
		{name: "fence it again", at: "a", op: api.OpFence, body: fencing, same: []string{"revision", "stage"}},
		{name: "it is opened before it is checked", at: "a", op: api.OpAdvance, body: body(api.AdvanceRequest{Owner: fleetOwner, Stage: api.StageOpened}), want: api.CodeRefused},
		{name: "configure the restored", at: "a", op: api.OpConfigure, body: func(s *stage) any { return s.prepare("a", s.restored("a"), "new") }},
		{name: "start the restored", at: "a", op: api.OpStart, body: body(api.StartRequest{})},
		{name: "it comes", event: func(s *stage) { s.await("a", api.AwaitRequest{Members: 1}) }},
		{name: "it is compared", at: "a", op: api.OpHash, body: body(api.HashRequest{}), same: []string{"hash_revision", "compact_revision", "revision"}},
		{name: "it is set aside", at: "a", op: api.OpSetAside, body: body(api.SetAsideRequest{Owner: fleetOwner, Why: "lost"}), want: api.CodeRefused, says: "a file"},
		{name: "it is checked", at: "a", op: api.OpAdvance, body: body(api.AdvanceRequest{Owner: fleetOwner, Stage: api.StageChecked})},
		{name: "it is checked again", at: "a", op: api.OpAdvance, body: body(api.AdvanceRequest{Owner: fleetOwner, Stage: api.StageChecked})},
		{name: "it ends before it is opened", at: "a", op: api.OpAdvance, body: body(api.AdvanceRequest{Owner: fleetOwner}), want: api.CodeRefused},
		{name: "it is opened", at: "a", op: api.OpAdvance, body: body(api.AdvanceRequest{Owner: fleetOwner, Stage: api.StageOpened})},
		{name: "roll back what is open", at: "a", op: api.OpRollBack, body: body(api.RollBackRequest{Owner: fleetOwner}), want: api.CodeRefused},
		{name: "it is over", at: "a", op: api.OpAdvance, body: body(api.AdvanceRequest{Owner: fleetOwner})},
		{name: "it is over again", at: "a", op: api.OpAdvance, body: body(api.AdvanceRequest{Owner: fleetOwner})},
		{name: "save the restored", at: "a", op: api.OpSave, body: body(api.SaveRequest{Owner: fleetOwner}), same: []string{"revision", "keys"}},
		{name: "fetched before the end", at: "a", op: api.OpFence, body: fencing, same: []string{"revision", "stage"}},
		{name: "restore what was removed with the end", at: "a", op: api.OpRestore, body: restoring("a", func(r *api.RestoreRequest) { r.Marker.Token = "again" }), want: api.CodeRefused, says: "fetch"},
	},
}

// rolledBack is a cluster of one whose restore is rolled back once it was made, two hosts that carry no member, one of
// them prepared for one, and what becomes of restored data.
var rolledBack = arrangement{hosts: []string{"a", "b", "d"},
	arrange: func(s *stage) {
		s.form("a")
		s.write("a", 3)
		s.must("b", api.OpConfigure, s.prepare("b", s.marker("b"), "new"), nil)
	},
	rows: []row{
		saves("a"),
		fetching("fetch it", "a", nil),
		{at: "a", op: api.OpFence, body: fencing},
		{at: "a", op: api.OpRestore, body: restoring("a", nil), keep: becomesRestored},
		{name: "roll it back", at: "a", op: api.OpRollBack, body: body(api.RollBackRequest{Owner: fleetOwner})},
		{name: "roll it back again", at: "a", op: api.OpRollBack, body: body(api.RollBackRequest{Owner: fleetOwner})},
		{name: "fence it again", at: "a", op: api.OpFence, body: fencing, same: []string{"revision"}},
		{name: "restore what was removed with the roll back", at: "a", op: api.OpRestore, body: restoring("a", nil), want: api.CodeRefused, says: "fetch"},
		fetching("fetch it again", "a", nil),
		{name: "restore it again", at: "a", op: api.OpRestore, body: restoring("a", nil), keep: becomesRestored},
		{name: "the restored data is lost", event: func(s *stage) { s.loseData("a") }},
		{name: "restore what is lost", at: "a", op: api.OpRestore, body: restoring("a", nil), want: api.CodeRefused},
		{name: "check what is lost", at: "a", op: api.OpAdvance, body: body(api.AdvanceRequest{Owner: fleetOwner, Stage: api.StageChecked})},
		{name: "roll back what is lost", at: "a", op: api.OpRollBack, body: body(api.RollBackRequest{Owner: fleetOwner})},
		{name: "start what was there before", at: "a", op: api.OpStart, body: body(api.StartRequest{})},

		fetching("fetch it where a member forms", "b", nil),
		{name: "restore where a member forms", at: "b", op: api.OpRestore, body: restoring("b", nil), keep: becomesRestored},
		{name: "retire it while it is restored", at: "b", op: api.OpRetire, body: body(api.RetireRequest{Owner: another}), want: api.CodeRefused, says: "another Terraform object"},
		{name: "roll back what forms", at: "b", op: api.OpRollBack, body: body(api.RollBackRequest{Owner: fleetOwner})},

		fetching("fetch it where nothing is", "d", nil),
		{name: "something lies there", event: func(s *stage) { s.litter("d", dataDir) }},
		{name: "restore over what is somebody's", at: "d", op: api.OpRestore, body: restoring("d", nil), want: api.CodeRefused, says: "is not empty"},
	},
}

// restoreOfAnother is a host without a member on which another Terraform object has begun a restore and left it: nobody
// else goes on with it, or takes the host, until that one has given it up.
var restoreOfAnother = arrangement{hosts: []string{"a", "d"},
	arrange: func(s *stage) { s.form("a"); s.write("a", 3) },
	rows: []row{
		saves("a"),
		fetching("fetch it for another object", "d", func(_ *stage, r *api.FetchRequest) { r.Owner = another }),
		{name: "restore it for another object", at: "d", op: api.OpRestore, body: restoring("d", func(r *api.RestoreRequest) { r.Marker.Owner = another }), keep: becomesRestored},
		fetching("fetch beside it", "d", nil).refused("another Terraform object"),
		{name: "fence beside it", at: "d", op: api.OpFence, body: fencing, want: api.CodeRefused, says: "another Terraform object"},
		{name: "restore beside it", at: "d", op: api.OpRestore, body: restoring("d", nil), want: api.CodeRefused, says: "another Terraform object"},
		{name: "check it for another object", at: "d", op: api.OpAdvance, body: body(api.AdvanceRequest{Owner: fleetOwner, Stage: api.StageChecked}), want: api.CodeRefused, says: "another Terraform object"},
		{name: "prepare beside it", at: "d", op: api.OpPrepare, body: func(s *stage) any { return api.PrepareRequest{Marker: s.marker("d"), Keys: s.keys("d")} }, want: api.CodeRefused},
		{name: "retire beside it", at: "d", op: api.OpRetire, body: body(api.RetireRequest{Owner: fleetOwner, Purge: true}), want: api.CodeRefused, says: "another Terraform object"},
		{name: "roll back for another object", at: "d", op: api.OpRollBack, body: body(api.RollBackRequest{Owner: fleetOwner}), want: api.CodeRefused, says: "another Terraform object"},
		{name: "who has begun it rolls back", at: "d", op: api.OpRollBack, body: body(api.RollBackRequest{Owner: another})},
		{name: "prepare once it is over", at: "d", op: api.OpPrepare, body: func(s *stage) any { return api.PrepareRequest{Marker: s.marker("d"), Keys: s.keys("d")} }},
	},
}

func same(r row, fields ...string) row {
	r.same = fields
	return r
}

func backingUp(change func(*api.Backup)) func(*stage) any {
	return func(*stage) any {
		b := api.Backup{Digest: "1", Schedule: "daily", Directory: backupDir}
		if change != nil {
			change(&b)
		}
		return api.BackUpRequest{Owner: fleetOwner, Backup: &b}
	}
}

// backedUpMember is a cluster of one that is backed up to a directory, and what is fetched from there.
var backedUpMember = arrangement{hosts: []string{"a"},
	arrange: func(s *stage) { s.form("a"); s.write("a", 3) },
	rows: []row{
		{name: "back up into the data", at: "a", op: api.OpBackUp, body: backingUp(func(b *api.Backup) { b.Directory = dataDir + "/backups" }), want: api.CodeRefused, says: "the member's own"},
		{name: "back up around the data", at: "a", op: api.OpBackUp, body: backingUp(func(b *api.Backup) { b.Directory = "/var/lib" }), want: api.CodeRefused, says: "the member's own"},
		{at: "a", op: api.OpBackUp, body: backingUp(nil)},
		{name: "no backup yet", at: "a", op: api.OpBackups, body: body(api.BackupsRequest{})},
		{name: "send what is not there", at: "a", op: api.OpSendBackup, body: body(api.SendBackupRequest{Name: "x"}), want: api.CodeRefused},
		{name: "rehearse what is not rehearsed", at: "a", op: api.OpRunNow, body: body(api.RunNowRequest{Owner: fleetOwner, Rehearsal: true, Timeout: patience}), want: api.CodeRefused},
		{name: "back up in no time", at: "a", op: api.OpRunNow, body: body(api.RunNowRequest{Owner: fleetOwner}), want: api.CodeRefused, says: "no time to wait"},
		{name: "back up for another", at: "a", op: api.OpRunNow, body: body(api.RunNowRequest{Owner: another, Timeout: patience}), want: api.CodeRefused, says: "another Terraform object"},
		{at: "a", op: api.OpRunNow, body: body(api.RunNowRequest{Owner: fleetOwner, Timeout: patience}), same: []string{"digest"}},
		{name: "the backup", at: "a", op: api.OpBackups, body: body(api.BackupsRequest{}), keep: func(s *stage, result map[string]any) {
			all, _ := result["backups"].([]any)
			if len(all) != 1 {
				s.Fatalf("it lists %v", result)
			}
			listed, _ := all[0].(map[string]any)
			s.backup, _ = listed["name"].(string)
		}},
		{name: "send it", at: "a", op: api.OpSendBackup, body: func(s *stage) any { return api.SendBackupRequest{Name: s.backup} }, keep: func(s *stage, _ map[string]any) { s.saved = slices.Clone(s.received) }},
		{name: "fetch the latest", at: "a", op: api.OpFetch, body: func(s *stage) any {
			return api.FetchRequest{Owner: fleetOwner, DataDir: dataDir, MinorVersion: s.minor(0), Source: api.Source{Backup: api.LatestBackup}}
		}},
		{name: "fetch what is not there", at: "a", op: api.OpFetch, body: func(s *stage) any {
			return api.FetchRequest{Owner: fleetOwner, DataDir: dataDir, MinorVersion: s.minor(0), Source: api.Source{Backup: "x"}}
		}, want: api.CodeRefused},
		fetching("fetch what was sent", "a", nil), // real backups have the key of their run in them
		{name: "back up no more", at: "a", op: api.OpBackUp, body: body(api.BackUpRequest{Owner: fleetOwner})},
		{name: "the backups of before", at: "a", op: api.OpBackups, body: body(api.BackupsRequest{}), want: api.CodeRefused},
	},
}
