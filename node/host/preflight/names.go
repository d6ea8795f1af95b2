package preflight

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// lookUp looks names up as etcd on this host would: with Go's own resolver, by /etc/hosts and /etc/resolv.conf.
func lookUp(ctx context.Context, names []string) map[string]api.Lookup {
	lookups := map[string]api.Lookup{}
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, name := range names {
		group.Go(func() {
			found := lookUpOne(ctx, name)
			mu.Lock()
			defer mu.Unlock()
			lookups[name] = found
		})
	}
	group.Wait()
	return lookups
}

func lookUpOne(ctx context.Context, name string) api.Lookup {
	addresses, err := (&net.Resolver{PreferGo: true}).LookupNetIP(ctx, "ip", name)
	var lookup *net.DNSError
	switch {
	case errors.As(err, &lookup):
		return api.Lookup{Error: lookupFailure(lookup)}
	case err != nil:
		return api.Lookup{Error: err.Error()}
	}
	var texts []string
	for _, address := range addresses {
		texts = append(texts, address.Unmap().String())
	}
	slices.Sort(texts)
	return api.Lookup{Addresses: slices.Compact(texts)}
}

// lookupFailure says why a name cannot be looked up.
func lookupFailure(err *net.DNSError) string {
	if err.IsTimeout {
		return "no name server answers"
	}
	return err.Err
}
