package upgrade_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
)

// operation is one change of a running cluster: what has happened to the cluster, and what is desired now.
type operation struct {
	members int
	version string // that the cluster was formed with; empty: the newest
	happen  func(*life)
	does    string // one of the steps of the change
}

// begin returns the cluster before the change, after all that happens to it.
func (o operation) begin(t tb) *life {
	t.Helper()
	version := o.version
	if version == "" {
		version = nodetest.EtcdVersion
	}
	l := serving(t, o.members, version)
	o.happen(l)
	return l
}

// dir is the data directory of every member.
var dir = api.DefaultDataDir(cluster)

var operations = map[string]operation{
	"nothing": {members: 3, happen: func(*life) {}},

	"replace dead, new address": {does: "remove b (192.0.2.12): dead, its host cannot be reached; voters 3 -> 2, quorum 2, healthy 2", members: 3, happen: func(l *life) {
		l.host("b").PowerCut()
		l.want("a", "b@21", "c")
	}},
	"replace dead leader": {does: "remove a (192.0.2.11): dead, its host cannot be reached", members: 3, happen: func(l *life) {
		l.host(l.leader()).PowerCut()
		l.want("a@21", "b", "c")
	}},
	"replace wiped":        {does: "remove c (192.0.2.13): dead, its host carries nothing of it", members: 3, happen: func(l *life) { l.host("c").Wipe() }},
	"replace, data lost":   {does: "remove c (192.0.2.13): dead, its data is lost", members: 3, happen: func(l *life) { l.host("c").LoseData(dir) }},
	"replace, one of five": {does: "remove a (192.0.2.11): dead, its data is lost; voters 5 -> 4", members: 5, happen: func(l *life) { l.host("a").LoseData(dir) }},
	"foreign data":         {does: "remove b (192.0.2.12): dead, its data directory holds another member's data", members: 3, happen: func(l *life) { l.host("b").ForeignData(cluster) }},
	"rolled back":          {does: "remove b (192.0.2.12): dead, its data is older than it was", members: 3, happen: func(l *life) { l.host("b").RollBack(cluster, 3) }},

	"rebuild a follower":  {does: "remove b (192.0.2.12): to be built anew (again); voters 3 -> 2, quorum 2, healthy 2", members: 3, happen: func(l *life) { l.rebuild("b") }},
	"rebuild the leader":  {does: "lead: leadership moves from a (192.0.2.11), which is built anew, to b (192.0.2.12)", members: 3, happen: func(l *life) { l.rebuild("a") }},
	"rebuild all of five": {does: "remove e (192.0.2.15): to be built anew (again); voters 5 -> 4", members: 5, happen: func(l *life) { l.rebuild("a", "b", "c", "d", "e") }},
	"rebuild one that is stopped": {does: "remove b (192.0.2.12): to be built anew (again), its unit is inactive", members: 3, happen: func(l *life) {
		l.host("b").StopUnit(cluster)
		l.rebuild("b")
	}},
	"rebuild one that fails": {does: "remove c (192.0.2.13): to be built anew (again), it runs, and serves no linearizable read", members: 3, happen: func(l *life) {
		l.host("c").CutOff = true
		l.world.Tick()
		l.rebuild("c")
		l.atStep = func(line string) {
			if strings.Contains(line, " join c ") {
				l.host("c").CutOff = false
			}
		}
	}},
	"rebuild one that is lost": {does: "remove c (192.0.2.13): dead, its data is lost", members: 3, happen: func(l *life) {
		l.host("c").LoseData(dir)
		l.rebuild("c")
	}},

	"replace healthy follower": {does: "remove b (192.0.2.12): no longer in the configuration; voters 4 -> 3", members: 3, happen: func(l *life) { l.want("a", "b@21", "c") }},
	"replace healthy leader":   {does: "lead: leadership moves from a (192.0.2.11), which leaves the cluster, to a (192.0.2.21)", members: 3, happen: func(l *life) { l.want("a@21", "b", "c") }},
	"replace the only one":     {does: "promote a (192.0.2.21): caught up, same hash; voters 1 -> 2", members: 1, happen: func(l *life) { l.want("a@21") }},
	"replace by another name":  {does: "retire b (192.0.2.12)", members: 3, happen: func(l *life) { l.want("a", "c", "d") }},
	"move all":                 {does: "remove c (192.0.2.13): no longer in the configuration; voters 4 -> 3", members: 3, happen: func(l *life) { l.want("a@20", "b@21", "c@22") }},

	"grow 1 to 3":   {does: "promote c (192.0.2.13): caught up, same hash; voters 2 -> 3", members: 1, happen: func(l *life) { l.want("a", "b", "c") }},
	"grow 3 to 5":   {does: "voters 4 -> 5", members: 3, happen: func(l *life) { l.want("a", "b", "c", "d", "e") }},
	"grow 1 to 5":   {does: "voters 4 -> 5", members: 1, happen: func(l *life) { l.want("a", "b", "c", "d", "e") }},
	"grow 5 to 7":   {does: "voters 6 -> 7", members: 5, happen: func(l *life) { l.want("a", "b", "c", "d", "e", "f", "g") }},
	"shrink 5 to 3": {does: "voters 4 -> 3", members: 5, happen: func(l *life) { l.want("a", "b", "c") }},
	"shrink 3 to 1": {does: "voters 2 -> 1", members: 3, happen: func(l *life) { l.want("c") }},
	"shrink 5 to 1": {does: "voters 2 -> 1", members: 5, happen: func(l *life) { l.want("e") }},

	"settings":            {does: "roll c (192.0.2.13): flags --quota-backend-bytes (not set) -> 8589934592; voters", members: 3, happen: func(l *life) { l.set("quota-backend-bytes", "8589934592") }},
	"settings of one":     {does: "a cluster of one has no spare", members: 1, happen: func(l *life) { l.set("quota-backend-bytes", "8589934592") }},
	"another client port": {does: "flags --advertise-client-urls https://192.0.2.11:2379 -> https://192.0.2.11:12379, --listen-client-urls", members: 3, happen: func(l *life) { l.cluster.ClientPort = 12379 }},
	"upgrade":             {does: "roll a (192.0.2.11): etcd 3.6.16 -> 3.7.3", members: 3, version: older, happen: func(l *life) { l.run(nodetest.EtcdVersion) }},
	"downgrade":           {does: "downgrade: enabled to etcd 3.6", members: 3, happen: func(l *life) { l.run(older) }},
	"upgrade of one":      {does: "etcd 3.6.16 -> 3.7.3", members: 1, version: older, happen: func(l *life) { l.run(nodetest.EtcdVersion) }},
	"upgrade, settings, grow and move": {does: "roll b (192.0.2.12): etcd 3.6.16 -> 3.7.3, flags --quota-backend-bytes", members: 3, version: older, happen: func(l *life) {
		l.run(nodetest.EtcdVersion)
		l.set("quota-backend-bytes", "8589934592")
		l.want("a", "b", "c@21", "d", "e")
	}},
	"downgrade and replace dead": {does: "join b (192.0.2.12): keys made on the host, certificates, flags, unit; started with etcd 3.7.3", members: 3, happen: func(l *life) {
		l.run(older)
		l.host("b").Wipe()
	}},

	"peers get a common name": {does: "roll a (192.0.2.11): comes to take only peers of the common name \"prod peers\"; voters 3, quorum 2, healthy 2 meanwhile", members: 3, happen: func(l *life) { l.namePeers("prod peers") }},
	"peers get another common name": {does: "renew certificates of b (192.0.2.12): its peer certificate has the common name \"prod\", and is to have \"other\"", members: 3, happen: func(l *life) {
		l.namePeers("prod")
		l.mustConverge(1)
		l.namePeers("other")
	}},
	"peers lose their common name, and one is dead": {does: "roll c (192.0.2.13): comes to take peers of any common name", members: 3, happen: func(l *life) {
		l.namePeers("prod")
		l.mustConverge(1)
		l.namePeers("")
		l.host("b").PowerCut()
		l.want("a", "b@21", "c")
	}},
	"peers with a common name grow 3 to 5": {does: "promote e (192.0.2.15): caught up, same hash; voters 4 -> 5", members: 3, happen: func(l *life) {
		l.namePeers("prod")
		l.mustConverge(1)
		l.want("a", "b", "c", "d", "e")
	}},

	"readdress": {does: "readdress b (192.0.2.52): from 192.0.2.12, with its data and its ID; voters 3, quorum 2, healthy 2 meanwhile", members: 3, happen: func(l *life) { l.readdress("b", "52", false) }},
	"readdress, old address gone": {does: "readdress c (192.0.2.53): from 192.0.2.13, with its data and its ID; nobody answers there", members: 3, happen: func(l *life) {
		l.readdress("c", "53", true)
	}},
	"readdress, restarted in vain": {does: "readdress c (192.0.2.53): from 192.0.2.13, with its data and its ID; nobody answers there", members: 3, happen: func(l *life) {
		l.readdress("c", "53", true)
		l.host("c").RestartUnit(cluster)
		l.world.Tick()
	}},
	"readdress all, one by one": {does: "lead: leadership moves from a (192.0.2.51), which is re-addressed last, to b (192.0.2.52)", members: 3, happen: func(l *life) {
		each([]string{"a", "b", "c"}, func(name string) { l.readdress(name, "5"+string('1'+name[0]-'a'), false) })
	}},
	"readdress the only one": {does: "a cluster of one has no spare", members: 1, happen: func(l *life) { l.readdress("a", "51", false) }},
	"readdress the only one, gone": {does: "readdress a (192.0.2.51): from 192.0.2.11, with its data and its ID; nobody answers there", members: 1, happen: func(l *life) {
		l.readdress("a", "51", true)
		l.host("a").RestartUnit(cluster)
		l.world.Tick()
	}},
	"readdress, settings, another leaves": {does: "roll a (192.0.2.51): flags --quota-backend-bytes", members: 5, happen: func(l *life) {
		l.readdress("a", "51", false)
		l.set("quota-backend-bytes", "8589934592")
		l.want("a", "b", "c", "d", "e@21")
	}},
	"renumbered, all of them":  {does: "recover b (192.0.2.52): it alone is the cluster", members: 3, happen: func(l *life) { l.renumber("a", "b", "c") }},
	"renumbered, all of five":  {does: "all logs were read, and none ends later, so that no acknowledged write is lost", members: 5, happen: func(l *life) { l.renumber("a", "b", "c", "d", "e") }},
	"renumbered, two of three": {does: "recover a (192.0.2.11): it alone is the cluster", members: 3, happen: func(l *life) { l.renumber("b", "c") }},
	"renumbered, one was behind": {does: "recover b (192.0.2.52): it alone is the cluster", members: 3, happen: func(l *life) {
		l.host("a").StopUnit(cluster)
		l.world.Tick()
		l.put()
		l.renumber("a", "b", "c")
	}},
	"renumbered, and booted": {does: "recover b (192.0.2.52): it alone is the cluster", members: 3, happen: func(l *life) {
		l.renumber("a", "b", "c")
		each([]string{"a", "b", "c"}, func(name string) { l.host(name).RestartUnit(cluster) })
		l.world.Tick()
	}},
	"renumbered, settings": {does: "stage b (192.0.2.52): store for etcd 3.7.3, flags tried against it", members: 3, happen: func(l *life) {
		l.renumber("a", "b", "c")
		l.set("quota-backend-bytes", "8589934592")
	}},
	"a firewall": {does: "firewall: clients 10.0.1.0/24, peers 192.0.2.11, 192.0.2.12, 192.0.2.13, on a, b, c; nothing else is filtered", members: 3, happen: func(l *life) {
		l.filter("10.0.1.0/24")
	}},
	"other clients behind a firewall": {does: "firewall: clients nobody, peers 192.0.2.11, 192.0.2.12, 192.0.2.13, on a, b, c", members: 3, happen: func(l *life) {
		l.filtered("10.0.1.0/24")
		l.filter()
	}},
	"no firewall any more": {does: "firewall: removed on a, b, c; anybody reaches the members", members: 3, happen: func(l *life) {
		l.filtered("10.0.1.0/24")
		l.cluster = l.cluster.Filtered(nil)
	}},
	"replaced behind a firewall": {does: "firewall: clients 10.0.1.0/24, peers 192.0.2.11, 192.0.2.12, 192.0.2.13, 192.0.2.21, on a, b, c", members: 3, happen: func(l *life) {
		l.filtered("10.0.1.0/24")
		l.want("a", "b@21", "c")
	}},
	"a dead one replaced behind a firewall": {does: "firewall: clients 10.0.1.0/24, peers 192.0.2.11, 192.0.2.13, 192.0.2.21, on a, c", members: 3, happen: func(l *life) {
		l.filtered("10.0.1.0/24")
		l.host("b").PowerCut()
		l.want("a", "b@21", "c")
	}},
	"re-addressed behind a firewall": {does: "firewall: clients 10.0.1.0/24, peers 192.0.2.11, 192.0.2.13, 192.0.2.52, on a, b, c", members: 3, happen: func(l *life) {
		l.filtered("10.0.1.0/24")
		l.readdress("b", "52", false)
	}},
	"another peer port behind a firewall": {does: "firewall: clients 10.0.1.0/24, peers 192.0.2.11, 192.0.2.12, 192.0.2.13, on a, b, c", members: 3, happen: func(l *life) {
		l.filtered("10.0.1.0/24")
		l.cluster.PeerPort = 12380
	}},
	"the firewall was flushed": {does: "firewall: clients 10.0.1.0/24, peers 192.0.2.11, 192.0.2.12, 192.0.2.13, on b; nothing else is filtered", members: 3, happen: func(l *life) {
		l.filtered("10.0.1.0/24")
		l.host("b").FlushFirewall()
	}},

	"another peer port":        {does: "readdress b (192.0.2.12): from https://192.0.2.12:2380, with its data and its ID; voters 3", members: 3, happen: func(l *life) { l.cluster.PeerPort = 12380 }},
	"another peer port of one": {does: "readdress a (192.0.2.11): from https://192.0.2.11:2380", members: 1, happen: func(l *life) { l.cluster.PeerPort = 12380 }},
	"another peer port, one is replaced": {does: "remove c (192.0.2.13): no longer in the configuration", members: 3, happen: func(l *life) {
		l.cluster.PeerPort = 12380
		l.want("a", "b", "c@21")
	}},
	"another peer port, one is dead": {does: "remove c (192.0.2.13): dead, its host carries nothing of it", members: 3, happen: func(l *life) {
		l.cluster.PeerPort = 12380
		l.host("c").Wipe()
	}},
	"another peer port, renumbered": {does: "recover b (192.0.2.52)", members: 3, happen: func(l *life) {
		l.cluster.PeerPort = 12380
		l.renumber("a", "b", "c")
	}},
	"recovered, a newer patch and settings": {does: "stage a (192.0.2.11): store for etcd 3.6.17, flags tried against it", members: 3, version: older, happen: func(l *life) {
		l.loseAllBut("a")
		l.carry("3.6.17", l.world.AddStores("3.6.17"))
		l.run("3.6.17")
		l.set("quota-backend-bytes", "8589934592")
	}},
	"recovered, an older patch": {does: "stage a (192.0.2.11): store for etcd 3.6.15, flags tried against it", members: 3, version: older, happen: func(l *life) {
		l.loseAllBut("a")
		l.carry("3.6.15", l.world.AddStores("3.6.15"))
		l.run("3.6.15")
	}},
	"recovered, a store built anew and settings": {does: "stage a (192.0.2.11): store for etcd " + older, members: 3, version: older, happen: func(l *life) {
		l.loseAllBut("a")
		l.carry(older, l.world.Rebuild(older))
		l.run(older)
		l.set("quota-backend-bytes", "8589934592")
	}},
	"recovered, its store gone": {does: "stage a (192.0.2.11): store for etcd " + older, members: 3, version: older, happen: func(l *life) {
		l.loseAllBut("a")
		l.host("a").LoseStore(cluster, l.world.AddStores("3.6.15")["amd64"])
	}},
	"recovered at another peer port": {does: "recover a (192.0.2.11): it alone is the cluster", members: 3, happen: func(l *life) {
		l.loseAllBut("a")
		l.cluster.PeerPort = 12380
	}},
	"other ports":             {does: "readdress b (192.0.2.12): from https://192.0.2.12:2380", members: 3, happen: func(l *life) { l.cluster.PeerPort, l.cluster.ClientPort = 12380, 12379 }},
	"readdress and upgrade":   {does: "readdress b (192.0.2.52)", members: 3, version: older, happen: func(l *life) { l.readdress("b", "52", false); l.run(nodetest.EtcdVersion) }},
	"readdress and downgrade": {does: "readdress b (192.0.2.52)", members: 3, happen: func(l *life) { l.readdress("b", "52", false); l.run(older) }},
	"readdress, data lost":    {does: "set aside b (192.0.2.52)", members: 3, happen: func(l *life) { l.readdress("b", "52", false); l.host("b").LoseData(dir) }},
	"readdress, data lost, gone": {does: "set aside b (192.0.2.52)", members: 3, happen: func(l *life) {
		l.readdress("b", "52", true)
		l.host("b").LoseData(dir)
		time.Sleep(3 * time.Minute) // until its peers count no connection with it any more
	}},

	"stopped":     {does: "start a (192.0.2.11)", members: 3, happen: func(l *life) { l.host("a").StopUnit(cluster) }},
	"all stopped": {does: "agree: 3 voters", members: 3, happen: func(l *life) { each(l.cluster.Members, func(m membership.Member) { l.host(m.Name).StopUnit(cluster) }) }},
	"disabled":    {does: "start a (192.0.2.11): its unit is disabled, and would not start at boot", members: 3, happen: func(l *life) { l.host("a").DisableUnit(cluster) }},
	"flags edited": {does: "roll b (192.0.2.12): flags --max-txn-ops", members: 3, happen: func(l *life) {
		l.host("b").EditFlags(cluster, func(flags []string) []string { return append(flags, "--max-txn-ops=1") })
	}},
	"flags edited, taken": {does: "roll b (192.0.2.12): flags --max-txn-ops", members: 3, happen: func(l *life) {
		l.host("b").EditFlags(cluster, func(flags []string) []string { return append(flags, "--max-txn-ops=1") })
		l.host("b").RestartUnit(cluster)
		l.world.Tick()
	}},
	"unit edited":                              {does: "roll b (192.0.2.12): its unit", members: 3, happen: func(l *life) { l.host("b").EditUnit(cluster, "[Service]\nExecStart=/bin/true\n") }},
	"another binary":                           {does: "roll b (192.0.2.12): another store was put in place of its own", members: 3, happen: func(l *life) { l.host("b").SwapBinary(cluster, l.versions[older]["amd64"]) }},
	"certificates expired":                     {does: "renew certificates of b (192.0.2.12): its peer certificate has expired", members: 3, happen: func(l *life) { l.host("b").ExpireCertificates(cluster, l.authority) }},
	"certificates foreign":                     {does: "renew certificates of b (192.0.2.12): its peer certificate is not of the cluster's authority", members: 3, happen: func(l *life) { l.host("b").ForeignCertificates(cluster, l.another()) }},
	"authorities rotated":                      {does: "roll b (192.0.2.12): comes to trust authority ", members: 3, happen: func(l *life) { l.exchange(true) }},
	"another of the trusted authorities signs": {does: "renew certificates of b (192.0.2.12): they are of authority ", members: 3, happen: func(l *life) { l.exchange(true); l.mustConverge(5); l.signBy(1) }},
	"authorities exchanged":                    {does: "renew certificates of b (192.0.2.12): they are of authority ", members: 3, happen: func(l *life) { l.exchange(false) }},
	"authorities of one exchanged":             {does: "roll a (192.0.2.11): no longer trusts authority ", members: 1, happen: func(l *life) { l.exchange(false) }},
	"authorities of five exchanged":            {does: "roll e (192.0.2.15): no longer trusts authority ", members: 5, happen: func(l *life) { l.exchange(false) }},
	"authorities rotated, one is dead":         {does: "join c (192.0.2.21)", members: 3, happen: func(l *life) { l.exchange(true); l.host("c").Wipe(); l.want("a", "b", "c@21") }},
	"authorities rotated, readdress": {does: "readdress b (192.0.2.52)", members: 3, happen: func(l *life) {
		l.exchange(true)
		l.readdress("b", "52", false)
	}},
	"authorities exchanged, upgrade":  {does: "roll b (192.0.2.12): etcd 3.6.16 -> 3.7.3, comes to trust authority ", members: 3, version: older, happen: func(l *life) { l.exchange(false); l.run(nodetest.EtcdVersion) }},
	"authorities exchanged, settings": {does: "roll b (192.0.2.12): flags --quota-backend-bytes", members: 3, happen: func(l *life) { l.exchange(false); l.set("quota-backend-bytes", "8589934592") }},
	"authorities exchanged, all expired and stopped": {does: "configure a (192.0.2.11)", members: 3, happen: func(l *life) {
		for _, name := range []string{"a", "b", "c"} {
			l.host(name).ExpireCertificates(cluster, l.authority)
			l.host(name).StopUnit(cluster)
		}
		l.exchange(false)
	}},
	"authorities rotated, recovered": {does: "recover a (192.0.2.11): it alone is the cluster", members: 3, happen: func(l *life) { l.exchange(true); l.loseAllBut("a") }},

	"admin key gone": {does: "renew certificates of b (192.0.2.12): its key /etc/etcd/prod/tls/admin.key is missing, and is made anew", members: 3, happen: func(l *life) {
		l.host("b").LoseKey(cluster, api.KeyAdmin)
	}},
	"admin key gone, beside a dead one": {does: "remove c (192.0.2.13): dead", members: 5, happen: func(l *life) {
		l.host("b").LoseKey(cluster, api.KeyAdmin)
		l.host("c").Wipe()
	}},
	"server key gone": {does: "renew certificates of a (192.0.2.11)", members: 3, happen: func(l *life) {
		l.host("a").LoseKey(cluster, api.KeyServer)
	}},
	"peer key gone": {does: "renew certificates of a (192.0.2.11)", members: 3, happen: func(l *life) {
		l.host("a").LoseKey(cluster, api.KeyPeer)
	}},
	"server key is another's": {does: "renew certificates of a (192.0.2.11): its server certificate and key do not belong together", members: 3, happen: func(l *life) {
		l.host("a").SwapKey(cluster, api.KeyServer, api.KeyPeer)
	}},
	"removed behind our back": {does: "set aside b (192.0.2.12): it is no longer in the member list, and joins anew", members: 3, happen: func(l *life) { l.world.RemoveBehindOurBack(cluster, "b") }},
	"no space":                {does: "disarm", members: 3, happen: func(l *life) { l.host("b").RaiseAlarm(cluster, "NOSPACE") }},
	"stores lost":             {does: "stage b (192.0.2.12)", members: 3, happen: func(l *life) { l.host("b").LoseStores() }},
	"data differs": {does: "remove b (192.0.2.12): its data differs from that of a quorum; voters 3 -> 2", members: 3, happen: func(l *life) {
		l.host("b").Corrupt(cluster)
		l.host("b").RaiseAlarm(cluster, "CORRUPT")
	}},
	"data of the leader differs": {does: "lead: leadership moves from a (192.0.2.11), which holds other data than a quorum, to b (192.0.2.12)", members: 5, happen: func(l *life) {
		l.host(l.leader()).Corrupt(cluster)
		l.host(l.leader()).RaiseAlarm(cluster, "CORRUPT")
	}},
	"data of two of five differs": {does: "remove d (192.0.2.14): its data differs from that of a quorum; voters 4 -> 3", members: 5, happen: func(l *life) {
		l.host("c").Corrupt(cluster)
		l.host("d").Corrupt(cluster)
		l.host("c").RaiseAlarm(cluster, "CORRUPT")
	}},
	"data differs, and it was restarted": {does: "remove b (192.0.2.12): dead, its data differs from that of a quorum; voters 3 -> 2", members: 3, happen: func(l *life) {
		l.host("b").Corrupt(cluster)
		l.host("b").StopUnit(cluster)
		l.host("b").PowerCut()
		l.host("b").PowerOn()
		for range 4 {
			l.world.Tick()
		}
	}},
	"an alarm, and data is the same": {does: "disarm: all voters hold the same data, alarm CORRUPT disarmed", members: 3, happen: func(l *life) { l.host("c").RaiseAlarm(cluster, "CORRUPT") }},
	"data damaged": {does: "remove b (192.0.2.12): dead, its data is damaged; voters 3 -> 2", members: 3, happen: func(l *life) {
		l.host("b").DamageData(cluster)
		for range 3 {
			l.world.Tick()
		}
	}},
	"store lost, another there": {does: "stage b (192.0.2.12): store for etcd 3.7.3", members: 3, happen: func(l *life) {
		l.host("b").LoseStore(cluster, l.versions[older]["amd64"])
		l.world.Tick()
	}},
	"older store lost, another there": {does: "stage b (192.0.2.12): store for etcd 3.6.16", members: 3, version: older, happen: func(l *life) {
		l.run(nodetest.EtcdVersion)
		l.host("b").LoseStore(cluster, l.versions[nodetest.EtcdVersion]["amd64"])
		l.world.Tick()
	}},
	"learner that was told to vote": {does: "join c (192.0.2.21)", members: 3, happen: func(l *life) {
		l.want("a", "b", "c@21")
		l.world.Inject(nodetest.Fault{Operation: api.OpPromote, Extent: nodetest.Run})
		if _, err := l.change(context.Background(), nil); err == nil {
			l.Errorf("the change was not cut short")
		}
		l.world.Heal()
		l.world.Host("192.0.2.21").StopUnit(cluster)
	}},
	"stale learner": {does: "remove d (192.0.2.14): a learner that is no longer in the configuration", members: 3, happen: func(l *life) {
		l.want("a", "b", "c", "d", "e")
		l.cutAt(api.OpStart)
		l.want("a", "b", "c")
	}},
	"stale learner without a host": {does: "remove a member that has never started (https://192.0.2.14:2380): a learner that an earlier change left behind", members: 3, happen: func(l *life) {
		l.want("a", "b", "c", "d", "e")
		l.cutAt(api.OpAddLearner)
		for _, m := range l.members {
			if m.Name > "c" {
				l.world.Host(m.Address).Wipe()
			}
		}
		l.members = l.members[:3]
		l.want("a", "b", "c")
	}},
}

// rebuild has the configuration ask for members to be rebuilt.
func (l *life) rebuild(names ...string) {
	l.cluster.Rebuild, l.cluster.Built = names, map[string]string{}
	for _, name := range names {
		l.cluster.Built[name] = "again"
	}
}

// another is an authority that the cluster does not trust.
func (l *life) another() *signing.Authority {
	l.Helper()
	another, err := signing.NewAuthority(nodetest.Start)
	if err != nil {
		l.Fatalf("%v", err)
	}
	return another
}

// carry has the provider carry these stores of a version.
func (l *life) carry(version string, stores map[string]string) {
	if l.versions[version] = stores; !slices.Contains(l.cluster.Carried, version) {
		l.cluster.Carried = append(l.cluster.Carried, version)
	}
}

// loseAllBut wipes the hosts of all members except the one to recover the cluster from.
func (l *life) loseAllBut(name string) {
	l.cluster.Recover = membership.Recovery{Member: name}
	for _, m := range l.cluster.Members {
		if m.Name != name {
			l.host(m.Name).Wipe()
			l.cluster.Recover.Abandons = append(l.cluster.Recover.Abandons, m.Name)
		}
	}
	for range 4 {
		l.world.Tick()
	}
}

func (l *life) set(name, value string) { l.cluster.Settings = map[string]string{name: value} }

// cutAt runs a change that is killed after its first call of this kind took effect.
func (l *life) cutAt(op api.Operation) {
	l.Helper()
	l.world.Inject(nodetest.Fault{Operation: op, After: true, Extent: nodetest.Run})
	if _, err := l.change(context.Background(), nil); err == nil {
		l.Errorf("the change was not cut short at %s", op)
	}
	l.world.Heal()
}

func each[T any](all []T, do func(T)) {
	for _, one := range all {
		do(one)
	}
}

// TestChangeDoesWhatWasPlanned carries out changes of every kind: the run does what was planned.
func TestChangeDoesWhatWasPlanned(t *testing.T) {
	for name, o := range operations {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := o.begin(t)
				outcome := l.mustChange()
				if steps := texts(outcome.Done); !strings.Contains(steps, o.does) || o.does == "" && steps != "" {
					t.Errorf("no step says %q:\n%s", o.does, steps)
				}
			})
		})
	}
}
