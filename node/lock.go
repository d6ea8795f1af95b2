package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// ErrLockLost is why the context of a lock ends before the lock is released.
var ErrLockLost = errors.New("the session that held the lock has ended")

// Lock acquires the cluster's lock on the host, or fails at once: an *api.Error with api.CodeBusy says who holds the
// lock. An SSH session of its own on the shared connection holds it and sends a line every api.LockHeartbeat: if this
// process dies, the session ends and the lock is released.
//
// The returned context ends if the lock is lost, with ErrLockLost in its cause. The returned function releases the
// lock.
func (n *Node) Lock(ctx context.Context, store, cluster string, holder api.Holder) (context.Context, func(), error) {
	return n.lock(ctx, store, cluster, holder, api.LockSilence)
}

// lock is Lock. Its release waits no longer than patience for the host, which has released the lock by itself then, or
// does as soon as it no longer hangs.
func (n *Node) lock(ctx context.Context, store, cluster string, holder api.Holder, patience time.Duration) (context.Context, func(), error) {
	body, err := json.Marshal(api.LockRequest{Holder: holder})
	if err != nil {
		return nil, nil, fmt.Errorf("encode the lock's holder: %w", err)
	}
	request, err := encode(api.Request{Version: api.Version, Operation: api.OpLock, Cluster: cluster, Holder: holder.ID, Body: body})
	if err != nil {
		return nil, nil, err
	}

	held, lost := context.WithCancelCause(ctx)
	taken := make(chan struct{})
	take := sync.OnceFunc(func() { close(taken) })
	answer := &answer{progress: func(line string) {
		if line == api.LockTaken {
			take()
		}
	}}
	stdin, silence := speak(request)
	ended := make(chan struct{})
	session, end := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(ended)
		defer end()
		// The session outlives ctx: only its release ends it, so that the lock still covers a step that is finished
		// after an interrupt.
		err := n.run(session, "store call", callLine(store, cluster), stdin, answer)
		err = n.outcome(answer, api.OpLock, err, nil)
		silence()
		lost(errors.Join(ErrLockLost, err))
	}()
	release := sync.OnceFunc(func() {
		silence()
		select {
		case <-ended:
		case <-time.After(patience):
			end()
		}
	})

	select {
	case <-taken:
		// Calls take sessions of their own beside the lock's.
		if err := n.hasSpare(ctx); err != nil {
			release()
			return nil, nil, err
		}
		return held, release, nil
	case <-ended:
		return nil, nil, lockError(context.Cause(held))
	case <-ctx.Done():
		silence()
		return nil, nil, ctx.Err()
	}
}

// hasSpare returns an error if the host's sshd opens no second session beside the open one.
func (n *Node) hasSpare(ctx context.Context) error {
	client, err := n.connect(ctx)
	if err != nil {
		return err
	}
	return client.Spare(ctx)
}

// speak returns the stdin of a call that shows the host that its caller is alive: the request, and then a line every
// api.LockHeartbeat. silence ends it.
func speak(request string) (stdin io.Reader, silence func()) {
	from, to := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer to.Close()
		if _, err := io.WriteString(to, request); err != nil {
			return
		}
		beat := time.NewTicker(api.LockHeartbeat)
		defer beat.Stop()
		for {
			select {
			case <-ended:
				return
			case <-beat.C:
				if _, err := io.WriteString(to, "\n"); err != nil {
					return
				}
			}
		}
	}()
	return from, sync.OnceFunc(func() {
		close(ended)
		_ = to.Close()
	})
}

// lockError returns why a lock was not acquired: the store's own error if there is one.
func lockError(cause error) error {
	var refusal *api.Error
	if errors.As(cause, &refusal) {
		return refusal
	}
	return cause
}
