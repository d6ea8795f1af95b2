package nodetest

import (
	"context"
	"errors"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// What is recorded for the methods of a host that are no calls of a store.
const (
	Contact api.Operation = "contact"
	Install api.Operation = "install"
)

// Call is one request that arrived at a host.
type Call struct {
	Address   string
	Operation api.Operation // Contact and Install too
}

// Changes tells whether the call is one that changes the host.
func (c Call) Changes() bool {
	return c.Operation != Contact && c.Operation != api.OpLock && !c.Operation.ReadOnly()
}

// Calls returns all requests that have arrived at any host, in order.
func (w *World) Calls() []Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// Changes returns the calls that change a host. If there are none, only reads arrived.
func (w *World) Changes() []Call {
	return slices.DeleteFunc(w.Calls(), func(c Call) bool { return !c.Changes() })
}

// Forget clears the record of calls.
func (w *World) Forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = nil
}

// Extent is how far a fault reaches.
type Extent int

// Extents of a fault.
const (
	Once    Extent = iota // that call alone
	Session               // that call, and every later one to the same host
	Run                   // that call, and every later one to any host: the run was killed
)

// Fault is something that goes wrong at a call.
type Fault struct {
	Address   string        // of the host; empty: any
	Operation api.Operation // empty: any
	Nth       int           // which of the matching calls, from 1; 0 is the first, too
	After     bool          // the call takes effect and its answer is lost; otherwise it never arrives
	Extent    Extent
	Err       error // nil: ErrCut
}

// ErrCut is the error of a call whose fault names none.
var ErrCut = errors.New("the connection was lost")

// errAtWork is the answer of a host on which a call of an earlier run has not ended.
var errAtWork = &api.Error{Code: api.CodeBusy, Message: "a call of an earlier run is still at work on this host: wait until it has ended, and apply again"}

// fault is a Fault and how often it has been matched.
type fault struct {
	Fault
	seen int
	cut  bool // for extent Session: the fault has struck
}

// Inject adds a fault, which stays until Heal.
func (w *World) Inject(faults ...Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range faults {
		f.Nth = max(f.Nth, 1)
		if f.Err == nil {
			f.Err = ErrCut
		}
		w.faults = append(w.faults, &fault{Fault: f})
	}
}

// Heal removes all faults. The calls that follow belong to another run, after one that was killed.
func (w *World) Heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults, w.killed = nil, false
	clear(w.struck)
}

// serve has one call arrive at the host: it records the call, applies faults, and carries the call out.
func (h *Host) serve(ctx context.Context, op api.Operation, effect func() error) error {
	w := h.world
	call := Call{Address: h.Address, Operation: op}
	if w.Watch != nil {
		w.watching.Lock()
		w.Watch(call)
		w.watching.Unlock()
	}
	if h.Hung {
		<-ctx.Done()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case w.killed:
		return ErrCut
	case h.off:
		return errOff
	case h.Unreachable != nil:
		return h.Unreachable
	}
	before, after := w.meet(call)
	if before != nil {
		return before
	}
	w.calls = append(w.calls, call)
	if err := effect(); err != nil && after == nil {
		return err
	}
	return after
}

// meet returns the fault that strikes a call: before it takes effect, or after.
func (w *World) meet(call Call) (before, after error) {
	for _, f := range w.faults {
		if f.Address != "" && f.Address != call.Address {
			continue
		}
		if f.cut && f.Address == call.Address {
			return f.Err, nil
		}
		if f.Operation != "" && f.Operation != call.Operation {
			continue
		}
		if f.seen++; f.seen != f.Nth {
			continue
		}
		w.struck[call.Address] = true
		switch f.Extent {
		case Session:
			f.Address, f.cut = call.Address, true
		case Run:
			w.killed = true
		}
		if !f.After {
			return f.Err, nil
		}
		after = f.Err
	}
	return nil, after
}
