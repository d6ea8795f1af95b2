package nodetest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// driver does by hand what the executor does with hosts.
type driver struct {
	*testing.T
	world     *nodetest.World
	authority *signing.Authority
	addresses []string
}

const (
	dataDir = "/var/lib/etcd/prod"
	holder  = "run"
)

// drive returns a world of n hosts with a store on each, locked by the test.
func drive(t *testing.T, n int) *driver {
	t.Helper()
	return driveFor(t, t, n)
}

// driveFor returns such a world that reports failures to a witness.
func driveFor(t *testing.T, witness nodetest.TB, n int) *driver {
	t.Helper()
	d := &driver{T: t}
	for i := range n {
		d.addresses = append(d.addresses, fmt.Sprintf("192.0.2.%d", 11+i))
	}
	d.world = nodetest.New(witness, d.addresses...)
	var err error
	if d.authority, err = signing.NewAuthority(nodetest.Start); err != nil {
		t.Fatal(err)
	}
	for _, address := range d.addresses {
		host := d.world.Host(address)
		if err := host.Install(t.Context(), "prod", d.store(), api.Target{}); err != nil {
			t.Fatal(err)
		}
		d.lock(address)
	}
	return d
}

// lock acquires the lock on a host. The lock ends with the host's power.
func (d *driver) lock(address string) {
	d.Helper()
	if _, _, err := d.world.Host(address).Lock(d.Context(), d.store(), "prod", api.Holder{ID: holder, Who: "us"}); err != nil {
		d.Fatal(err)
	}
}

func (d *driver) store() string { return d.world.Stores["amd64"] }

// call makes one call as the holder of the lock.
func (d *driver) call(address string, op api.Operation, body, result any) error {
	return d.callAs(holder, address, op, body, result)
}

func (d *driver) callAs(who, address string, op api.Operation, body, result any) error {
	encoded, err := json.Marshal(secret.Revealed(body))
	if err != nil {
		d.Fatal(err)
	}
	target := &api.Target{}
	if marker := d.world.Host(address).Marker("prod"); marker != nil {
		target.For = marker.Member
	}
	return d.world.Host(address).Call(d.Context(), d.store(), api.Request{Version: api.Version, Operation: op, Cluster: "prod", Holder: who, Target: target, Body: encoded}, result)
}

// marker returns the marker of the ith member's host in a cluster of all hosts.
func (d *driver) marker(i int, token string) api.Marker {
	var entries []string
	for j, address := range d.addresses {
		entries = append(entries, fmt.Sprintf("m%d=https://%s:2380", j, address))
	}
	return api.Marker{
		Cluster: "prod", Owner: "us", Member: fmt.Sprintf("m%d", i), Phase: api.PhaseForming, Token: token,
		InitialCluster: strings.Join(entries, ","), DataDir: dataDir, ClientPort: 2379, PeerPort: 2380, MetricsPort: 2381,
	}
}

// configure prepares and configures the host of the ith member of a new cluster.
func (d *driver) configure(i int, token string) {
	d.Helper()
	d.configureAs(i, d.marker(i, token), "new", d.store())
}

// configureAs prepares and configures the host of the ith member.
func (d *driver) configureAs(i int, marker api.Marker, state, store string) {
	d.Helper()
	address := d.addresses[i]
	var keys []api.KeyRequest
	for _, name := range []string{api.KeyPeer, api.KeyServer, api.KeyAdmin} {
		keys = append(keys, api.KeyRequest{Name: name, Algorithm: "ecdsa-p256", CommonName: marker.Member, IPs: []string{address}})
	}
	var prepared api.Prepared
	if err := d.call(address, api.OpPrepare, api.PrepareRequest{Marker: marker, Keys: keys}, &prepared); err != nil {
		d.Fatal(err)
	}
	certificates := map[string]string{}
	for _, key := range keys {
		signed, err := d.authority.Sign(d.Context(), "", key, prepared.Requests[key.Name])
		if err != nil {
			d.Fatal(err)
		}
		certificates[key.Name] = signed
	}
	if err := d.call(address, api.OpConfigure, api.ConfigureRequest{
		Marker: marker, Store: store, Certificates: certificates, PeerCA: d.authority.PeerCA(), ClientCA: d.authority.ClientCA(), Unit: "[Unit]",
		Flags: []string{
			"--name=" + marker.Member, "--data-dir=" + dataDir, "--initial-cluster=" + marker.InitialCluster,
			"--initial-cluster-state=" + state, "--initial-cluster-token=" + marker.Token,
			"--listen-peer-urls=https://" + address + ":2380", "--listen-client-urls=https://" + address + ":2379",
			"--advertise-client-urls=https://" + address + ":2379", "--listen-metrics-urls=http://127.0.0.1:2381",
		},
	}, nil); err != nil {
		d.Fatal(err)
	}
}

// start starts the ith member and lets some time pass.
func (d *driver) start(members ...int) {
	d.Helper()
	for _, i := range members {
		if err := d.call(d.addresses[i], api.OpStart, api.StartRequest{}, nil); err != nil {
			d.Fatal(err)
		}
	}
	d.world.Tick()
}

// form makes the first n hosts members, and starts them.
func (d *driver) form() {
	for i := range d.addresses {
		d.configure(i, "t1")
	}
	for i := range d.addresses {
		d.start(i)
	}
}

// observe returns the observation of the ith member's host.
func (d *driver) observe(i int) (o api.Observation) {
	d.Helper()
	if err := d.callAs("", d.addresses[i], api.OpObserve, api.ObserveRequest{DataDir: dataDir, Ports: []int{2379, 2380, 2381}}, &o); err != nil {
		d.Fatal(err)
	}
	return o
}
