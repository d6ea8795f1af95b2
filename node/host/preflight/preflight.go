// Package preflight tries on a host what a member will need there: a disk that syncs fast, peers that can be reached in
// both directions, and names that can be looked up. It leaves nothing behind, however it ends.
package preflight

import (
	"context"
	"sync"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// Host is the host that is tried.
type Host struct {
	Files files.Tree
}

// Run tries everything that is asked for, all at the same time. It ends with its context.
func (h Host) Run(ctx context.Context, r api.PreflightRequest) (found api.Preflight, err error) {
	if err := api.CheckPreflight(r); err != nil {
		return found, err
	}
	var group sync.WaitGroup
	if r.DataDir != "" {
		group.Go(func() {
			appends, err := h.timeAppends(ctx, r.DataDir)
			if err != nil {
				found.AppendError = err.Error()
				return
			}
			found.Appends = &appends
		})
	}
	bounded, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	group.Go(func() { found.Lookups = lookUp(bounded, r.Names) })
	group.Go(func() { found.ListenError, found.Unreached = meetPeers(bounded, r) })
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
		return found, context.Cause(ctx)
	case <-ctx.Done(): // a disk that hangs keeps its goroutine, and the process ends without it
		return api.Preflight{}, context.Cause(ctx)
	}
}
