package nodetest

import (
	"maps"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// observe is everything that the host knows about the cluster.
func (c call) observe(ask api.ObserveRequest) (api.Observation, error) {
	if c.MarkerError != "" {
		return api.Observation{}, failed("%s", c.MarkerError)
	}
	part := c.on(c.cluster)
	dir := ask.DataDir
	if part.marker != nil {
		dir = part.marker.DataDir
	}
	_, exists := c.data[dir]
	held := c.directory(dir)
	observation := api.Observation{
		Facts: api.Facts{
			Hostname:     "host-" + c.MachineID[:8],
			MachineID:    c.MachineID,
			OS:           "Debian GNU/Linux 12 (bookworm)",
			Kernel:       c.Kernel,
			Architecture: c.architecture(),
			MemoryBytes:  c.MemoryBytes,
			Addresses:    []string{c.Address},
			Time:         c.world.Clock,
		},
		Store:  api.Store{EtcdVersion: EtcdVersion, SHA256: c.store, Selected: part.selected, Installed: c.installed()},
		Marker: part.marker,
		Unit:   part.unit.state(),
		Flags:  part.flags,
		Data: api.Data{
			Path:       dir,
			Exists:     exists,
			Empty:      held.empty(),
			HasMember:  held.member != nil,
			Filesystem: "ext4",
			FreeBytes:  c.FreeBytes,
			Aside:      c.aside(dir),
		},
		Certificates: part.held(),
		Member:       c.view(c.cluster),
	}
	for _, l := range c.listeners(c.cluster) {
		if slices.Contains(ask.Ports, l.Port) {
			observation.Listeners = append(observation.Listeners, l)
		}
	}
	return observation, nil
}

// await lets some time pass, and answers what it then observes.
func (c call) await(ask api.AwaitRequest) (api.Observation, error) {
	c.world.tick()
	return c.observe(ask.ObserveRequest)
}

// held is what the host holds for each key pair and bundle.
func (i *installation) held() map[string]api.Certificate {
	held := map[string]api.Certificate{"peer-ca": {PEM: i.peerCA}, "client-ca": {PEM: i.clientCA}}
	for _, name := range []string{api.KeyPeer, api.KeyServer, api.KeyAdmin} {
		held[name] = api.Certificate{PEM: i.certificates[name], HasKey: i.keys[name].belongs(i.certificates[name])}
	}
	return held
}

// listeners are all that listen on the host, as the unit of this cluster sees them.
func (h *Host) listeners(cluster string) []api.Listener {
	found := slices.Clone(h.Listeners)
	for _, name := range slices.Sorted(maps.Keys(h.clusters)) {
		part := h.clusters[name]
		if part.marker == nil || part.unit.process == nil {
			continue
		}
		for _, port := range []int{part.marker.ClientPort, part.marker.PeerPort, part.marker.MetricsPort} {
			found = append(found, api.Listener{Port: port, Address: "0.0.0.0", PID: part.unit.process.pid, Process: "etcd", Ours: name == cluster})
		}
	}
	return found
}

// view is what the local member says of itself and of its cluster.
func (h *Host) view(cluster string) api.Member {
	p := h.on(cluster).unit.process
	switch {
	case p == nil:
		return api.Member{Error: "connect: connection refused"}
	case p.member == nil || !p.serves:
		return api.Member{Error: "context deadline exceeded"}
	}
	m := p.member
	view := api.Member{
		Responding: true,
		ClusterID:  m.cluster,
		MemberID:   m.id,
		Leader:     p.leader,
		Ready:      p.leader != "",
		Healthy:    p.leader != "",
		Version:    EtcdVersion,
		Revision:   m.revision,
		Members:    m.list(),
	}
	if p.leader == "" {
		view.HealthError = "etcdserver: no leader"
	}
	return view
}

// list is the member list as this member has it. Members of a new cluster have their names in it from
// the beginning; it is by their client URLs that it shows who has joined.
func (m *member) list() []api.ListedMember {
	var list []api.ListedMember
	for _, v := range m.voters {
		list = append(list, api.ListedMember{ID: v.id, Name: v.name, PeerURLs: []string{v.peerURL}, ClientURLs: m.joined[v.name]})
	}
	slices.SortFunc(list, func(a, b api.ListedMember) int { return strings.Compare(a.ID, b.ID) })
	return list
}
