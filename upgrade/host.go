// Package upgrade carries out plans on the hosts of a cluster: it observes the hosts, asks the planner (upgrade/plan)
// for the next steps, carries them out and observes again, until nothing is left. It knows how a step is done, and
// never whether it is right.
package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// Host is one host. All methods are safe for concurrent use.
type Host interface {
	// Contact reads what can be read before a store is on the host. It changes nothing.
	Contact(ctx context.Context, cluster string, ask api.ObserveRequest) (api.Contact, error)

	// Install puts the store with this hash on the host, unless it is there. An interrupted install leaves nothing
	// behind that would be run.
	Install(ctx context.Context, cluster, store string) error

	// Call makes one call on a store of the host: the one with this hash or, if store is empty, the one that the
	// cluster selects. result may be nil. Errors from the store are of type *api.Error; if there is no store to call,
	// the code is api.CodeNoStore.
	Call(ctx context.Context, store string, request api.Request, result any) error

	// Upload is a Call that sends content after the request. The host may not read all of it.
	Upload(ctx context.Context, store string, request api.Request, content io.Reader, result any) error

	// Download is a Call that returns content, written as it arrives. After an error the written content is of no use.
	Download(ctx context.Context, store string, request api.Request, content io.Writer, result any) error

	// Lock takes the cluster's lock on the host without waiting: an *api.Error with api.CodeBusy names the holder if
	// it is taken. The returned context ends when the lock is lost. release frees the lock, and may be called more than
	// once.
	Lock(ctx context.Context, store, cluster string, holder api.Holder) (held context.Context, release func(), err error)
}

// call makes one call and returns its typed result.
func call[R any](ctx context.Context, host Host, store string, op api.Operation, cluster, holder string, body any) (R, error) {
	return request[R](ctx, host, store, api.Request{Operation: op, Cluster: cluster, Holder: holder}, body)
}

// request makes one call in the given envelope and returns its typed result.
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
