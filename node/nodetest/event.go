package nodetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
)

// PowerCut switches the host off: its processes die, its locks end, and it does not answer. Its files stay, except for
// uploads that were under way: after a boot the end of a part does not count, and everything that tests send is shorter
// than that end.
func (h *Host) PowerCut() {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	h.kill()
	clear(h.arriving)
	h.off = true
}

// PowerOn switches the host on again, which starts its enabled units.
func (h *Host) PowerOn() {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	h.off = false
	h.boots++
	for _, part := range h.clusters {
		if part.unit.Enabled {
			part.unit.Start()
		}
	}
}

// Wipe makes the host another machine under the same address, with nothing on it.
func (h *Host) Wipe() {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	h.kill()
	h.reinstall("after " + h.MachineID)
}

// CloneOf makes the host a clone of another one: with its machine ID, stores, configuration, keys and data. No member
// runs on it.
func (h *Host) CloneOf(other *Host) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	h.kill()
	h.reinstall("a clone")
	h.MachineID, h.stores = other.MachineID, maps.Clone(other.stores)
	for cluster, of := range other.clusters {
		part := *of
		marker := *of.marker
		part.marker, part.unit.Process, part.unit.Active = &marker, nil, ""
		h.clusters[cluster] = &part
	}
	for path, of := range other.data {
		dir := *of
		if of.member != nil {
			member := *of.member
			dir.member = &member
		}
		h.data[path] = &dir
	}
}

// LoseData empties a data directory, as a new disk in its place does, with a reboot.
func (h *Host) LoseData(dir string) {
	h.PowerCut()
	h.world.mu.Lock()
	h.data[dir] = &directory{}
	h.world.mu.Unlock()
	h.PowerOn()
}

// Litter leaves something in a directory that is not a member's data.
func (h *Host) Litter(dir string) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	h.data[dir] = &directory{litter: true}
}

// Neighbour has the host carry the member of another cluster that this marker says, which does not run.
func (h *Host) Neighbour(marker api.Marker) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	h.clusters[marker.Cluster] = &installation{marker: &marker}
}

// StopUnit stops the cluster's unit, as an operator on the host does.
func (h *Host) StopUnit(cluster string) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	h.on(cluster).unit.Stop()
	h.world.convene()
}

// RestartUnit restarts the cluster's unit, as an operator on the host does.
func (h *Host) RestartUnit(cluster string) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	h.on(cluster).unit.Stop()
	h.world.convene()
	h.on(cluster).unit.Start()
	h.world.moment()
}

// Freeze has the process of the cluster's member do nothing any more until Thaw: it hangs on its disk, say. systemd and
// the kernel find nothing wrong with it.
func (h *Host) Freeze(cluster string) { h.freeze(cluster, true) }

// Thaw has the process go on.
func (h *Host) Thaw(cluster string) { h.freeze(cluster, false) }

func (h *Host) freeze(cluster string, frozen bool) {
	h.world.t.Helper()
	h.change(cluster, func(part *installation) {
		p := part.unit.Process
		if p == nil {
			h.world.t.Errorf("nodetest: %s: no member of cluster %s runs there", h.Address, cluster)
			return
		}
		p.Frozen, p.Leader = frozen, ""
		h.world.convene()
	})
}

// LoseStores removes all stores from the host, from under the members that run.
func (h *Host) LoseStores() {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	h.stores = map[string]time.Time{}
}

// LoseLock ends the session that holds the cluster's lock on the host.
func (h *Host) LoseLock(cluster string) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if held := h.locks[cluster]; held != nil {
		h.free(cluster, held)
	}
}

// Marker returns what the host records of the cluster, or nil.
func (h *Host) Marker(cluster string) *api.Marker {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	return h.on(cluster).markerCopy()
}

// EditMarker changes what the host records of a cluster that it carries.
func (h *Host) EditMarker(cluster string, edit func(*api.Marker)) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if part := h.on(cluster); part.marker != nil {
		edit(part.marker)
	}
}

// Aside returns the directories that the data of a data directory was moved to, sorted.
func (h *Host) Aside(dir string) []string {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	return h.aside(dir)
}

// Leftovers returns what the host still carries of a cluster whose data is in dir, apart from stores. A bare host has
// nothing.
func (h *Host) Leftovers(cluster, dir string) []string {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	part := h.on(cluster)
	var left []string
	for what, there := range map[string]bool{
		"marker":           part.marker != nil,
		"keys":             len(part.keys) > 0,
		"certificates":     len(part.certificates) > 0 || part.peerCA != "" || part.clientCA != "" || part.clientCRL != "",
		"flags":            part.flags != nil,
		"unit":             part.unit.Text != "",
		"enabled unit":     part.unit.Enabled,
		"process":          part.unit.Runs(),
		"selected store":   part.selected != "",
		"data":             !h.directory(dir).empty(),
		"lock":             h.locks[cluster] != nil,
		"firewall":         part.filter != nil,
		"marker of others": h.MarkerError != "",
	} {
		if there {
			left = append(left, what)
		}
	}
	slices.Sort(left)
	return left
}

// Unhealthy returns for each of the hosts why it is not a healthy member of one cluster with the others. It is empty if
// they are one cluster.
func (w *World) Unhealthy(cluster string, addresses ...string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var why []string
	ids := map[string]bool{}
	for _, address := range addresses {
		h := w.holds(address)
		if h == nil {
			why = append(why, "no host has the address "+address)
			continue
		}
		view := h.view(cluster)
		if !view.Healthy || !view.Ready {
			why = append(why, fmt.Sprintf("%s is not healthy: %s%s, unit %s", address, view.Error, view.HealthError, h.on(cluster).unit.Active))
		}
		if view.ClusterID != "" {
			ids[view.ClusterID] = true
		}
	}
	if len(ids) > 1 {
		why = append(why, fmt.Sprintf("there are %d clusters: %v", len(ids), slices.Sorted(maps.Keys(ids))))
	}
	return why
}

// kill ends all processes and sessions of the host.
func (h *Host) kill() {
	for _, part := range h.clusters {
		part.unit.Halt()
	}
	for cluster, held := range h.locks {
		h.free(cluster, held)
	}
	h.world.convene()
}

// EmptyData removes the data of a stopped member from its directory.
func (h *Host) EmptyData(dir string) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	h.data[dir] = &directory{}
}

// put is a write that a quorum has acknowledged.
type put struct {
	cluster string // name
	entry   *model.Entry
}

// Write has a client write through the member on this host. It fails the test if the member serves nobody.
func (h *Host) Write(cluster string) { h.WriteMany(cluster, 1) }

// WriteMany has a client write many times through the member on this host, one after another.
func (h *Host) WriteMany(cluster string, n int) {
	h.world.t.Helper()
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if err := h.write(cluster, n); err != nil {
		h.world.t.Errorf("nodetest: %s: %v", h.Address, err)
	}
}

// Put has a client write through any member that accepts it. It returns an error if none does: nothing was acknowledged
// then.
func (w *World) Put(cluster string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := fmt.Errorf("there is no member of cluster %s", cluster)
	taken := false
	w.each(func(h *Host, part *installation) {
		if !taken && part == h.on(cluster) && part.unit.Process != nil {
			err = h.write(cluster, 1)
			taken = err == nil
		}
	})
	return err
}

// write writes through the local member.
func (h *Host) write(cluster string, n int) error {
	p := h.on(cluster).unit.Process
	if p == nil || p.Leader == "" {
		return fmt.Errorf("no member of cluster %s serves there", cluster)
	}
	leader := leaderOf(running{h, h.on(cluster)}.group())
	s := leader.State()
	switch {
	case !s.Votes(p.Member.ID):
		return fmt.Errorf("etcdserver: rpc not supported for learner")
	case strings.Contains(strings.Join(s.Alarms, "\n"), "NOSPACE"):
		return fmt.Errorf("etcdserver: mvcc: database space exceeded")
	case strings.Contains(strings.Join(s.Alarms, "\n"), "CORRUPT"):
		// The write is refused when it is applied, so it is in the log all the same.
		leader.Append(uint64(n), s)
		h.world.convene()
		return fmt.Errorf("etcdserver: corrupt cluster")
	}
	s.Revision += int64(n)
	s.Content = model.Digest("put", s.Content, fmt.Sprint(s.Revision))
	h.world.highest[cluster] = max(h.world.highest[cluster], s.Revision)
	h.world.puts = append(h.world.puts, put{cluster, leader.Append(uint64(n), s)})
	h.world.convene()
	return nil
}

// Acknowledged counts the writes to a cluster that a quorum has acknowledged.
func (w *World) Acknowledged(cluster string) (n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.puts {
		if p.cluster == cluster {
			n += p.writes()
		}
	}
	return n
}

// writes returns how many writes an entry stands for.
func (p put) writes() int64 { return p.entry.State.Revision - p.entry.Prev.State.Revision }

// Lost returns the acknowledged writes to a cluster that no serving quorum has any more. If no quorum serves, it
// returns all of them.
func (w *World) Lost(cluster string) (lost []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var leaders []*model.Member
	w.each(func(h *Host, part *installation) {
		if p := part.unit.Process; p != nil && part == h.on(cluster) && p.Leader == p.Member.ID {
			leaders = append(leaders, p.Member)
		}
	})
	for _, p := range w.puts {
		held := p.cluster != cluster
		for _, leader := range leaders {
			held = held || leader.Last.Holds(p.entry)
		}
		if !held {
			lost = append(lost, fmt.Sprintf("%d writes up to revision %d (index %d, term %d)", p.writes(), p.entry.State.Revision, p.entry.Index, p.entry.Term))
		}
	}
	return lost
}
