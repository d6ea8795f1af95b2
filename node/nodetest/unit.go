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
	pid    int
	flags  map[string]string
	member *member // nil: it has not opened its data yet
	// serves: it has been in a quorum since it started. Only from then on do clients get an answer, and
	// systemd has its READY.
	serves bool
	leader string // ID of the leader of its quorum; empty: it has none
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

// fail is the end of a process that systemd will not start again.
func (u *unit) fail(last string) {
	u.process, u.active, u.sub, u.result = nil, "failed", "failed", "exit-code"
	u.journal = []string{last}
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
	}
	return state
}
