package host

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// row is one request, or one event, of an arrangement. The machine and the fake have to answer it alike.
type row struct {
	name   string
	at     string // the member whose host is asked
	op     api.Operation
	holder string // of the lock; empty: the one that holds it
	body   func(*stage) any
	target func(*stage) *api.Target

	content func(*stage) []byte // follows the request

	want api.Code // empty: the call is carried out
	says string   // words that both refusals have; empty: none are shared
	same []string // what is the same in both results

	// loud is true where no provider ever asks for this: the machine answers want, and the fake fails the test of who
	// asked.
	loud bool

	keep func(*stage, map[string]any) // what later rows need of the result

	event func(*stage) // in place of a request
}

// stage is one of the two parties that have to agree, while an arrangement is played on it.
type stage struct {
	*testing.T
	party
	authority *signing.Authority
	ids       map[string]string // member IDs, by the members' names
	clusterID string
	names     map[string]string // of what was restored, by ID
	store     string
	version   string // of etcd, once a cluster was formed
	received  []byte // the content of the last answer that had some
	saved     []byte // the snapshot that is restored
	backup    string // its name
}

// party is what the machine and the fake each do in their own way.
type party interface {
	exchange(at string, r api.Request, content []byte, answer io.Writer, result any) error
	place(at string) place
	comeToRest()
	complaints() []string // that the party has had since it was asked last: who asked for this has a fault

	lock(at string)
	unlock(at string)
	edit(at string, edit func(*api.Marker))
	garble(at string, garbled bool)
	litter(at, dir string)
	neighbour(at string, marker api.Marker) // of another cluster on the host
	write(at string, keys int)
	loseData(at string)
	freeze(at string, frozen bool)
	loseKey(at, key string)
	swapKey(at, key, by string)
	refuseFlags(at string)
	stop(at string)
	unmount(at string) // the disk that the data lies on, after the member was stopped
	mount(at string)
	renewingParty
	failingParty
}

// place is the address and the ports of a member.
type place struct {
	address               string
	client, peer, metrics int
}

func (p place) peerURL() string { return fmt.Sprintf("https://%s:%d", p.address, p.peer) }

const agreementHolder = "run-1"

// noHolder replaces the holder in a request without one.
const noHolder = "none"

// ask makes one call.
func (s *stage) ask(at string, op api.Operation, body, result any) error {
	return s.askAs(agreementHolder, &api.Target{For: at}, at, op, body, nil, result)
}

func (s *stage) askAs(holder string, target *api.Target, at string, op api.Operation, body any, content []byte, result any) error {
	s.Helper()
	encoded, err := json.Marshal(secret.Revealed(body))
	if err != nil {
		s.Fatal(err)
	}
	var answer bytes.Buffer
	err = s.exchange(at, api.Request{Version: api.Version, Operation: op, Cluster: "main", Holder: holder, Target: target, Body: encoded}, content, &answer, result)
	if answer.Len() > 0 {
		s.received = answer.Bytes()
	}
	return err
}

// must makes a call that has to be carried out.
func (s *stage) must(at string, op api.Operation, body, result any) {
	s.Helper()
	if err := s.ask(at, op, body, result); err != nil {
		s.Fatalf("%s at %s: %v", op, at, err)
	}
}

func (s *stage) observe(at string) (o api.Observation, err error) {
	p := s.place(at)
	err = s.ask(at, api.OpObserve, api.ObserveRequest{DataDir: dataDir, Ports: []int{p.client, p.peer, p.metrics}}, &o)
	return o, err
}

// marker returns the marker of a member that forms a cluster with the others.
func (s *stage) marker(at string, others ...string) api.Marker {
	var initial []string
	for _, name := range slices.Sorted(slices.Values(append(slices.Clone(others), at))) {
		initial = append(initial, name+"="+s.place(name).peerURL())
	}
	p := s.place(at)
	return api.Marker{
		Cluster: "main", Owner: fleetOwner, Member: at, Phase: api.PhaseForming, Token: "t1", InitialCluster: strings.Join(initial, ","),
		DataDir: dataDir, ClientPort: p.client, PeerPort: p.peer, MetricsPort: p.metrics,
	}
}

// keys returns the keys that a member is asked to make.
func (s *stage) keys(at string) []api.KeyRequest {
	var keys []api.KeyRequest
	for _, name := range api.KeyNames {
		keys = append(keys, api.KeyRequest{Name: name, Algorithm: "ecdsa-p256", CommonName: at, IPs: []string{s.place(at).address, etcdclient.Loopback}})
	}
	return keys
}

// prepare prepares a host, and returns what it is configured with.
func (s *stage) prepare(at string, marker api.Marker, state string) api.ConfigureRequest {
	s.Helper()
	var prepared api.Prepared
	s.must(at, api.OpPrepare, api.PrepareRequest{Marker: marker, Keys: s.keys(at)}, &prepared)
	return s.configuration(at, marker, state, prepared)
}

func (s *stage) configuration(at string, marker api.Marker, state string, prepared api.Prepared) api.ConfigureRequest {
	s.Helper()
	p, url := s.place(at), func(scheme, address string, port int) string { return fmt.Sprintf("%s://%s:%d", scheme, address, port) }
	clients := url("https", p.address, p.client)
	if p.address != etcdclient.Loopback {
		clients += "," + url("https", etcdclient.Loopback, p.client)
	}
	r := api.ConfigureRequest{
		Marker: marker, Store: s.store, Certificates: map[string]string{}, PeerCA: s.authority.PeerCA(), ClientCA: s.authority.ClientCA(), Unit: "[Service]\n",
		Flags: []string{
			"--name=" + at, "--data-dir=" + dataDir, "--log-level=error", "--unsafe-no-fsync=true",
			"--initial-cluster=" + marker.InitialCluster, "--initial-cluster-state=" + state, "--initial-cluster-token=" + marker.Token,
			"--listen-peer-urls=" + p.peerURL(), "--initial-advertise-peer-urls=" + p.peerURL(),
			"--listen-client-urls=" + clients, "--advertise-client-urls=" + url("https", p.address, p.client),
			"--listen-metrics-urls=" + url("http", etcdclient.Loopback, p.metrics),
			"--peer-client-cert-auth=true", "--peer-trusted-ca-file=" + api.PeerCAFile("main"),
			"--peer-cert-file=" + api.CertificateFile("main", api.KeyPeer), "--peer-key-file=" + api.KeyFile("main", api.KeyPeer),
			"--client-cert-auth=true", "--trusted-ca-file=" + api.ClientCAFile("main"),
			"--cert-file=" + api.CertificateFile("main", api.KeyServer), "--key-file=" + api.KeyFile("main", api.KeyServer),
		},
	}
	for _, key := range s.keys(at) {
		if request, asked := prepared.Requests[key.Name]; asked {
			signed, err := s.authority.Sign(s.Context(), "", key, request)
			if err != nil {
				s.Fatal(err)
			}
			r.Certificates[key.Name] = signed
		}
	}
	return r
}

// form makes the hosts a cluster, formed.
func (s *stage) form(names ...string) {
	s.Helper()
	configured := map[string]api.ConfigureRequest{}
	for _, name := range names {
		r := s.prepare(name, s.marker(name, without(names, name)...), "new")
		s.must(name, api.OpConfigure, r, nil)
		configured[name] = r
	}
	for _, name := range names {
		s.must(name, api.OpStart, api.StartRequest{}, nil)
	}
	for _, name := range names {
		o := s.await(name, api.AwaitRequest{Members: len(names)})
		s.ids[name], s.clusterID, s.version = o.Member.MemberID, o.Member.ClusterID, o.Member.Version
		r := configured[name]
		r.Marker.Phase, r.Marker.ClusterID, r.Marker.MemberID = api.PhaseFormed, s.clusterID, s.ids[name]
		s.must(name, api.OpConfigure, r, nil)
	}
}

// await waits until a member is ready.
func (s *stage) await(at string, r api.AwaitRequest) (o api.Observation) {
	s.Helper()
	r.DataDir, r.Timeout = dataDir, patience
	s.must(at, api.OpAwait, r, &o)
	if !isReady(o, r) {
		s.Fatalf("member %s is not ready: %+v, %+v", at, o.Unit, o.Member)
	}
	return o
}

// leads has a member lead, whoever did.
func (s *stage) leads(at string, members ...string) {
	s.Helper()
	for _, name := range members {
		s.must(name, api.OpMoveLeader, api.MoveLeaderRequest{Owner: fleetOwner, To: s.ids[at]}, nil)
	}
}

func without(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
}

// agreementMembers are the hosts in each arrangement.
var agreementMembers = []string{"a", "b", "c", "d"}

// answer is the result of a row.
type answer struct {
	code    api.Code
	message string
	result  map[string]any // where any of it is to be the same
}

// play plays one row, and says what came of it.
func (s *stage) play(r row) answer {
	s.Helper()
	if r.event != nil {
		r.event(s)
		return answer{}
	}
	target := &api.Target{For: r.at}
	if r.target != nil {
		target = r.target(s)
	}
	holder := cmp.Or(r.holder, agreementHolder)
	if holder == noHolder {
		holder = ""
	}
	var a answer
	var result any
	if len(r.same) > 0 || r.keep != nil {
		result = &a.result
	}
	var content []byte
	if r.content != nil {
		content = r.content(s)
	}
	err := s.askAs(holder, target, r.at, r.op, r.body(s), content, result)
	if err != nil {
		a.code, a.message = asError(err).Code, err.Error()
	} else if r.keep != nil {
		r.keep(s, a.result)
	}
	return a
}

func (s *stage) bearings(hosts []string) map[string]bearing {
	all := map[string]bearing{}
	for _, name := range hosts {
		all[name] = s.bear(name)
	}
	return all
}

// arrangement is the state of some hosts, and the requests that they get then, one after another.
type arrangement struct {
	hosts   []string
	arrange func(*stage)
	rows    []row
	newest  string // why make test plays it with the newest minor version of etcd alone; empty: it does not
}

// playBoth plays an arrangement on machines and on the fake.
func playBoth(t *testing.T, a arrangement) {
	t.Parallel()
	if a.newest != "" {
		sample.LeaveToNewestMinor(t, a.newest)
	}
	authority, err := signing.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	machine := &stage{T: t, party: newMachineParty(t, a.hosts), authority: authority, ids: map[string]string{}, names: map[string]string{}, store: storeA}
	fakes := newFakeParty()
	fake := &stage{T: t, party: fakes, authority: authority, ids: map[string]string{}, names: map[string]string{}, store: fakes.world.Stores["amd64"]}
	stages := map[string]*stage{"machine": machine, "fake": fake}
	for _, name := range slices.Sorted(maps.Keys(stages)) {
		for _, at := range a.hosts {
			stages[name].lock(at)
		}
		if a.arrange != nil {
			a.arrange(stages[name])
		}
	}
	before, diff := alike(stages, a.hosts)
	if diff != "" {
		t.Fatalf("the machine (-) and the fake (+) are not arranged alike:\n%s", diff)
	}
	for _, r := range a.rows {
		what := cmp.Or(r.name, string(r.op))
		results := map[string]map[string]any{}
		for _, name := range []string{"machine", "fake"} {
			got := stages[name].play(r)
			results[name] = got.result
			complaints := stages[name].complaints()
			if name == "fake" && r.loud {
				if len(complaints) == 0 {
					t.Errorf("%s: the fake does not complain of it: %s %s", what, got.code, got.message)
				}
				continue
			}
			if len(complaints) > 0 {
				t.Errorf("%s: the fake complains: %q", what, complaints)
			}
			if got.code != r.want || r.says != "" && !strings.Contains(got.message, r.says) {
				t.Errorf("%s: the %s answers %q (%s), want %q with %q", what, name, got.code, got.message, r.want, r.says)
			}
			if r.want == api.CodeRefused || r.want == api.CodeBusy || r.want == api.CodeUnsupported {
				stages["fake"].comeToRest() // a member that was stopped for it, and ends at each start, has ended again
				if _, diff := stages[name].becomes(before[name], a.hosts); diff != "" {
					t.Errorf("%s: it was refused, and has changed the %s (-):\n%s", what, name, diff)
				}
			}
		}
		for _, field := range r.same {
			if machine, fake := results["machine"][field], results["fake"][field]; machine == nil || machine != fake {
				t.Errorf("%s: %s is %v on the machine, and %v on the fake", what, field, machine, fake)
			}
		}
		if before, diff = alike(stages, a.hosts); diff != "" {
			t.Fatalf("%s: the machine (-) and the fake (+) are not the same after it:\n%s", what, diff)
		}
	}
}

var errNoAnswer = errors.New("there is no answer")
