// Package upgrade carries plans out on the hosts of a cluster: it looks, has the planner say what is next (upgrade/plan),
// does that, and looks again, until nothing is left. It knows how a step is done, and never whether it is right.
package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// Host is one host. Every method may be called at any time, and from several goroutines.
type Host interface {
	// Contact reads what can be read before any store is on the host. It changes nothing.
	Contact(ctx context.Context, cluster string, ask api.ObserveRequest) (api.Contact, error)

	// Install puts the store with this hash on the host, unless it is there. An install that is cut
	// short leaves nothing behind that would be run.
	Install(ctx context.Context, cluster, store string) error

	// Call makes one call on a store of the host: the one with this hash, or, where store is empty,
	// the one that the cluster selects. result may be nil. An error that the store gives is an
	// *api.Error; where there is no store to call, its code is api.CodeNoStore.
	Call(ctx context.Context, store string, request api.Request, result any) error

	// Upload is a Call with content, which is sent after the request. The host may not read all of it.
	Upload(ctx context.Context, store string, request api.Request, content io.Reader, result any) error

	// Download is a Call that is answered with content, which is written as it arrives. What was written is of
	// use only where there is no error.
	Download(ctx context.Context, store string, request api.Request, content io.Writer, result any) error

	// Lock takes the cluster's lock on the host, at once or not at all: an *api.Error of
	// api.CodeBusy says who holds it. The context that it returns ends when the lock is lost; release
	// frees it, and may be called more than once.
	Lock(ctx context.Context, store, cluster string, holder api.Holder) (held context.Context, release func(), err error)
}

// call makes one call and returns its typed result.
func call[R any](ctx context.Context, host Host, store string, op api.Operation, cluster, holder string, body any) (R, error) {
	return request[R](ctx, host, store, api.Request{Operation: op, Cluster: cluster, Holder: holder}, body)
}

// request makes one call, in this envelope, and returns its typed result.
func request[R any](ctx context.Context, host Host, store string, envelope api.Request, body any) (R, error) {
	var result R
	encoded, err := json.Marshal(secret.Revealed(body))
	if err != nil {
		return result, fmt.Errorf("encode %s: %w", envelope.Operation, err)
	}
	envelope.Version, envelope.Body = api.Version, encoded
	err = host.Call(ctx, store, envelope, &result)
	return result, err
}
