package bootstrap

import (
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// peerName is the flag by which a member demands a common name of its peers. etcd compares it with the certificates of
// those that connect and of those that it connects to.
const peerName = "peer-cert-allowed-cn"

// Peering returns the cluster whose peer certificates have the common name named, and whose members demand the common
// name demands of their peers; empty: each its member's name, and none. The planner says which of the two a member may
// be given.
func (c Cluster) Peering(named, demands string) Cluster {
	c.named, c.demands = named, demands
	return c
}

// Peered returns the cluster whose members are all given what is desired at the same time: one that is being formed, of
// which no member serves anybody.
func (c Cluster) Peered() Cluster { return c.Peering(c.PeerName, c.PeerName) }

// Restored returns the cluster as a restore makes it: peer certificates have the desired name, and no member demands it
// yet. Some of its hosts may have been opened by an earlier release, or before the configuration named it, and nothing
// gives these other certificates. A change of the restored cluster has its members demand it.
func (c Cluster) Restored() Cluster { return c.Peering(c.PeerName, "") }

// peering returns how a member's host and process stand to its peers, by its host's report.
func peering(o *api.Observation) membership.Peering {
	p := membership.Peering{Known: true, Named: commonName(o.Certificates[api.KeyPeer].PEM), Written: api.FlagValue(o.Flags, peerName)}
	p.Demands = p.Written
	if o.Unit.Process != nil {
		p.Demands = api.FlagValue(o.Unit.Process.Flags, peerName)
	}
	return p
}

// PeerName returns the common name that the members demand of their peers; empty: some of them demand none, or another.
func (r Reports) PeerName() string {
	var names []string
	for _, report := range r {
		if o := report.Observation; o != nil && o.Marker != nil {
			names = append(names, peering(o).Written)
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 1 {
		return names[0]
	}
	return ""
}

// commonName returns the common name in a certificate, PEM, or "" if it cannot be read.
func commonName(text string) string {
	leaf, err := cert.ParseLeaf([]byte(text))
	if err != nil {
		return ""
	}
	return leaf.Subject.CommonName
}

// compared returns the flags of every start that follow from the desired cluster alone. What a member demands of its
// peers depends on the others too: the planner compares that.
func compared(flags []string) []string {
	return slices.DeleteFunc(runFlags(flags), func(line string) bool { return strings.HasPrefix(line, "--"+peerName+"=") })
}
