package host

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/freeport"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// liveUnits is a systemd whose one unit is a real etcd, with the flags, keys and certificates of its machine.
type liveUnits struct {
	*fakeUnits
	t       *testing.T
	mu      sync.Mutex
	process *exec.Cmd
	ended   chan struct{}
}

func (l *liveUnits) Start(ctx context.Context, unit string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.fakeUnits.Start(ctx, unit); err != nil || l.process != nil || unit != api.Unit("main") {
		return err
	}
	return l.launch(ctx)
}

// State starts a member that has failed once more, as systemd does with all that fail: one that joins gives up where
// its busy peers do not answer within etcd's 2 s.
func (l *liveUnits) State(ctx context.Context, unit string) (api.UnitState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.process != nil && unit == api.Unit("main") && l.failed() {
		if err := l.clear(); err != nil {
			return api.UnitState{}, err
		}
		if err := l.launch(ctx); err != nil {
			return api.UnitState{}, err
		}
	}
	return l.fakeUnits.State(ctx, unit)
}

// failed tells whether the process has ended by itself, as one that is to be started again.
func (l *liveUnits) failed() bool {
	select {
	case <-l.ended:
		return !l.process.ProcessState.Success()
	default:
		return false
	}
}

// clear takes what is left of a process that has ended away.
func (l *liveUnits) clear() error {
	l.process = nil
	return os.Remove(l.machine.path(filepath.Join("/proc", strconv.Itoa(l.pid))))
}

// launch starts the member.
func (l *liveUnits) launch(ctx context.Context) error {
	flags, err := l.machine.flags("main")
	if err != nil {
		return err
	}
	word, err := l.machine.Started("main")
	if err != nil {
		return err
	}
	comparison, err := l.machine.Comparison(ctx, "main", flags)
	if err != nil {
		return err
	}
	args := []string{"etcd"}
	for _, flag := range slices.Concat(flags, comparison) {
		name, value, _ := strings.Cut(flag, "=")
		if strings.HasPrefix(value, "/") {
			value = l.machine.path(value)
		}
		args = append(args, name+"="+value)
	}
	l.process = &exec.Cmd{Path: os.Args[0], Args: args, Env: append(os.Environ(), asEtcd+"=1", word), Stderr: os.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}} // it ends with a test that is cut off
	if err := l.process.Start(); err != nil {
		return err
	}
	process, ended := l.process, make(chan struct{})
	go func() {
		_ = process.Wait() // it is stopped, or the test asks why it does not answer
		close(ended)
	}()
	l.ended, l.pid = ended, process.Process.Pid
	proc := filepath.Join("/proc", strconv.Itoa(l.pid))
	if err := os.MkdirAll(l.machine.path("/proc"), 0o755); err != nil {
		return err
	}
	return os.Symlink(proc, l.machine.path(proc))
}

func (l *liveUnits) Stop(ctx context.Context, unit string) error {
	if unit == api.Unit("main") {
		l.end(syscall.SIGTERM)
	}
	return l.fakeUnits.Stop(ctx, unit)
}

// end ends the member by a signal, and waits until it has ended.
func (l *liveUnits) end(signal os.Signal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.process == nil {
		return
	}
	_ = l.process.Process.Signal(signal) // it may have ended by itself
	<-l.ended
	if err := l.clear(); err != nil {
		l.t.Error(err)
	}
	// Here it ran as root, and on a host it is the system user's.
	if data := l.machine.path(dataDir); exists(data) {
		if err := giveTree(data, etcdOwner); err != nil {
			l.t.Error(err)
		}
	}
}

// giveTree gives all that lies in a directory at a path of this process to its owner.
func giveTree(path string, owner files.Owner) error {
	dir, err := inside.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return inside.Each(dir, func(root *os.Root, name string, _ fs.FileInfo) error {
		return root.Lchown(name, owner.UID, owner.GID)
	})
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// fleetMember is one machine of a fleet.
type fleetMember struct {
	*Machine
	units  *liveUnits
	marker api.Marker
	config api.ConfigureRequest
	id     string // hexadecimal, once it runs
}

// fleetOwner is the owner of the clusters of fleets.
const fleetOwner = "owner-of-main"

// fleetOf returns a running cluster of real members on etcdclient.Loopback, one on each of this many machines.
func fleetOf(t *testing.T, ca *authority, names ...string) []*fleetMember {
	t.Helper()
	var members []*fleetMember
	for _, name := range names {
		members = append(members, newcomer(t, ca, name))
	}
	for _, f := range members {
		f.configure(t, members, "new")
		f.start(t)
	}
	for _, f := range members {
		f.id = f.await(t, api.AwaitRequest{Members: len(members)}).Member.MemberID
	}
	return members
}

// newcomer returns a machine that is prepared for a member, and not configured yet.
func newcomer(t *testing.T, ca *authority, name string) *fleetMember {
	t.Helper()
	m, units := newMachine(t)
	describe(t, m)
	for _, file := range []string{"/proc/net", "/proc/uptime"} {
		if err := os.Symlink(file, m.path(file)); err != nil {
			t.Fatal(err)
		}
	}
	live := &liveUnits{fakeUnits: units, t: t}
	m.Units = live
	t.Cleanup(func() { live.end(syscall.SIGKILL) })
	r := prepareOf("main")
	r.Marker.Member = name
	r.Marker.ClientPort, r.Marker.PeerPort, r.Marker.MetricsPort = freeport.Find(t), freeport.Find(t), freeport.Find(t)
	for i := range r.Keys {
		r.Keys[i].IPs = []string{etcdclient.Loopback}
	}
	return &fleetMember{Machine: m, units: live, marker: r.Marker, config: configureOf(t, r, prepared(t, m, r), ca)}
}

func (f *fleetMember) peerURL() string   { return url("https", f.marker.PeerPort) }
func (f *fleetMember) clientURL() string { return url("https", f.marker.ClientPort) }

// configure writes what the member runs by as one of these.
func (f *fleetMember) configure(t *testing.T, members []*fleetMember, state string) {
	t.Helper()
	var initial []string
	for _, other := range members {
		initial = append(initial, other.marker.Member+"="+other.peerURL())
	}
	f.config.Flags = []string{
		"--name=" + f.marker.Member, "--data-dir=" + dataDir, "--log-level=error", "--unsafe-no-fsync=true",
		"--initial-cluster=" + strings.Join(initial, ","), "--initial-cluster-state=" + state, "--initial-cluster-token=" + f.marker.Token,
		"--listen-peer-urls=" + f.peerURL(), "--initial-advertise-peer-urls=" + f.peerURL(),
		"--listen-client-urls=" + f.clientURL(), "--advertise-client-urls=" + f.clientURL(),
		"--listen-metrics-urls=" + url("http", f.marker.MetricsPort),
		"--peer-client-cert-auth=true", "--peer-trusted-ca-file=" + api.PeerCAFile("main"),
		"--peer-cert-file=" + api.CertificateFile("main", api.KeyPeer), "--peer-key-file=" + api.KeyFile("main", api.KeyPeer),
		"--client-cert-auth=true", "--trusted-ca-file=" + api.ClientCAFile("main"),
		"--cert-file=" + api.CertificateFile("main", api.KeyServer), "--key-file=" + api.KeyFile("main", api.KeyServer),
	}
	f.apply(t)
}

// formed writes down that the member has joined its cluster, as which it was seen there.
func (f *fleetMember) formed(t *testing.T, view api.Member) {
	t.Helper()
	f.marker.Phase, f.marker.ClusterID, f.marker.MemberID = api.PhaseFormed, view.ClusterID, view.MemberID
	f.apply(t)
}

// apply configures the machine as its request says by now.
func (f *fleetMember) apply(t *testing.T) {
	t.Helper()
	f.config.Marker = f.marker
	if err := f.Configure(t.Context(), "main", f.config); err != nil {
		t.Fatal(err)
	}
}

func (f *fleetMember) start(t *testing.T) {
	t.Helper()
	if err := f.Start(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
}

// await wants the member to become ready, as what the request says.
func (f *fleetMember) await(t *testing.T, r api.AwaitRequest) api.Observation {
	t.Helper()
	r.DataDir, r.Timeout = dataDir, patience
	o, err := f.Await(t.Context(), "main", r)
	if err != nil {
		t.Fatal(err)
	}
	if !isReady(o, r) {
		t.Fatalf("member %s is not ready: %+v, %+v", f.marker.Member, o.Unit, o.Member)
	}
	return o
}

// probe asks a member that is to answer, be it late.
func (f *fleetMember) probe(t *testing.T) (view api.Member) {
	t.Helper()
	eventually(t, "member "+f.marker.Member+" answers", func() bool {
		var err error
		if view, err = f.Probe(t.Context(), "main", api.ProbeRequest{}); err != nil {
			t.Fatalf("member %s: %v", f.marker.Member, err)
		}
		return view.Responding
	})
	return view
}

// persist repeats a request that is to be carried out while the cluster is too busy to agree on it in etcd's own time.
func persist(t *testing.T, ask func() error) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return etcdclient.Retried(ctx, etcdclient.Overloaded, ask)
}

// put writes keys through the member.
func (f *fleetMember) put(t *testing.T, keys int) {
	t.Helper()
	f.client(t, func(c *clientv3.Client) {
		var before int64
		if err := persist(t, func() error {
			found, err := c.Get(t.Context(), "key-0")
			if err == nil {
				before = found.Header.Revision
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for i := range keys {
			key := "key-" + strconv.Itoa(i)
			// One that is repeated may have been done. Each counts once.
			put := func() error {
				_, err := c.Txn(t.Context()).If(clientv3.Compare(clientv3.ModRevision(key), "<", before+1)).Then(clientv3.OpPut(key, "value")).Commit()
				return err
			}
			if err := persist(t, put); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func (f *fleetMember) client(t *testing.T, do func(*clientv3.Client)) {
	t.Helper()
	c, err := f.local(f.marker).Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	do(c)
}

// split returns the leader of a fleet, and the others.
func split(t *testing.T, members []*fleetMember) (leader *fleetMember, others []*fleetMember) {
	t.Helper()
	id := members[0].probe(t).Leader
	for _, f := range members {
		if f.id == id {
			leader = f
		} else {
			others = append(others, f)
		}
	}
	if leader == nil {
		t.Fatalf("member %s leads, which is not in the fleet", id)
	}
	return leader, others
}

// eventually wants something to become true.
func eventually(t *testing.T, what string, look func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !look(); time.Sleep(readyPoll) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// unhurried calls try with a time, and with twice that time where it fails while this process was kept from its work
// for a good part of it: a bound that the test itself could not keep says nothing.
func unhurried(t *testing.T, bound time.Duration, try func(bound time.Duration) error) {
	t.Helper()
	for {
		late := lateness()
		err := try(bound)
		longest := late()
		if err == nil {
			return
		}
		if longest < bound/4 || bound > patience {
			t.Fatalf("with %s, and never later than %s: %v", bound, longest, err)
		}
		t.Logf("with %s, and %s late: %v", bound, longest, err)
		bound *= 2
	}
}

// lateness returns a function that tells by how much this process has been late since, at worst, to do what was due.
func lateness() (longest func() time.Duration) {
	const beat = 10 * time.Millisecond
	over, late := make(chan struct{}), make(chan time.Duration)
	go func() {
		var longest time.Duration
		for last := time.Now(); ; {
			select {
			case <-time.After(beat):
			case <-over:
				late <- max(longest, time.Since(last)-beat)
				return
			}
			longest, last = max(longest, time.Since(last)-beat), time.Now()
		}
	}()
	return func() time.Duration { close(over); return <-late }
}

// ids returns the IDs in a list, of voters or of learners.
func ids(list []api.ListedMember, learners bool) []string {
	var found []string
	for _, l := range list {
		if l.Learner == learners {
			found = append(found, l.ID)
		}
	}
	slices.Sort(found)
	return found
}

// slot is what the members have agreed on, in the cluster itself.
type slot struct {
	Member string    `json:"member"`
	Backup string    `json:"backup"`
	At     time.Time `json:"at"`
}

// agreed returns the last completed run of a kind.
func (f *fleetMember) agreed(t *testing.T, kind string) (last slot) {
	t.Helper()
	f.client(t, func(c *clientv3.Client) {
		answer, err := c.Get(t.Context(), "_etcd-store/"+kind+"/last")
		if err == nil && len(answer.Kvs) > 0 {
			err = json.Unmarshal(answer.Kvs[0].Value, &last)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	return last
}
