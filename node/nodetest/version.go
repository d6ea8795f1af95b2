package nodetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
)

// archive is a store that can be installed.
type archive struct {
	version      string
	architecture string
	doomed       string          // why it ends as soon as it is started; empty: it does not
	unknown      []string        // flags that it does not know
	lacks        []string        // fields of requests that it does not know
	ignores      []api.Operation // that it does not know
}

// AddStores adds stores of another version of etcd to the world, and returns their hashes by architecture, as
// World.Stores holds those of EtcdVersion.
func (w *World) AddStores(version string) map[string]string { return w.build("store", version) }

// Rebuild adds other builds of the stores of a version, as another release of the provider has them.
func (w *World) Rebuild(version string) map[string]string { return w.build("rebuilt", version) }

func (w *World) build(kind, version string) map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	stores := map[string]string{}
	for _, architecture := range []string{"amd64", "arm64"} {
		stores[architecture] = model.Digest(kind, version, architecture)
		w.archives[stores[architecture]] = &archive{version: version, architecture: architecture}
	}
	return stores
}

// RefuseFlags has a store not know some flags: "--name", or "--name=value" if it only lacks this value.
func (w *World) RefuseFlags(store string, flags ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.archive(store).unknown = flags
}

// RefuseFields has a store not know some fields of requests, like a store that is older than they are.
func (w *World) RefuseFields(store string, fields ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.archive(store).lacks = fields
}

// RefuseOperations has a store not know some operations, like a store that is older than they are.
func (w *World) RefuseOperations(store string, operations ...api.Operation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.archive(store).ignores = operations
}

// known refuses an operation that the store does not know, and such a field of a request that changes a host. It takes
// such fields away from a request that only reads, since a store ignores them there.
func (c call) known(op api.Operation, body json.RawMessage) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	lacks := c.world.archive(c.store).lacks
	if slices.Contains(c.world.archive(c.store).ignores, op) {
		return nil, &api.Error{Code: api.CodeUnsupported, Message: fmt.Sprintf("this store knows no operation %q", op)}
	}
	if len(lacks) == 0 || json.Unmarshal(body, &fields) != nil {
		return body, nil
	}
	for _, name := range lacks {
		if _, given := fields[name]; given && (!op.ReadOnly() || op == api.OpPreflight) {
			return nil, &api.Error{Code: api.CodeUnsupported, Message: fmt.Sprintf("this store cannot carry out the request %s: json: unknown field %q", op, name)}
		}
		delete(fields, name)
	}
	return json.Marshal(fields)
}

// Doom has every start of a member with this store end at once, for the reason why; empty: no longer.
func (w *World) Doom(store, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.archive(store).doomed = why
}

// fits tells whether the world has this store, for machines of this architecture.
func (w *World) fits(store, architecture string) bool {
	known := w.archives[store]
	return w.Stores[architecture] == store || known != nil && known.architecture == architecture
}

// archive returns what is known of a store. A store that the test made up itself is of EtcdVersion.
func (w *World) archive(store string) *archive {
	if w.archives[store] == nil {
		w.archives[store] = &archive{version: EtcdVersion}
	}
	return w.archives[store]
}

// parse returns, in etcd's words, which flag the store does not know, or "".
func (a *archive) parse(flags []string) string {
	for _, line := range flags {
		name, value, _ := strings.Cut(line, "=")
		switch {
		case slices.Contains(a.unknown, name):
			return "flag provided but not defined: -" + strings.TrimLeft(name, "-")
		case slices.Contains(a.unknown, line):
			return fmt.Sprintf("invalid value %q for flag -%s: unrecognized", value, strings.TrimLeft(name, "-"))
		}
	}
	return ""
}

// raise does what etcd's monitors do from time to time: the storage version follows the cluster version, the cluster
// version follows the members' versions or the downgrade under way, and that ends once all have followed.
func (w *World) raise() {
	groups := w.groups()
	for _, key := range slices.SortedFunc(maps.Keys(groups), network.compare) {
		leader := leaderOf(groups[key])
		if leader == nil {
			continue
		}
		versions := map[string]model.Minor{}
		for _, r := range groups[key] {
			p := r.part.unit.Process
			versions[p.Member.ID] = model.MinorOf(p.Version)
			p.Member.Storage = p.Member.State().Version
		}
		if next := model.Decide(leader.State(), versions); next.Version != leader.State().Version || next.Downgrade != leader.State().Downgrade {
			leader.Append(1, next)
		}
	}
}

// try has a store parse flags.
func (c call) try(r api.TryRequest) (api.Done, error) {
	if !c.hasStore(r.Store) {
		return api.Done{}, refuse("store %s is not installed", r.Store)
	}
	if why := c.world.archive(r.Store).parse(r.Flags); why != "" {
		return api.Done{}, refuse("etcd %s does not take these flags: %s", c.world.archive(r.Store).version, why)
	}
	return api.Done{}, nil
}

// wantedByOthers tells whether another cluster's run demands a store: one that is under way, or that may not have its
// lock yet.
func (h *Host) wantedByOthers(cluster, store string) bool {
	for of, at := range h.wanted {
		_, locked := h.locks[of.cluster]
		if of.store == store && of.cluster != cluster && (locked || h.world.Clock.Sub(at) < time.Hour) {
			return true
		}
	}
	return false
}

// selectedByAny tells whether a cluster on the host selects this store.
func (h *Host) selectedByAny(store string) bool {
	for _, part := range h.clusters {
		if part.selected == store {
			return true
		}
	}
	return false
}
