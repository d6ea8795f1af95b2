package host

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/version"
	"go.etcd.io/etcd/server/v3/etcdmain"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/freeport"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/agree"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
)

// asEtcd makes this test binary etcd itself, for the members that tests start.
const asEtcd = "HOST_TEST_AS_ETCD"

func TestMain(m *testing.M) {
	// A run starts a member by its own binary, which is etcd by its name.
	if os.Args[0] == "etcd" || os.Getenv(asEtcd) != "" {
		etcdmain.Main(os.Args)
	}
	// A recovery has the log agreed on by its own binary, as the system user.
	if len(os.Args) == 2 && os.Args[0] == "store" && os.Args[1] == agree.Command {
		if err := agree.Run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if what := os.Getenv(asRun); what != "" {
		if err := runAsChild(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serving returns a machine whose unit is active, and whose member is a process of etcd with the machine's own keys and
// certificates. peers are further members, NAME=URL, that never start.
func serving(t *testing.T, peers ...string) (*Machine, *fakeUnits, api.Marker) {
	t.Helper()
	m, units := newMachine(t)
	describe(t, m)
	r := prepareOf("main")
	r.Marker.ClientPort, r.Marker.PeerPort, r.Marker.MetricsPort = freeport.Find(t), freeport.Find(t), freeport.Find(t)
	configured(t, m, r)

	client, peer := url("https", r.Marker.ClientPort), url("http", r.Marker.PeerPort)
	member := exec.Command(os.Args[0], "--name=a", "--data-dir="+m.path(dataDir), "--log-level=error", "--unsafe-no-fsync",
		"--listen-client-urls="+client, "--advertise-client-urls="+client, "--listen-metrics-urls="+url("http", r.Marker.MetricsPort),
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster="+strings.Join(append(peers, "a="+peer), ","),
		"--client-cert-auth", "--trusted-ca-file="+m.path(api.ClientCAFile("main")),
		"--cert-file="+m.path(api.CertificateFile("main", api.KeyServer)), "--key-file="+m.path(api.KeyFile("main", api.KeyServer)))
	member.Env = append(os.Environ(), asEtcd+"=1")
	member.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it ends with a test that is cut off
	if err := member.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = member.Process.Kill()
		_ = member.Wait() // it was killed
	})
	for _, path := range []string{"/proc/net", filepath.Join("/proc", strconv.Itoa(member.Process.Pid))} {
		if err := os.Symlink(path, m.path(path)); err != nil {
			t.Fatal(err)
		}
	}
	units.active[api.Unit("main")], units.pid = "active", member.Process.Pid
	return m, units, r.Marker
}

func url(scheme string, port int) string {
	return scheme + "://" + net.JoinHostPort(etcdclient.Loopback, strconv.Itoa(port))
}

// awaitListener waits until the member has opened a port.
func awaitListener(t *testing.T, port int) {
	t.Helper()
	real := &Machine{Root: "/"}
	for end := time.Now().Add(patience); ; time.Sleep(readyPoll) {
		if found, err := real.proc().Listeners([]int{port}, 0); err == nil && len(found) > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nobody listens on port %d", port)
		}
	}
}

func TestMemberThatIsReady(t *testing.T) {
	t.Parallel()
	m, _, marker := serving(t)
	request := api.AwaitRequest{ObserveRequest: api.ObserveRequest{DataDir: marker.DataDir, Ports: []int{marker.ClientPort, marker.MetricsPort}}, Members: 1, Timeout: patience}
	o, err := m.Await(t.Context(), "main", request)
	if err != nil {
		t.Fatal(err)
	}
	v := o.Member
	if !v.Responding || !v.Ready || !v.Healthy || v.Learner || v.Error != "" || v.HealthError != "" {
		t.Fatalf("the member reads %+v", v)
	}
	if v.Version != version.Version || v.ClusterID == "" || v.MemberID == "" || v.Leader != v.MemberID || v.RaftTerm == 0 || v.AppliedIndex == 0 || v.Revision != 1 || v.DBSizeBytes == 0 {
		t.Errorf("the member reads %+v", v)
	}
	if len(v.Members) != 1 || v.Members[0].ID != v.MemberID || v.Members[0].Name != "a" || len(v.Members[0].PeerURLs) != 1 || len(v.Members[0].ClientURLs) != 1 || v.Members[0].Learner {
		t.Errorf("its list reads %+v", v.Members)
	}
	if v.QuotaBytes == 0 || v.DBUsedBytes == 0 || v.DBUsedBytes > v.DBSizeBytes || v.Downgrade != "" {
		t.Errorf("the member reads %+v", v)
	}
	if len(v.Alarms) > 0 {
		t.Errorf("alarms: %q", v.Alarms)
	}
	if !o.Data.HasMember || o.Marker == nil || o.Facts.Hostname != "etcd-1" || len(o.Flags) != 3 || len(o.Listeners) != 2 {
		t.Errorf("the observation reads %+v", o)
	}
	for _, l := range o.Listeners {
		if !l.Ours {
			t.Errorf("the member's listener reads %+v", l)
		}
	}
}

// TestMemberWithoutQuorum holds that the observation of a member that answers half of the questions
// ends, and that it does not pass for healthy.
func TestMemberWithoutQuorum(t *testing.T) {
	t.Parallel()
	m, _, marker := serving(t, "b=http://127.0.0.1:1", "c=http://127.0.0.1:2")
	awaitListener(t, marker.MetricsPort)
	start := time.Now()
	o, err := m.Observe(t.Context(), "main", api.ObserveRequest{DataDir: marker.DataDir})
	if err != nil {
		t.Fatal(err)
	}
	if o.Member.Healthy || o.Member.Ready || o.Member.HealthError == "" {
		t.Errorf("the member reads %+v", o.Member)
	}
	if took := time.Since(start); took > 10*etcdclient.AskTimeout {
		t.Errorf("it took %s", took)
	}
	o, err = m.Await(t.Context(), "main", api.AwaitRequest{ObserveRequest: api.ObserveRequest{DataDir: marker.DataDir}, Members: 3, Timeout: 100 * time.Millisecond})
	if err != nil || o.Member.Ready || o.Marker == nil {
		t.Errorf("a wait that was in vain: %v, %+v", err, o.Member)
	}
}

func TestMemberThatIsNotAsked(t *testing.T) {
	m, units := newMachine(t)
	describe(t, m)
	o, err := m.Observe(t.Context(), "main", api.ObserveRequest{DataDir: dataDir})
	if err != nil || o.Marker != nil || o.Member.Responding || !strings.Contains(o.Member.Error, "no such cluster") || o.Flags != nil {
		t.Errorf("a bare host: %v, %+v", err, o)
	}
	if o, err := m.Observe(t.Context(), "main", api.ObserveRequest{}); err != nil || o.Data.Exists || o.Data.Path != "" {
		t.Errorf("a data directory that nobody named: %v, %+v", err, o.Data)
	}
	configured(t, m, prepareOf("main"))
	for _, state := range []string{"inactive", "activating", "failed"} {
		units.active[api.Unit("main")] = state
		o, err := m.Observe(t.Context(), "main", api.ObserveRequest{DataDir: dataDir})
		if err != nil || o.Member.Responding || !strings.Contains(o.Member.Error, state) {
			t.Errorf("a member that is %s: %v, %+v", state, err, o.Member)
		}
	}
}

// TestAnotherOnThePort holds that what answers without a certificate of our authority is no member.
func TestAnotherOnThePort(t *testing.T) {
	t.Parallel()
	m, _, marker := serving(t)
	awaitListener(t, marker.ClientPort)
	writeFile(t, m, api.ClientCAFile("main"), newAuthority(t).pem)
	if v := m.local(marker).Look(t.Context()); v.Responding || v.Healthy || v.Error == "" {
		t.Errorf("it reads %+v", v)
	}
	if err := os.Remove(m.path(api.KeyFile("main", api.KeyAdmin))); err != nil {
		t.Fatal(err)
	}
	if v := m.local(marker).Look(t.Context()); v.Responding || !strings.Contains(v.Error, "load the admin certificate") {
		t.Errorf("without a key it reads %+v", v)
	}
}

func TestAwaitEndsWhereTheUnitHasFailed(t *testing.T) {
	t.Parallel()
	m, units := newMachine(t)
	describe(t, m)
	configured(t, m, prepareOf("main"))
	units.active[api.Unit("main")] = "failed"
	o, err := m.Await(t.Context(), "main", api.AwaitRequest{ObserveRequest: api.ObserveRequest{DataDir: dataDir}, Members: 3, Timeout: api.LongestWait})
	if err != nil || o.Unit.ActiveState != "failed" {
		t.Errorf("%v, %+v", err, o.Unit)
	}
	// systemd starts it again and again, and did so before.
	units.active[api.Unit("main")], units.looping, units.restarts = "activating", true, 7
	o, err = m.Await(t.Context(), "main", api.AwaitRequest{ObserveRequest: api.ObserveRequest{DataDir: dataDir}, Timeout: api.LongestWait})
	if err != nil || o.Unit.Restarts < 8+lostRestarts {
		t.Errorf("%v, %+v", err, o.Unit)
	}
	for _, timeout := range []time.Duration{0, -time.Second, api.LongestWait + 1} {
		_, err := m.Await(t.Context(), "main", api.AwaitRequest{Timeout: timeout})
		mustRefuse(t, err, timeout.String())
	}
}

// TestObserveChangesNothing holds that reads never write.
func TestObserveChangesNothing(t *testing.T) {
	m, _ := newMachine(t)
	describe(t, m)
	configured(t, m, prepareOf("main"))
	before := tree(t, m, "/")
	if _, err := m.Observe(t.Context(), "main", api.ObserveRequest{DataDir: dataDir}); err != nil {
		t.Fatal(err)
	}
	if after := tree(t, m, "/"); len(after) != len(before) {
		t.Errorf("the host has changed: %q, %q", paths(before), paths(after))
	}
}
