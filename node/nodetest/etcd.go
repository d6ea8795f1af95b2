package nodetest

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
)

// boot starts a member's process: the guard checks first, then the process opens its data or begins new data.
func (h *Host) boot(part *installation) {
	flags := parseFlags(part.flags)
	if part.marker == nil {
		part.unit.Fail("guard: there is no marker")
		return
	}
	switch check, why := h.maySetOut(part); {
	case check == api.GuardMount: // started again until its disk is there
		part.unit.Sub, part.unit.Journal = "start", []string{"guard: " + why}
		return
	case why != "":
		part.unit.Fail("guard: " + why)
		return
	}
	if h.Reading > 0 {
		h.Reading--
		part.unit.Sub = "start"
		return
	}
	dir := h.data[flags["data-dir"]]
	if why := h.cannotRun(part, flags); why != "" {
		part.unit.Crash(why)
		return
	}
	archive := h.world.archive(part.selected)
	if dir.member == nil {
		// etcd creates its directories and its database before it checks whether it may begin.
		dir.litter = true
		begun, why := h.begin(flags, model.MinorOf(archive.version))
		if why != "" {
			part.unit.Crash(why)
			return
		}
		dir.member = begun
	} else if why := dir.member.CannotRead(model.MinorOf(archive.version)); why != "" {
		part.unit.Crash(why)
		return
	}
	peers := h.world.groups()[h.networkOf(dir.member.Cluster, part)]
	if differs(dir.member, peers) {
		part.unit.Crash(otherData)
		return
	}
	if leader := leaderOf(peers); dir.member.IsBeyondLog(leader) {
		part.unit.Crash(dir.member.BeyondLog())
		return
	}
	h.pids++
	stalled := h.Stalls > 0
	if stalled {
		h.Stalls--
	}
	part.unit.Sub = "start"
	part.unit.Process = &model.Process{
		PID: 1000 + h.pids, Store: part.selected, Version: archive.version, Lines: part.flags, Flags: flags,
		Unit: part.unit.Text, PeerCA: part.peerCA, Clients: part.clientCA, Member: dir.member,
		Catching: dir.member.Last == nil && dir.member.Known.Version != 0,
		Stalled:  stalled,
	}
}

// otherData is the error of a member that ends because it finds other data at a peer before it serves.
const otherData = "checkInitialHashKV failed: found data inconsistency with peers"

// differs tells whether a starting member finds other data at one of its peers. Before it serves, it asks those that
// serve for the hash at its own revision. A peer that has not reached that revision cannot tell, and one that is
// compacted to elsewhere has another hash of the same data. A member without data does not ask. Logs that contradict
// each other are found later.
func differs(m *model.Member, peers []running) bool {
	if m.Last == nil {
		return false
	}
	own := m.RevisionIn(m.Last.State)
	return slices.ContainsFunc(peers, func(r running) bool {
		p, its := r.process(), r.member()
		return p.Serves && its != m && its.Last != nil && its.Last.Holds(m.Last) && its.RevisionIn(its.Last.State) >= own &&
			p.CompactedAt(own) == m.CompactedTo() && its.HashAt(own) != m.HashAt(own)
	})
}

// cannotRun returns why a member's process ends before it reads its data, or "" if it does not.
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

// begin is the first start of a member. It returns why the member may not begin.
func (h *Host) begin(flags map[string]string, own model.Minor) (*model.Member, string) {
	if flags["initial-cluster-state"] != "new" {
		return h.join(flags, own)
	}
	m := &model.Member{Name: flags["name"], Known: model.State{Revision: 1}}
	token := flags["initial-cluster-token"]
	for _, l := range initialCluster(flags) {
		l.ID = model.Identity("member", l.PeerURL, token)
		m.Known.Members = append(m.Known.Members, l)
		if l.Name == m.Name {
			m.ID = l.ID
		}
	}
	if m.ID == "" {
		return nil, notInInitialCluster(m.Name)
	}
	m.Cluster = model.Identity("cluster", flags["initial-cluster"], token)
	for _, l := range m.Known.Members {
		peer := h.peer(l.PeerURL)
		if l.Name == m.Name || peer == nil {
			continue
		}
		// The first answer counts.
		if s := peer.Member.State(); s.Find(m.ID) >= 0 && len(s.Members[s.Find(m.ID)].ClientURLs) > 0 {
			return nil, fmt.Sprintf("member %s has already been bootstrapped", m.ID)
		}
		break
	}
	return m, ""
}

// join is the first start of a member whose cluster exists. The member has to find its own peer URL in the list of the
// first member that answers, as one that has never started. Of the other members their URLs and their number count, and
// not their names.
func (h *Host) join(flags map[string]string, own model.Minor) (*model.Member, string) {
	told, mine, peer := initialCluster(flags), "", (*model.Process)(nil)
	for _, l := range told {
		switch {
		case l.Name == flags["name"]:
			mine = l.PeerURL
		case peer == nil:
			peer = h.peer(l.PeerURL)
		}
	}
	if mine == "" {
		return nil, notInInitialCluster(flags["name"])
	}
	if peer == nil {
		return nil, "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs"
	}
	there := peer.Member.State()
	if len(told) != len(there.Members) {
		return nil, "error validating peerURLs: member count is unequal"
	}
	for _, l := range told {
		if there.At(l.PeerURL) < 0 {
			return nil, fmt.Sprintf("error validating peerURLs: PeerURLs: no match found for existing member (%s)", l.PeerURL)
		}
	}
	if own < there.Version || own > there.Version+1 {
		return nil, fmt.Sprintf("incompatible with current running cluster: server version %s, cluster version %s", own, there.Version)
	}
	self := there.Members[there.At(mine)]
	if self.Name != "" {
		return nil, "panic: tocommit(9) is out of range [lastIndex(0)]. Was the raft log corrupted, truncated, or lost?"
	}
	return &model.Member{Cluster: peer.Member.Cluster, ID: self.ID, Name: flags["name"], Known: there, Storage: there.Version}, ""
}

func notInInitialCluster(name string) string {
	return fmt.Sprintf("couldn't find local name %q in the initial cluster configuration", name)
}

// initialCluster returns the members that the flags name.
func initialCluster(flags map[string]string) (members []model.Listed) {
	for _, entry := range strings.Split(flags["initial-cluster"], ",") {
		name, peerURL, _ := strings.Cut(entry, "=")
		members = append(members, model.Listed{Name: name, PeerURL: peerURL})
	}
	return members
}

// peer returns the member that answers this host at a peer URL, or nil.
func (h *Host) peer(peerURL string) *model.Process {
	at, err := url.Parse(peerURL)
	if err != nil {
		return nil
	}
	other := h.world.holds(at.Hostname())
	if other == nil || other != h && (h.CutOff || other.CutOff) {
		return nil
	}
	for _, part := range other.clusters {
		if p := part.unit.Process; p != nil && portOf(p.Flags["listen-peer-urls"]) == portOf(peerURL) {
			return p
		}
	}
	return nil
}

// pass lets enough time pass for members that are started at the same time to have started.
func (w *World) pass() {
	w.waited = true
	defer func() { w.waited = false }()
	w.tick()
}

// tick lets some time pass: members that lag catch up, started members boot, members that have found each other become
// a cluster, and versions follow.
func (w *World) tick() {
	w.each(func(h *Host, part *installation) {
		if p := part.unit.Process; p != nil && p.Answers() {
			if leader := leaderOf(running{h, part}.group()); p.Catching && leader != nil {
				// It has copied the leader's database.
				p.Member.Corrupt, p.Member.Missed = leader.Corrupt, leader.Missed
			}
			p.Catching, p.Settling = false, false
		}
		if !h.off && part.unit.Active == "activating" && part.unit.Process == nil {
			h.boot(part)
		}
	})
	w.convene()
	w.raise()
	w.convene()
}

// moment is the time that a change itself takes: none unless the world is instant.
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

// portOf returns the port of a URL, or 0 if it has none.
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
