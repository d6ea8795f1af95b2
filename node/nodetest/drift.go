package nodetest

import (
	"maps"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// This file has what happens to a cluster without the provider. A running process keeps what it was started with.

// change changes what the host carries of a cluster, and fails the test if that is nothing.
func (h *Host) change(cluster string, do func(*installation)) {
	h.world.t.Helper()
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	part, there := h.clusters[cluster]
	if !there {
		h.world.t.Errorf("nodetest: %s carries no cluster %s", h.Address, cluster)
		return
	}
	do(part)
}

// onData changes the data of a cluster's member, and fails the test if there is none.
func (h *Host) onData(cluster string, do func(*installation, *model.Member)) {
	h.world.t.Helper()
	h.change(cluster, func(part *installation) {
		m := h.directory(part.marker.DataDir).member
		if m == nil {
			h.world.t.Errorf("nodetest: %s has no data of cluster %s", h.Address, cluster)
			return
		}
		do(part, m)
	})
}

// DisableUnit disables the cluster's unit, which continues to run.
func (h *Host) DisableUnit(cluster string) {
	h.change(cluster, func(part *installation) { part.unit.Enabled = false })
}

// EditUnit changes the text of the unit file.
func (h *Host) EditUnit(cluster, text string) {
	h.change(cluster, func(part *installation) { part.unit.Text = text })
}

// EditFlags changes the lines of the flags file.
func (h *Host) EditFlags(cluster string, edit func([]string) []string) {
	h.change(cluster, func(part *installation) { part.flags = edit(slices.Clone(part.flags)) })
}

// LoseKey removes a private key of the cluster from the host. The member continues to run.
func (h *Host) LoseKey(cluster, name string) {
	h.change(cluster, func(part *installation) {
		part.keys = maps.Clone(part.keys)
		delete(part.keys, name)
		h.keysLost++
	})
}

// SwapKey overwrites a private key of the cluster on the host by that of another certificate. The member continues to
// run.
func (h *Host) SwapKey(cluster, name, by string) {
	h.change(cluster, func(part *installation) {
		part.keys = maps.Clone(part.keys)
		part.keys[name] = part.keys[by]
	})
}

// OpenKey makes a private key of the cluster readable for others on the host. The member continues to run.
func (h *Host) OpenKey(cluster, name string) {
	h.change(cluster, func(part *installation) { part.exposed = name; h.keysLost++ })
}

// KeepServing has the cluster's member continue to serve its current certificates until it is restarted.
func (h *Host) KeepServing(cluster string) {
	h.change(cluster, func(part *installation) {
		if part.unit.Process == nil {
			h.world.t.Errorf("nodetest: %s: no member of cluster %s runs there", h.Address, cluster)
			return
		}
		part.unit.Process.Shows = maps.Clone(part.certificates)
	})
}

// SwapBinary selects another store for the cluster, and installs it if it is not there.
func (h *Host) SwapBinary(cluster, store string) {
	h.change(cluster, func(part *installation) {
		h.stores[store] = h.world.Clock
		part.selected = store
	})
}

// Certificates returns the certificates, PEM, of the cluster's keys on the host, by the names of the keys.
func (h *Host) Certificates(cluster string) (certificates map[string]string) {
	h.change(cluster, func(part *installation) { certificates = maps.Clone(part.certificates) })
	return certificates
}

// ClientCRL is the list of clients' revoked certificates that the host has.
func (h *Host) ClientCRL(cluster string) (list string) {
	h.change(cluster, func(part *installation) { list = part.clientCRL })
	return list
}

// LoseClientCRL removes that list from the host. A member that looks at it lets no client in.
func (h *Host) LoseClientCRL(cluster string) {
	h.change(cluster, func(part *installation) { part.clientCRL = "" })
}

// ExpireCertificates replaces all certificates of the cluster on the host by equal ones that expired an hour ago. The
// member continues to run.
func (h *Host) ExpireCertificates(cluster string, by *signing.Authority) {
	h.reissue(cluster, by, h.world.Clock.Add(-time.Hour))
}

// ForeignCertificates replaces all certificates of the cluster on the host by ones for the same keys and names, of
// another authority: pass one that the cluster does not trust.
func (h *Host) ForeignCertificates(cluster string, by *signing.Authority) {
	h.reissue(cluster, by, h.world.Clock.Add(by.Lifetime))
}

func (h *Host) reissue(cluster string, by *signing.Authority, until time.Time) {
	h.world.t.Helper()
	h.change(cluster, func(part *installation) {
		certificates := map[string]string{}
		for name, text := range part.certificates {
			again, err := by.Again(name, text, until)
			if err != nil {
				h.world.t.Errorf("nodetest: certificate %s of %s: %v", name, h.Address, err)
				return
			}
			certificates[name] = again
		}
		part.certificates = certificates
	})
}

// Unchain takes away what follows the certificates of the cluster on the host. The member continues to run.
func (h *Host) Unchain(cluster string) {
	h.change(cluster, func(part *installation) {
		certificates := map[string]string{}
		for name, text := range part.certificates {
			certificates[name] = cert.First(text)
		}
		part.certificates = certificates
	})
}

// Corrupt makes the database of the cluster's member differ from its log.
func (h *Host) Corrupt(cluster string) {
	h.onData(cluster, func(_ *installation, m *model.Member) { m.Corrupt = "by a flipped bit on " + h.Address })
}

// MissWrite has the database of the cluster's member lack the latest write, which is in its log.
func (h *Host) MissWrite(cluster string) {
	h.onData(cluster, func(_ *installation, m *model.Member) { m.Missed = m.State().Revision })
}

// Differing returns the addresses of hosts whose members of the cluster run and hold other data than their logs say.
func (w *World) Differing(cluster string) (addresses []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.each(func(h *Host, part *installation) {
		if p := part.unit.Process; p != nil && part == h.on(cluster) && (p.Member.Corrupt != "" || p.Member.Missed > 0) {
			addresses = append(addresses, h.Address)
		}
	})
	return addresses
}

// The parts of a member's data that can be damaged.
const (
	Log      = model.Log
	Database = model.Database
)

// Damage kills the cluster's member, and damages its log or its database. Each process that systemd starts on it from
// then on ends, once the world ticks.
func (h *Host) Damage(cluster, part string) {
	h.onData(cluster, func(i *installation, m *model.Member) {
		m.Damaged = part
		if i.unit.Runs() {
			i.unit.Crash("signal: killed")
		}
		h.world.convene()
	})
}

// DamageData damages the log of the cluster's member, as a power cut may: its host boots, and etcd ends at each start.
func (h *Host) DamageData(cluster string) {
	h.PowerCut()
	h.onData(cluster, func(_ *installation, m *model.Member) { m.Damaged = Log })
	h.PowerOn()
}

// LoseStore removes the store that the cluster runs from the host, where another one stays, and ends the member's
// process.
func (h *Host) LoseStore(cluster, stays string) {
	h.change(cluster, func(part *installation) {
		delete(h.stores, part.selected)
		h.stores[stays] = h.world.Clock
		part.unit.Stop()
		h.world.convene()
		part.unit.Start()
	})
}

// RollBack stops the cluster's unit, and removes the last n entries from the member's data, as restoring an image of
// its disk does. The unit stays stopped.
func (h *Host) RollBack(cluster string, n uint64) {
	h.onData(cluster, func(part *installation, m *model.Member) {
		h.note(part)
		part.unit.Stop()
		if n > 0 {
			m.Told, m.ToldTerm = m.Index, m.Term
		}
		m.Index -= min(n, m.Index)
		for m.Last != nil && m.Last.Index > m.Index {
			m.Last = m.Last.Prev
		}
		h.world.convene()
	})
}

// Revert returns the whole machine to its state n entries ago, with everything that it records of its member's
// progress, the store, and what it was configured with. The unit stays stopped.
func (h *Host) Revert(cluster string, n uint64) {
	h.RollBack(cluster, n)
	h.onData(cluster, func(part *installation, m *model.Member) {
		part.progress -= min(n, part.progress)
		for _, was := range part.configured {
			if was.index <= m.Index {
				part.selected, part.unit.Text, part.flags = was.selected, was.unit, was.flags
			}
		}
		h.stores[part.selected] = h.world.Clock
	})
}

// ForeignData stops the cluster's unit, and replaces the member's data by another cluster's. The unit stays stopped.
func (h *Host) ForeignData(cluster string) {
	h.change(cluster, func(part *installation) {
		part.unit.Stop()
		id := model.Identity("member", "foreign", h.Address)
		h.data[part.marker.DataDir] = &directory{litter: true, member: &model.Member{
			Cluster: model.Identity("cluster", "foreign", h.Address), ID: id, Name: "foreign", Index: 1,
			Known: model.State{Revision: 1, Members: []model.Listed{{ID: id, Name: "foreign", PeerURL: "https://198.51.100.1:2380"}}},
		}}
		h.world.convene()
	})
}

// Unmount stops the cluster's unit, and unmounts the disk with its data, which leaves the directory empty. The unit
// stays stopped.
func (h *Host) Unmount(cluster string) {
	h.change(cluster, func(part *installation) {
		part.unit.Stop()
		dir := part.marker.DataDir
		h.unmounted[dir], h.data[dir] = h.directory(dir), &directory{}
		h.world.convene()
	})
}

// Mount mounts the disk that Unmount has unmounted.
func (h *Host) Mount(cluster string) {
	h.change(cluster, func(part *installation) {
		if dir := part.marker.DataDir; h.unmounted[dir] != nil {
			h.data[dir] = h.unmounted[dir]
			delete(h.unmounted, dir)
		}
	})
}

// RaiseAlarm has the cluster's member raise the alarm NOSPACE or CORRUPT. With NOSPACE its database has reached its
// quota, and a defragmentation halves it: see FillDatabase.
func (h *Host) RaiseAlarm(cluster, alarm string) {
	h.world.t.Helper()
	h.onData(cluster, func(part *installation, m *model.Member) {
		p := part.unit.Process
		if p == nil || p.Leader == "" {
			h.world.t.Errorf("nodetest: %s: no member of cluster %s serves there", h.Address, cluster)
			return
		}
		if alarm == "NOSPACE" {
			m.DBSize = p.Quota()
		}
		leader := leaderOf(running{h, part}.group())
		s := leader.State()
		s.Alarms = append(slices.Clone(s.Alarms), alarm+" "+m.ID)
		slices.Sort(s.Alarms)
		leader.Append(1, s)
		h.world.convene()
	})
}

// FillDatabase sets how many bytes the database of the cluster's member needs, which no defragmentation reduces. 0 is
// the minimum.
func (h *Host) FillDatabase(cluster string, bytes int64) {
	h.onData(cluster, func(_ *installation, m *model.Member) { m.DBUsed = bytes })
}

// RemoveBehindOurBack removes a member from the cluster, by its name in the list or by its ID.
func (w *World) RemoveBehindOurBack(cluster, member string) {
	w.t.Helper()
	w.agree(cluster, func(s model.State) model.State {
		i := slices.IndexFunc(s.Members, func(l model.Listed) bool { return l.Name == member || l.ID == member })
		if i < 0 {
			w.t.Errorf("nodetest: cluster %s has no member %s", cluster, member)
			return s
		}
		return s.Without(s.Members[i].ID)
	})
}

// AddUnmanaged adds a member to the cluster that nobody starts, a learner or a voter. A voter counts for the quorum at
// once.
func (w *World) AddUnmanaged(cluster, peerURL string, learner bool) {
	w.t.Helper()
	w.agree(cluster, func(s model.State) model.State {
		return s.With(model.Listed{ID: model.Identity("unmanaged", peerURL), PeerURL: peerURL, Learner: learner})
	})
}

// Compact has a cluster compact up to its latest revision. A process keeps its hash of that revision, with the
// compaction before, until it ends.
func (w *World) Compact(cluster string) {
	w.t.Helper()
	at := int64(0)
	w.agree(cluster, func(s model.State) model.State {
		s.Before, s.Compacted = s.Compacted, s.Revision
		at = s.Compacted
		return s
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.each(func(h *Host, part *installation) {
		if part == h.on(cluster) && part.unit.Process != nil {
			part.unit.Process.Compacted = at
		}
	})
}

// agree has the serving quorum of a cluster agree on something. It fails the test if there is no quorum.
func (w *World) agree(cluster string, on func(model.State) model.State) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var leader *model.Member
	w.each(func(h *Host, part *installation) {
		if p := part.unit.Process; p != nil && part == h.on(cluster) && p.Leader == p.Member.ID {
			leader = p.Member
		}
	})
	if leader == nil {
		w.t.Errorf("nodetest: no quorum of cluster %s serves", cluster)
		return
	}
	leader.Append(1, on(leader.State()))
	w.convene()
}
