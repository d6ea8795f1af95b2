package nodetest

import (
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
)

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
	leader := leaderOf(h.group(p))
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
