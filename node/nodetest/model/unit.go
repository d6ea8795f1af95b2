package model

import (
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Unit is a cluster's systemd unit on a host.
type Unit struct {
	Text     string
	Enabled  bool
	Active   string // ActiveState; empty: inactive
	Sub      string
	result   string
	Restarts int
	Journal  []string
	Process  *Process // nil: none runs
}

// Process is a running member.
type Process struct {
	PID     int
	Store   string // hash
	Version string // of etcd
	Lines   []string
	Flags   map[string]string // from the lines of the flags file
	Unit    string            // text of the unit file at the start
	PeerCA  string            // bundle at the start
	Clients string            // the bundle for clients at the start
	Shows   map[string]string // certificates that it goes on serving, by key name; nil: those in its files
	Member  *Member
	// serves: the process has been in a quorum since it started. Only then does it answer clients, and report READY to
	// systemd.
	Serves bool
	Leader string // ID of the leader of its quorum; empty: none
	// lingering: the process had connections with these peers when an address went, and counts them until then.
	Lingering      []string
	LingeringUntil time.Time
	// catching: the member is new, and has only a part of the log.
	Catching bool
	// proved: the process was compared with the others, including all keys.
	Proved bool
	// stalled: the member has joined its cluster, and does not report that it has started.
	Stalled bool
	// settling: the member was just promoted, and does not report that it is ready yet.
	Settling bool
	// compacted: the revision up to which the process itself has compacted, the last time.
	Compacted int64
	// frozen: the process runs, and does nothing. Its connections stay.
	Frozen bool
}

// Answers tells whether clients get answers from the process.
func (p *Process) Answers() bool { return p.Serves && !p.Frozen }

// CompactedAt returns the revision up to which the process says that it is compacted, if it is asked for the hash at a
// revision. For the revision of its last compaction it answers with the hash that it has computed before that.
func (p *Process) CompactedAt(revision int64) int64 {
	if p.Compacted > 0 && revision == p.Compacted {
		return everCompacted(p.Member.State().Before)
	}
	return p.Member.CompactedTo()
}

// CompactedTo returns the revision up to which a member says that it is compacted.
func (m *Member) CompactedTo() int64 { return everCompacted(m.State().Compacted) }

// everCompacted returns a compacted revision as etcd tells it: -1 if there was never a compaction.
func everCompacted(revision int64) int64 {
	if revision == 0 {
		return -1
	}
	return revision
}

// Start has systemd start a unit that does not run yet.
func (u *Unit) Start() {
	if u.Runs() {
		return
	}
	u.Active, u.Sub, u.result, u.Restarts, u.Journal = "activating", "start", "success", 0, nil
}

// Stop ends the process because systemd was told to stop the unit.
func (u *Unit) Stop() {
	u.Process, u.Active, u.Sub, u.result, u.Journal = nil, "inactive", "dead", "success", nil
}

// Halt ends the unit together with its machine.
func (u *Unit) Halt() {
	if u.Runs() {
		u.Stop()
	}
}

// Runs tells whether systemd runs the unit or is about to.
func (u *Unit) Runs() bool { return u.Active == "active" || u.Active == "activating" }

// Crash ends a process that systemd will start again.
func (u *Unit) Crash(last string) {
	u.Process, u.Active, u.Sub, u.result = nil, "activating", "auto-restart", "exit-code"
	u.Restarts++
	u.Journal = []string{last}
}

// Leave ends a process with status 0, which systemd does not start again.
func (u *Unit) Leave(last string) {
	u.Stop()
	u.Journal = []string{last}
}

// Fail ends a process that systemd will not start again.
func (u *Unit) Fail(last string) {
	u.Process, u.Active, u.Sub, u.result = nil, "failed", "failed", "exit-code"
	u.Journal = []string{last}
}

// started returns what the process was started with.
func (p *Process) started() *api.Process {
	return &api.Process{Store: p.Store, Flags: slices.Clone(p.Lines), UnitSHA256: Digest(p.Unit), PeerCA: Digest(p.PeerCA), ClientCA: Digest(p.Clients)}
}

// State returns the unit's state in systemd's words.
func (u *Unit) State() api.UnitState {
	state := api.UnitState{
		Text:        u.Text,
		LoadState:   "loaded",
		ActiveState: u.Active,
		SubState:    u.Sub,
		FileState:   "disabled",
		Result:      u.result,
		Restarts:    u.Restarts,
		Looping:     u.Active == "activating" && u.Process == nil && u.Restarts >= 3,
		Journal:     slices.Clone(u.Journal),
	}
	if u.Text == "" {
		state.LoadState, state.FileState = "not-found", ""
	}
	if u.Active == "" {
		state.ActiveState, state.SubState = "inactive", "dead"
	}
	if u.Enabled {
		state.FileState = "enabled"
	}
	if u.Process != nil {
		state.MainPID = u.Process.PID
		state.Process = u.Process.started()
	}
	return state
}
