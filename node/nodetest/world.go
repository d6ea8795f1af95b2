// Package nodetest is a small simulated world of hosts for tests of the code that drives them: machines with a disk, a
// systemd unit and an etcd member, reached through the same four methods as a real host.
//
// Its state really changes: a store that was not installed cannot be called, a key that was not made gets no
// certificate, and members become a cluster only by etcd's own rules. So a test asserts the outcome of a run, and not
// its calls. A call that no real host would get fails the test.
//
//	world := nodetest.New(t, "192.0.2.11", "192.0.2.12", "192.0.2.13")
//	world.Host("192.0.2.12").Unreachable = errors.New("no route to host")
//	world.Inject(nodetest.Fault{Operation: api.OpStart, Extent: nodetest.Run})
//
// A formed cluster continues. Every member has its own log, and from that its own view of the members, their versions
// and alarms; a member that is down or cut off keeps its view until it is back. Learners join, catch up and are
// promoted by etcd's rules, and stores of several versions are exchanged both ways. Whatever a host is configured with,
// its process keeps what it was started with until it is restarted. Time passes only in Tick, OpAwait and OpProbe.
//
//	older := world.AddStores("3.6.16")
//	world.Host("192.0.2.13").Lag = 5000            // its member is kept behind its leader
//	world.Host("192.0.2.12").CutOff = true         // from the other members, and not from us
//	world.RemoveBehindOurBack("prod", "c")
//	err := world.Put("prod")                       // and in the end world.Lost("prod") is empty
//
// The world itself checks what holds for every safe run, and fails the test otherwise: see Rule.
//
// Fields of World and Host may be set while no run is under way, or from World.Watch.
package nodetest

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
)

// TB is what the world needs of a test; *testing.T and *rapid.T have it. Errorf is called from the goroutine that
// drives a host.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
}

// World is a set of hosts and the network between them.
type World struct {
	// Instant has members boot and find each other in the moment in which they are started. Without it, time stands
	// still until somebody waits, as OpAwait and Tick do.
	Instant bool

	// Watch is called with every call as it arrives, before it takes effect. It may change the world, cancel the run,
	// or take its locks away. It is called for one call at a time. nil: it is not called.
	Watch func(Call)

	// Clock is the time on every host.
	Clock time.Time

	// PromotableLag is how many entries a learner may be behind its leader when it is promoted. New sets it to a
	// thousand.
	PromotableLag uint64

	// Lasting says that no cluster is to be destroyed: retiring the host of a member that is still listed fails the
	// test.
	Lasting bool

	// Lingering are the IDs of members that are gone with their machines, and whose connections their peers have not
	// noticed to be gone.
	Lingering []string

	// Wanted are the addresses of the hosts that a cluster is restored on; nil: no restore is played.
	Desired []string

	// Stores are the hashes that Install has an archive for, by architecture as Go names it, of EtcdVersion. AddStores
	// adds others.
	Stores map[string]string

	t        TB
	waited   bool // somebody waits, and no member is being started
	watching sync.Mutex

	mu              sync.Mutex
	hosts           map[string]*Host
	also            map[string]*Host // by further addresses of the hosts
	calls           []Call
	faults          []*fault
	killed          bool
	struck          map[string]bool     // addresses of hosts that a fault has hit, which a run may take for unreachable
	histories       int                 // how many clusters have formed from nothing
	archives        map[string]*archive // by hash
	waived          map[Rule]bool
	puts            []put                   // acknowledged
	snapshotSources map[string]*model.Entry // what restored clusters begin with, by cluster ID
	opened          map[string]string       // cluster IDs of restored clusters that clients may have reached, by name
	stored          map[string][]stored     // backups, oldest first, by place
	highest         map[string]int64        // the highest revision that clients have seen, by the cluster's name
	shut            map[[2]string]bool      // hosts, and addresses that somebody has shut out of them
	handedOver      map[string]bool         // cluster IDs that were written into a marker as formed
}

// EtcdVersion is the version of etcd in World.Stores.
const EtcdVersion = "3.7.3"

// Start is the time at which every world begins.
var Start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// New returns a world of bare hosts with these addresses.
func New(t TB, addresses ...string) *World {
	w := &World{
		Clock:  Start,
		Stores: map[string]string{"amd64": model.Digest("store", "amd64"), "arm64": model.Digest("store", "arm64")},
		t:      t,

		PromotableLag: 1000,

		archives:        map[string]*archive{},
		waived:          map[Rule]bool{},
		struck:          map[string]bool{},
		hosts:           map[string]*Host{},
		handedOver:      map[string]bool{},
		shut:            map[[2]string]bool{},
		snapshotSources: map[string]*model.Entry{},
		opened:          map[string]string{},
		highest:         map[string]int64{},
		stored:          map[string][]stored{},
	}
	for _, address := range addresses {
		w.hosts[address] = newHost(w, address)
	}
	return w
}

// Host returns the host with this address. An address that was not given to New fails the test, and its host answers
// nothing.
func (w *World) Host(address string) *Host {
	w.t.Helper()
	if host, known := w.hosts[address]; known {
		return host
	}
	if host, known := w.also[address]; known {
		return host
	}
	w.t.Errorf("nodetest: there is no host %s in this world, only %v", address, slices.Sorted(maps.Keys(w.hosts)))
	return newHost(w, address)
}

// Tick lets some time pass: started members boot, find each other and elect a leader, new ones catch up, versions
// follow, and systemd restarts members that died.
func (w *World) Tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pass()
}

// HandedOver returns the IDs of all clusters that any host was told that it is formed with, sorted.
func (w *World) HandedOver() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.handedOver))
}

// each calls do for every cluster on every host, once each, however many addresses it has, and in a fixed order.
func (w *World) each(do func(*Host, *installation)) {
	done := map[*Host]bool{}
	for _, address := range slices.Sorted(maps.Keys(w.hosts)) {
		host := w.hosts[address]
		if done[host] {
			continue
		}
		done[host] = true
		for _, cluster := range slices.Sorted(maps.Keys(host.clusters)) {
			do(host, host.clusters[cluster])
		}
	}
}

// Now returns the time on every host.
func (w *World) Now() time.Time { return w.Clock }

// unexpected fails the test for a call that no real host would get.
func (w *World) unexpected(format string, args ...any) error {
	w.t.Errorf("nodetest: "+format, args...)
	return &api.Error{Code: api.CodeUnsupported, Message: "this was not expected; the test has failed"}
}
