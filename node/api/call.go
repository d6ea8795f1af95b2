// Package api defines the calls that the provider makes on the store of a host, and their results: only types and
// checks, shared by both sides and versioned together.
//
// A call is one process, `store call`, in an SSH session. It reads one Request as a line of JSON from stdin, followed
// by content if the operation takes any. It writes Lines of JSON to stdout: any number with progress or content, then
// exactly one with the result or the error. Secrets travel only on stdin, never in arguments.
package api

import (
	"encoding/json"
	"fmt"
	"time"
)

// Version is the version of this protocol. A store refuses versions that it does not know by name, so that a newer
// provider can still read a host through an old store.
const Version = 1

// Operation names a call. The type of its result is noted beside each.
type Operation string

// Operations that only read. They take no lock, and change nothing on the host.
const (
	OpObserve Operation = "observe" // ObserveRequest -> Observation
	OpAwait   Operation = "await"   // AwaitRequest -> Observation
	OpProbe   Operation = "probe"   // ProbeRequest -> Member
	OpHash    Operation = "hash"    // HashRequest -> Hash
	OpTry     Operation = "try"     // TryRequest -> Done
	OpArrived Operation = "arrived" // ArrivedRequest -> Arrived
)

// OpLock holds the cluster's lock on this host while its stdin is open and sends a line at least every LockSilence. It
// writes one progress line, LockTaken, once it holds the lock and no call of an earlier, killed run is still at work:
// what is observed from then on stays true.
const OpLock Operation = "lock" // LockRequest -> Done

// Operations that change the host. Each requires Request.Holder to hold the cluster's lock, and waits for calls of an
// earlier, killed run.
const (
	OpPrepare   Operation = "prepare"   // PrepareRequest -> Prepared
	OpConfigure Operation = "configure" // ConfigureRequest -> Done
	OpStart     Operation = "start"     // StartRequest -> Done
	OpStop      Operation = "stop"      // StopRequest -> Done
	OpSetAside  Operation = "set-aside" // SetAsideRequest -> SetAside
	OpRetire    Operation = "retire"    // RetireRequest -> Retired
	OpRestart   Operation = "restart"   // RestartRequest -> Done
	OpSnapshot  Operation = "snapshot"  // SnapshotRequest -> Snapshot
	OpRecover   Operation = "recover"   // RecoverRequest -> Recovered
)

// Operations of a restore. All but OpSave require the lock too.
const (
	OpSave    Operation = "save"    // SaveRequest -> Saved, with content
	OpFetch   Operation = "fetch"   // FetchRequest -> Snapshot; content may follow the request
	OpFence   Operation = "fence"   // FenceRequest -> Restoration
	OpRestore Operation = "restore" // RestoreRequest -> Restored
	OpAdvance Operation = "advance" // AdvanceRequest -> Done
	// RollBackRequest -> Done. The name is older: hosts may run a store that knows the call only by it.
	OpRollBack Operation = "take-back"
)

// Operations that change the cluster through the member on this host. They require the lock too.
const (
	OpAddLearner   Operation = "add-learner"   // AddLearnerRequest -> AddedLearner
	OpRemoveMember Operation = "remove-member" // RemoveMemberRequest -> Done
	OpPromote      Operation = "promote"       // PromoteRequest -> Done
	OpUpdateMember Operation = "update-member" // UpdateMemberRequest -> Done
	OpMoveLeader   Operation = "move-leader"   // MoveLeaderRequest -> Done
	OpDowngrade    Operation = "downgrade"     // DowngradeRequest -> Done
	OpDisarm       Operation = "disarm"        // DisarmRequest -> Done
)

// ReadOnly tells whether the operation changes nothing on the host.
func (o Operation) ReadOnly() bool {
	switch o {
	case OpObserve, OpAwait, OpProbe, OpHash, OpTry, OpArrived, OpBackups, OpSendBackup, OpPreflight:
		return true
	}
	return false
}

// Request is the envelope of a call.
type Request struct {
	Version   int       `json:"version"`
	Operation Operation `json:"operation"`
	Cluster   string    `json:"cluster"`          // the cluster's name; scopes everything on the host
	Holder    string    `json:"holder,omitempty"` // LockRequest.Holder.ID of the lock that covers this call
	Target    *Target   `json:"target,omitempty"` // whom a changing call is meant for; nil: not given
	// Beats: the caller keeps writing a line every LockHeartbeat. Once it falls silent, a call ends that changes
	// nothing, or nothing but what the next one continues.
	Beats bool            `json:"beats,omitempty"`
	Body  json.RawMessage `json:"body"`
}

// Line is one line of a call's stdout. Exactly one field is set.
type Line struct {
	Progress string          `json:"progress,omitempty"`
	Content  int             `json:"content,omitempty"` // this many bytes of raw content follow the line
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *Error          `json:"error,omitempty"`
}

// Done is the result of an operation that returns nothing.
type Done struct{}

// Code classifies an Error by the decision that the caller has to take.
type Code string

// Codes of errors.
const (
	CodeFailed      Code = "failed"      // the host could not do it; Message says why
	CodeRefused     Code = "refused"     // a safety rule forbids it; nothing was changed
	CodeBusy        Code = "busy"        // another run holds the lock; Holder says who
	CodeUnsupported Code = "unsupported" // this store does not know the version or operation
	CodeNoStore     Code = "no-store"    // set by the provider's side: the host has no store to call
)

// Error is the error of a call. Message says what failed and what to do; Detail has longer evidence, such as the end of
// a unit's journal.
type Error struct {
	Code    Code    `json:"code"`
	Message string  `json:"message"`
	Detail  string  `json:"detail,omitempty"`
	Holder  *Holder `json:"holder,omitempty"` // with CodeBusy
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Message
	}
	return e.Message + "\n" + e.Detail
}

// Times and words of the lock.
const (
	// LockHeartbeat is how often the holder of a lock writes a line.
	LockHeartbeat = 10 * time.Second
	// LockSilence is the silence after which the store releases the lock of a holder that is frozen or cut off: three
	// heartbeats.
	LockSilence = 30 * time.Second
	// LockTaken is the progress line that reports that the lock is held.
	LockTaken = "locked"
)

// LockRequest takes the cluster's lock on this host, without waiting.
type LockRequest struct {
	Holder Holder `json:"holder"`
}

// Holder identifies the holder of a lock, for the error that other runs get.
type Holder struct {
	ID    string    `json:"id"`    // random, of one run
	Who   string    `json:"who"`   // user@host of the run, and what it does: "ops@ci-7, create"
	Since time.Time `json:"since"` // by the clock of the locked host
}

func (h Holder) String() string {
	return fmt.Sprintf("%s, since %s", h.Who, h.Since.UTC().Format(time.RFC3339))
}
