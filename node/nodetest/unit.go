package nodetest

import (
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// unit is a cluster's systemd unit on a host.
type unit struct {
	text     string
	enabled  bool
	active   string // ActiveState; empty: inactive
	sub      string
	result   string
	restarts int
	journal  []string
	process  *process // nil: none runs
}

// process is a running member.
type process struct {
	pid     int
	store   string // hash
	version string // of etcd
	lines   []string
	flags   map[string]string // of lines
	unit    string            // text of the unit file at the start
	peerCA  string            // bundle at the start
	clients string            // likewise, that of clients
	member  *member
	// serves: it has been in a quorum since it started. Only from then on do clients get an answer, and
	// systemd has its READY.
	serves bool
	leader string // ID of the leader of its quorum; empty: it has none
	// catching: it is new, and only a part of the log has reached it.
	catching bool
	// proved: it has been compared with the others, keys and all.
	proved bool
	// stalled: it has come into its cluster, and does not call itself started.
	stalled bool
	// settling: it has just been promoted, and does not call itself ready yet.
	settling bool
}

// start is what systemd does with a unit that is not running yet.
func (u *unit) start() {
	if u.runs() {
		return
	}
	u.active, u.sub, u.result, u.restarts, u.journal = "activating", "start", "success", 0, nil
}

func (u *unit) stop() {
	u.process, u.active, u.sub, u.result, u.journal = nil, "inactive", "dead", "success", nil
}

// halt is the end of the unit with the end of its machine.
func (u *unit) halt() {
	if u.runs() {
		u.stop()
	}
}

// runs tells whether systemd runs the unit or is about to.
func (u *unit) runs() bool { return u.active == "active" || u.active == "activating" }

// crash is the end of a process that systemd will start again.
func (u *unit) crash(last string) {
	u.process, u.active, u.sub, u.result = nil, "activating", "auto-restart", "exit-code"
	u.restarts++
	u.journal = []string{last}
}

// leave is the end of a process with status 0, which systemd does not start again.
func (u *unit) leave(last string) {
	u.stop()
	u.journal = []string{last}
}

// fail is the end of a process that systemd will not start again.
func (u *unit) fail(last string) {
	u.process, u.active, u.sub, u.result = nil, "failed", "failed", "exit-code"
	u.journal = []string{last}
}

// started is what the process was started with.
func (p *process) started() *api.Process {
	return &api.Process{Store: p.store, Flags: slices.Clone(p.lines), UnitSHA256: digest(p.unit), PeerCA: digest(p.peerCA), ClientCA: digest(p.clients)}
}

// state is the unit in systemd's words.
func (u *unit) state() api.UnitState {
	state := api.UnitState{
		Text:        u.text,
		LoadState:   "loaded",
		ActiveState: u.active,
		SubState:    u.sub,
		FileState:   "disabled",
		Result:      u.result,
		Restarts:    u.restarts,
		Looping:     u.active == "activating" && u.process == nil && u.restarts >= 3,
		Journal:     slices.Clone(u.journal),
	}
	if u.text == "" {
		state.LoadState, state.FileState = "not-found", ""
	}
	if u.active == "" {
		state.ActiveState, state.SubState = "inactive", "dead"
	}
	if u.enabled {
		state.FileState = "enabled"
	}
	if u.process != nil {
		state.MainPID = u.process.pid
		state.Process = u.process.started()
	}
	return state
}
