package nodetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// minor is etcd's minor version, of major 3; 0: none.
type minor int

// minorOf is the minor of a version, "3.7.3", or of a line, "3.7"; 0: it is none.
func minorOf(version string) minor {
	var major, n int
	if read, err := fmt.Sscanf(version, "%d.%d", &major, &n); err != nil || read != 2 || major != 3 {
		return 0
	}
	return minor(n)
}

// String is the minor as etcd spells cluster and storage versions; empty: there is none.
func (m minor) String() string {
	if m == 0 {
		return ""
	}
	return fmt.Sprintf("3.%d.0", m)
}

// archive is a store that can be installed.
type archive struct {
	version      string
	architecture string
	doomed       string   // why it ends as soon as it is started; empty: it does not
	unknown      []string // flags that it does not know
}

// AddStores adds stores of another version of etcd to the world: their hashes by architecture, as
// World.Stores holds those of EtcdVersion.
func (w *World) AddStores(version string) map[string]string { return w.build("store", version) }

// Rebuild adds stores of a version that the world has already, built anew by another release of the provider.
func (w *World) Rebuild(version string) map[string]string { return w.build("rebuilt", version) }

func (w *World) build(kind, version string) map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	stores := map[string]string{}
	for _, architecture := range []string{"amd64", "arm64"} {
		stores[architecture] = digest(kind, version, architecture)
		w.archives[stores[architecture]] = &archive{version: version, architecture: architecture}
	}
	return stores
}

// RefuseFlags has a store not know some flags: "--name", or "--name=value" where it knows no such value.
func (w *World) RefuseFlags(store string, flags ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.archive(store).unknown = flags
}

// Doom has every start of a member with this store end at once, again and again; empty: no more.
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

// archive is what is known of a store. One that the test made up itself is of EtcdVersion.
func (w *World) archive(store string) *archive {
	if w.archives[store] == nil {
		w.archives[store] = &archive{version: EtcdVersion}
	}
	return w.archives[store]
}

// parse says in etcd's words which flag it does not know; empty: it knows them all.
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

// cannotRead says why a server of this version ends on what a member has written; empty: it does not.
func (m *member) cannotRead(own minor) string {
	s := m.state()
	switch {
	case m.damaged != "":
		return fmt.Sprintf("panic: the %s of the member is damaged", m.damaged)
	case m.storage > own:
		return fmt.Sprintf("cannot detect storage schema version: version %q is not supported", m.storage)
	case s.version > own && s.downgrade != own:
		return fmt.Sprintf("invalid downgrade; server version is lower than determined cluster version: cluster cannot be downgraded (current version: %s is lower than determined cluster version: %s)", own, s.version)
	case s.version != 0 && own > s.version+1:
		return fmt.Sprintf("panic: cluster version %s cannot be raised to %s: one minor at a time", s.version, own)
	}
	return ""
}

// raise is what etcd's monitors do from time to time: storage follows the cluster version, the cluster
// version follows the members' or the downgrade that was asked for, and that ends once all have followed.
func (w *World) raise() {
	groups := w.groups()
	for _, key := range slices.SortedFunc(maps.Keys(groups), network.compare) {
		leader := leaderOf(groups[key])
		if leader == nil {
			continue
		}
		versions := map[string]minor{}
		for _, r := range groups[key] {
			p := r.part.unit.process
			versions[p.member.id] = minorOf(p.version)
			p.member.storage = p.member.state().version
		}
		if next := decide(leader.state(), versions); next.version != leader.state().version || next.downgrade != leader.state().downgrade {
			leader.append(1, next)
		}
	}
}

// decide is the state of a cluster once its leader has looked at the versions that its members run. One that
// cannot be asked has it leave all as it is.
func decide(s state, versions map[string]minor) state {
	lowest, same := minor(0), true
	for _, l := range s.members {
		own, up := versions[l.id]
		if !up {
			return s
		}
		if lowest == 0 || own < lowest {
			lowest = own
		}
		same = same && own == s.downgrade
	}
	switch {
	case s.downgrade != 0 && same && s.version == s.downgrade:
		s.downgrade = 0
	case s.downgrade != 0:
		s.version = s.downgrade
	case lowest == s.version+1:
		s.version = lowest
	}
	return s
}
