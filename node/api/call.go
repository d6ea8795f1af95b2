// Package api holds what the provider asks of the store on a host, and what the store answers:
// types only, shared by both sides and versioned together.
//
// A call is one process, `store call`, on an SSH session. It reads one Request as a line of JSON on
// stdin, with content after it where the operation takes any, and writes Lines of JSON on stdout: any number
// that carry progress or announce content, then exactly one that carries the result or the error. Secrets travel on stdin alone, never in arguments.
package api

import (
	"encoding/json"
	"fmt"
	"time"
)

// Version is the version of this protocol. A store answers the versions that it knows and refuses
// others by name, so that a newer provider can read a host through the store that is already there.
const Version = 1

// Operation names what is asked of the store. Its result type stands beside each.
type Operation string

// Operations that only read. They never take a lock, and change nothing on the host.
const (
	OpObserve Operation = "observe" // ObserveRequest -> Observation
	OpAwait   Operation = "await"   // AwaitRequest -> Observation
	OpProbe   Operation = "probe"   // ProbeRequest -> Member
	OpHash    Operation = "hash"    // HashRequest -> Hash
	OpTry     Operation = "try"     // TryRequest -> Done
	OpArrived Operation = "arrived" // ArrivedRequest -> Arrived
)

// OpLock holds the cluster's lock on this host for as long as its stdin is open and speaks: a line
// at least every LockSilence. It writes one progress line, LockTaken, once it holds the lock and no
// call that an earlier, killed run has left behind is at work: what is observed from then on stays true.
const OpLock Operation = "lock" // LockRequest -> Done

// Operations that change the host. Each wants Request.Holder to be the holder of the cluster's
// lock, and waits for a call that an earlier, killed run has left behind.
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

// Operations of a restore. They too want the lock, but for OpSave.
const (
	OpSave     Operation = "save"      // SaveRequest -> Saved, with content
	OpFetch    Operation = "fetch"     // FetchRequest -> Snapshot; content may follow the request
	OpFence    Operation = "fence"     // FenceRequest -> Restoration
	OpRestore  Operation = "restore"   // RestoreRequest -> Restored
	OpAdvance  Operation = "advance"   // AdvanceRequest -> Done
	OpTakeBack Operation = "take-back" // TakeBackRequest -> Done
)

// Operations that change the cluster through the member on this host. Like those above they want the lock.
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
	case OpObserve, OpAwait, OpProbe, OpHash, OpTry, OpArrived, OpBackups, OpSendBackup:
		return true
	}
	return false
}

// Request is the envelope of a call.
type Request struct {
	Version   int             `json:"version"`
	Operation Operation       `json:"operation"`
	Cluster   string          `json:"cluster"`          // the cluster's name; scopes everything on the host
	Holder    string          `json:"holder,omitempty"` // LockRequest.Holder.ID of the lock that covers this call
	Target    *Target         `json:"target,omitempty"` // whom a call that changes the host means; nil: nobody has said
	Beats     bool            `json:"beats,omitempty"`  // the caller goes on to write a line every LockHeartbeat: once it is silent, a call that changes nothing ends
	Body      json.RawMessage `json:"body"`
}

// Line is one line of a call's stdout. Exactly one field is set.
type Line struct {
	Progress string          `json:"progress,omitempty"`
	Content  int             `json:"content,omitempty"` // so many bytes of content follow the line, as they are
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *Error          `json:"error,omitempty"`
}

// Done is the result of an operation that has nothing to say but that it is done.
type Done struct{}

// Code classes an Error by the decision that the caller takes.
type Code string

// Codes of errors.
const (
	CodeFailed      Code = "failed"      // the host could not do it; Message says why
	CodeRefused     Code = "refused"     // a safety rule forbids it; nothing was changed
	CodeBusy        Code = "busy"        // another run holds the lock; Holder says who
	CodeUnsupported Code = "unsupported" // this store knows no such version or operation
	CodeNoStore     Code = "no-store"    // said by the provider's side: there is no store on the host to call
)

// Error is how a call fails. Message names what failed and what to do; Detail holds the longer
// evidence, such as the tail of a unit's journal.
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

// The lock's clock.
const (
	// LockHeartbeat is how often the holder of a lock writes a line.
	LockHeartbeat = 10 * time.Second
	// LockSilence is the silence after which the store frees a lock whose holder is frozen or cut off:
	// three heartbeats.
	LockSilence = 30 * time.Second
	// LockTaken is the progress line that says that the lock is held.
	LockTaken = "locked"
)

// LockRequest takes the cluster's lock on this host, at once or not at all.
type LockRequest struct {
	Holder Holder `json:"holder"`
}

// Holder says who holds a lock, for the error that the next one gets.
type Holder struct {
	ID    string    `json:"id"`    // random, of one run
	Who   string    `json:"who"`   // user@host of the run, and what it does: "ops@ci-7, create"
	Since time.Time `json:"since"` // by the clock of the locked host
}

func (h Holder) String() string {
	return fmt.Sprintf("%s, since %s", h.Who, h.Since.UTC().Format(time.RFC3339))
}
