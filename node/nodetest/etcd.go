package nodetest

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// member is the data that a member has written: what remains of it when its process ends.
type member struct {
	cluster string              // cluster ID
	id      string              // member ID
	name    string              // by which the others list it
	voters  []voter             // of the cluster, itself included
	joined  map[string][]string // client URLs of those that are known to have joined, by name

	revision int64 // 1: nothing was ever put

	// history tells apart clusters of one ID that began from nothing more than once: their logs
	// contradict each other. 0: this member has never been in a quorum.
	history int
}

// voter is an entry of the initial cluster.
type voter struct{ name, peerURL, id string }

// boot is the start of a member's process: the guard looks first, then it opens its data, or begins it.
func (h *Host) boot(part *installation) {
	flags := parseFlags(part.flags)
	if why := h.guard(part, flags); why != "" {
		part.unit.fail("guard: " + why)
		return
	}
	dir := h.data[flags["data-dir"]]
	if why := h.cannotRun(part, flags); why != "" {
		part.unit.crash(why)
		return
	}
	if dir.member == nil {
		// etcd makes its directories and its database before it looks whether it may begin.
		dir.litter = true
		begun, why := h.begin(flags)
		if why != "" {
			part.unit.crash(why)
			return
		}
		dir.member = begun
	}
	h.pids++
	part.unit.sub = "start"
	part.unit.process = &process{pid: 1000 + h.pids, flags: flags, member: dir.member}
}

// guard says why the member must not be started; empty: it may. Where it refuses, systemd does not try
// again.
func (h *Host) guard(part *installation, flags map[string]string) string {
	switch dir := flags["data-dir"]; {
	case part.marker == nil:
		return "there is no marker"
	case dir != part.marker.DataDir:
		return "its flags name another data directory than its marker"
	case h.data[dir] == nil:
		return "data directory " + dir + " is not there"
	case part.marker.Phase == api.PhaseFormed && h.data[dir].member == nil:
		return "it has joined its cluster, and its data directory holds no member's data"
	}
	return ""
}

// cannotRun says why a member's process ends before it comes to its data; empty: it does not.
func (h *Host) cannotRun(part *installation, flags map[string]string) string {
	for name, held := range part.held() {
		if _, pair := part.certificates[name]; pair && !held.HasKey {
			return "tls: private key does not match public key: " + name
		}
		if held.PEM == "" {
			return "open " + name + ".crt: no such file or directory"
		}
	}
	for _, list := range []string{"listen-peer-urls", "listen-client-urls", "listen-metrics-urls"} {
		for _, wanted := range strings.Split(flags[list], ",") {
			for _, l := range h.listeners(part.marker.Cluster) {
				if !l.Ours && l.Port == portOf(wanted) {
					return fmt.Sprintf("listen tcp :%d: bind: address already in use", l.Port)
				}
			}
		}
	}
	return ""
}

// begin is the first start of a member of a new cluster, or why it may not begin.
func (h *Host) begin(flags map[string]string) (*member, string) {
	if flags["initial-cluster-state"] != "new" {
		return nil, h.cannotJoin(flags)
	}
	m := &member{name: flags["name"], joined: map[string][]string{}, revision: 1}
	token := flags["initial-cluster-token"]
	for _, entry := range strings.Split(flags["initial-cluster"], ",") {
		name, peerURL, _ := strings.Cut(entry, "=")
		v := voter{name: name, peerURL: peerURL, id: identity("member", peerURL, token)}
		m.voters = append(m.voters, v)
		if name == m.name {
			m.id = v.id
		}
	}
	if m.id == "" {
		return nil, fmt.Sprintf("couldn't find local name %q in the initial cluster configuration", m.name)
	}
	m.cluster = identity("cluster", flags["initial-cluster"], token)
	for _, v := range m.voters {
		peer := h.world.peer(v.peerURL)
		if v.name == m.name || peer == nil {
			continue
		}
		// The first that answers is believed.
		for _, known := range peer.member.voters {
			if known.id == m.id && len(peer.member.joined[known.name]) > 0 {
				return nil, fmt.Sprintf("member %s has already been bootstrapped", m.id)
			}
		}
		break
	}
	return m, ""
}

// cannotJoin says how a member ends that is told that its cluster exists, with no data of its own.
func (h *Host) cannotJoin(flags map[string]string) string {
	for _, entry := range strings.Split(flags["initial-cluster"], ",") {
		if _, peerURL, _ := strings.Cut(entry, "="); h.world.peer(peerURL) != nil {
			return "panic: tocommit(9) is out of range [lastIndex(0)]. Was the raft log corrupted, truncated, or lost?"
		}
	}
	return "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs"
}

// peer is the member that answers at a peer URL; nil: none does.
func (w *World) peer(peerURL string) *process {
	at, err := url.Parse(peerURL)
	if err != nil {
		return nil
	}
	h, known := w.hosts[at.Hostname()]
	if !known {
		return nil
	}
	for _, part := range h.clusters {
		if p := part.unit.process; p != nil && portOf(p.flags["listen-peer-urls"]) == portOf(peerURL) {
			return p
		}
	}
	return nil
}

// tick lets some time pass: what was started boots, and those that found each other are a cluster.
func (w *World) tick() {
	w.each(func(h *Host, part *installation) {
		if !h.off && part.unit.active == "activating" && part.unit.process == nil {
			h.boot(part)
		}
	})
	w.convene()
}

// convene has the running members of each cluster find out whether they are a quorum.
func (w *World) convene() {
	running := map[string][]*unit{} // by cluster ID
	w.each(func(_ *Host, part *installation) {
		if p := part.unit.process; p != nil {
			running[p.member.cluster] = append(running[p.member.cluster], &part.unit)
		}
	})
	for _, id := range slices.Sorted(maps.Keys(running)) {
		w.elect(running[id])
	}
}

// elect makes running members of one cluster a quorum, if there are enough of them.
func (w *World) elect(units []*unit) {
	quorum := len(units[0].process.member.voters)/2 + 1
	history := w.prevailing(units)
	if history == 0 && len(units) >= quorum {
		w.histories++
		history = w.histories
	}
	var together []*unit
	for _, u := range units {
		if own := u.process.member.history; own == 0 || own == history {
			together = append(together, u)
		}
	}
	if len(together) < quorum {
		for _, u := range units {
			u.process.leader = ""
		}
		return
	}
	joined, leader, revision := map[string][]string{}, together[0].process.member, int64(1)
	for _, u := range together {
		maps.Copy(joined, u.process.member.joined)
	}
	for _, u := range together {
		p := u.process
		joined[p.member.name] = strings.Split(p.flags["advertise-client-urls"], ",")
		if p.member.name < leader.name {
			leader = p.member
		}
	}
	for _, u := range together {
		revision = max(revision, u.process.member.revision)
	}
	for _, u := range together {
		p := u.process
		p.member.joined, p.member.history, p.member.revision = maps.Clone(joined), history, revision
		p.serves, p.leader = true, leader.id
		u.active, u.sub = "active", "running"
	}
	for _, u := range units {
		if u.process.member.history != history {
			u.crash("panic: conflict(4) with entry [committed]: the log of this member contradicts the leader's")
		}
	}
}

// prevailing is the history that a quorum of these members would go on with: that of the members
// that serve already, else the one that most of them share; 0: none of them has any.
func (w *World) prevailing(units []*unit) int {
	votes := map[int]int{}
	for _, u := range units {
		if own := u.process.member.history; own != 0 {
			votes[own]++
			if u.process.leader != "" {
				votes[own] += len(units)
			}
		}
	}
	best := 0
	for _, history := range slices.Sorted(maps.Keys(votes)) {
		if best == 0 || votes[history] > votes[best] {
			best = history
		}
	}
	return best
}

// parseFlags reads the lines of a flags file.
func parseFlags(lines []string) map[string]string {
	flags := map[string]string{}
	for _, line := range lines {
		name, value, _ := strings.Cut(strings.TrimPrefix(line, "--"), "=")
		flags[name] = value
	}
	return flags
}

// portOf is the port of a URL; 0: it has none.
func portOf(text string) int {
	at, err := url.Parse(text)
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		return 0
	}
	return port
}
