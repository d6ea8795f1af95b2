package nodetest

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// boot is the start of a member's process: the guard looks first, then it opens its data, or begins it.
func (h *Host) boot(part *installation) {
	flags := parseFlags(part.flags)
	if part.marker == nil {
		part.unit.fail("guard: there is no marker")
		return
	}
	if _, why := h.guard(part); why != "" {
		part.unit.fail("guard: " + why)
		return
	}
	if h.Reading > 0 {
		h.Reading--
		part.unit.sub = "start"
		return
	}
	dir := h.data[flags["data-dir"]]
	if why := h.cannotRun(part, flags); why != "" {
		part.unit.crash(why)
		return
	}
	archive := h.world.archive(part.selected)
	if dir.member == nil {
		// etcd makes its directories and its database before it looks whether it may begin.
		dir.litter = true
		begun, why := h.begin(flags, minorOf(archive.version))
		if why != "" {
			part.unit.crash(why)
			return
		}
		dir.member = begun
	} else if why := dir.member.cannotRead(minorOf(archive.version)); why != "" {
		part.unit.crash(why)
		return
	}
	if h.differs(dir.member) {
		part.unit.crash(otherData)
		return
	}
	h.pids++
	stalled := h.Stalls > 0
	if stalled {
		h.Stalls--
	}
	part.unit.sub = "start"
	part.unit.process = &process{
		pid: 1000 + h.pids, store: part.selected, version: archive.version, lines: part.flags, flags: flags,
		unit: part.unit.text, peerCA: part.peerCA, clients: part.clientCA, member: dir.member,
		catching: dir.member.last == nil && dir.member.known.version != 0,
		stalled:  stalled,
	}
}

// otherData is what a member ends by that finds other data at a peer before it serves.
const otherData = "checkInitialHashKV failed: found data inconsistency with peers"

// differs tells whether a member that starts finds other data at a peer. Before it serves it asks each of those that do for
// the hash at its own revision, which one that has not come so far cannot say. One that has nothing yet does not ask. Logs
// that contradict each other are met later.
func (h *Host) differs(m *member) bool {
	if m.last == nil {
		return false
	}
	own := m.last.state.revision
	for at, group := range h.world.groups() {
		if at.cluster != m.cluster || at.alone != "" && at.alone != h.Address || at.alone == "" && h.CutOff {
			continue
		}
		for _, r := range group {
			if has := r.member().last; r.process().serves && r.member() != m && has != nil && has.state.revision >= own && has.holds(m.last) && r.member().hashAt(own) != m.hashAt(own) {
				return true
			}
		}
	}
	return false
}

// cannotRun says why a member's process ends before it comes to its data; empty: it does not.
func (h *Host) cannotRun(part *installation, flags map[string]string) string {
	if !h.hasStore(part.selected) {
		return "store: no such file or directory"
	}
	archive := h.world.archive(part.selected)
	if archive.doomed != "" {
		return archive.doomed
	}
	if why := archive.parse(part.flags); why != "" {
		return why
	}
	for name, held := range part.held() {
		if _, pair := part.certificates[name]; pair && !held.HasKey {
			return "tls: private key does not match public key: " + name
		}
		if held.PEM == "" {
			return "open " + name + ".crt: no such file or directory"
		}
	}
	for _, list := range []string{"listen-peer-urls", "listen-client-urls", "listen-metrics-urls"} {
		for _, desired := range strings.Split(flags[list], ",") {
			if at, err := url.Parse(desired); err != nil || !h.has(at.Hostname()) {
				return fmt.Sprintf("listen tcp %s: bind: cannot assign requested address", desired)
			}
			if port := portOf(desired); port < h.FirstPort {
				return fmt.Sprintf("listen tcp :%d: bind: permission denied", port)
			}
			for _, l := range h.listeners(part.marker.Cluster) {
				if !l.Ours && l.Port == portOf(desired) {
					return fmt.Sprintf("listen tcp :%d: bind: address already in use", l.Port)
				}
			}
		}
	}
	return ""
}

// begin is the first start of a member, or why it may not begin.
func (h *Host) begin(flags map[string]string, own minor) (*member, string) {
	if flags["initial-cluster-state"] != "new" {
		return h.join(flags, own)
	}
	m := &member{name: flags["name"], known: state{revision: 1}}
	token := flags["initial-cluster-token"]
	for _, l := range initialCluster(flags) {
		l.id = identity("member", l.peerURL, token)
		m.known.members = append(m.known.members, l)
		if l.name == m.name {
			m.id = l.id
		}
	}
	if m.id == "" {
		return nil, notInInitialCluster(m.name)
	}
	m.cluster = identity("cluster", flags["initial-cluster"], token)
	for _, l := range m.known.members {
		peer := h.peer(l.peerURL)
		if l.name == m.name || peer == nil {
			continue
		}
		// The first that answers is believed.
		if s := peer.member.state(); s.find(m.id) >= 0 && len(s.members[s.find(m.id)].clientURLs) > 0 {
			return nil, fmt.Sprintf("member %s has already been bootstrapped", m.id)
		}
		break
	}
	return m, ""
}

// join is the first start of a member that is told that its cluster exists: it has to find its own peer URL in
// the list of the first member that answers, as one that has never started. Of the others, their URLs and
// their number count, and not how they are called.
func (h *Host) join(flags map[string]string, own minor) (*member, string) {
	told, mine, peer := initialCluster(flags), "", (*process)(nil)
	for _, l := range told {
		switch {
		case l.name == flags["name"]:
			mine = l.peerURL
		case peer == nil:
			peer = h.peer(l.peerURL)
		}
	}
	if mine == "" {
		return nil, notInInitialCluster(flags["name"])
	}
	if peer == nil {
		return nil, "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs"
	}
	there := peer.member.state()
	if len(told) != len(there.members) {
		return nil, "error validating peerURLs: member count is unequal"
	}
	for _, l := range told {
		if there.at(l.peerURL) < 0 {
			return nil, fmt.Sprintf("error validating peerURLs: PeerURLs: no match found for existing member (%s)", l.peerURL)
		}
	}
	if own < there.version || own > there.version+1 {
		return nil, fmt.Sprintf("incompatible with current running cluster: server version %s, cluster version %s", own, there.version)
	}
	self := there.members[there.at(mine)]
	if self.name != "" {
		return nil, "panic: tocommit(9) is out of range [lastIndex(0)]. Was the raft log corrupted, truncated, or lost?"
	}
	return &member{cluster: peer.member.cluster, id: self.id, name: flags["name"], known: there, storage: there.version}, ""
}

func notInInitialCluster(name string) string {
	return fmt.Sprintf("couldn't find local name %q in the initial cluster configuration", name)
}

// initialCluster is what the flags say of a cluster's members.
func initialCluster(flags map[string]string) (members []listed) {
	for _, entry := range strings.Split(flags["initial-cluster"], ",") {
		name, peerURL, _ := strings.Cut(entry, "=")
		members = append(members, listed{name: name, peerURL: peerURL})
	}
	return members
}

// peer is the member that answers this host at a peer URL; nil: none does.
func (h *Host) peer(peerURL string) *process {
	at, err := url.Parse(peerURL)
	if err != nil {
		return nil
	}
	other := h.world.holds(at.Hostname())
	if other == nil || other != h && (h.CutOff || other.CutOff) {
		return nil
	}
	for _, part := range other.clusters {
		if p := part.unit.process; p != nil && portOf(p.flags["listen-peer-urls"]) == portOf(peerURL) {
			return p
		}
	}
	return nil
}

// pass lets time pass in which whoever is started at the same time has been started too.
func (w *World) pass() {
	w.waited = true
	defer func() { w.waited = false }()
	w.tick()
}

// tick lets some time pass: who lagged has caught up, what was started boots, those that found each other are
// a cluster, and versions follow.
func (w *World) tick() {
	w.each(func(h *Host, part *installation) {
		if p := part.unit.process; p != nil && p.serves {
			p.catching, p.settling = false, false
		}
		if !h.off && part.unit.active == "activating" && part.unit.process == nil {
			h.boot(part)
		}
	})
	w.convene()
	w.raise()
	w.convene()
}

// moment is the time that passes with a change itself: none, unless the world is instant.
func (w *World) moment() {
	if w.Instant {
		w.tick()
		w.tick()
	}
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
