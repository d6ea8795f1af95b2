package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"go.uber.org/zap"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/freeport"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
)

// asEtcd makes this test binary etcd itself, for the members that tests start.
const asEtcd = "LOAD_TEST_AS_ETCD"

func TestMain(m *testing.M) {
	if os.Getenv(asEtcd) != "" {
		etcdmain.Main(os.Args)
	}
	Main()
	os.Exit(m.Run())
}

// cluster is etcd on the loopback, a process a member.
type cluster struct {
	t         *testing.T
	dir       string
	initial   string
	processes []*exec.Cmd
	clients   []string // client URLs
	peers     []string
	flags     []string // further ones of every member
}

// newCluster starts a cluster whose clients speak TLS or do not.
func newCluster(t *testing.T, size int, secure bool) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir()}
	scheme := "http"
	if secure {
		scheme = "https"
		c.certify()
	}
	var initial []string
	for range 2 * size {
		port := freeport.Find(t)
		if len(c.clients) < size {
			c.clients = append(c.clients, fmt.Sprintf("%s://127.0.0.1:%d", scheme, port))
			continue
		}
		url := fmt.Sprintf("http://127.0.0.1:%d", port)
		initial = append(initial, fmt.Sprintf("m%d=%s", len(c.peers), url))
		c.peers = append(c.peers, url)
	}
	c.initial = strings.Join(initial, ",")
	c.processes = make([]*exec.Cmd, size)
	for i := range size {
		c.start(i)
	}
	t.Cleanup(func() {
		for i := range c.processes {
			c.kill(i)
		}
	})
	return c
}

func (c *cluster) file(name string) string { return filepath.Join(c.dir, name) }

// certify makes certificates for the members and for a client.
func (c *cluster) certify() {
	c.t.Helper()
	authority := must[*pki.Authority](c.t)(pki.NewAuthority("test", pki.ECDSAP256, time.Hour, time.Now()))
	c.write("ca.crt", authority.CertificatePEM())
	for name, want := range map[string]pki.Request{
		"client": {Profile: pki.Client, CommonName: "client"},
		"member": {Profile: pki.Peer, CommonName: "member", IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
	} {
		pair := must[pki.KeyPair](c.t)(authority.NewLeaf(c.t.Context(), want, pki.ECDSAP256, time.Now()))
		c.write(name+".crt", pair.CertificatePEM())
		c.write(name+".key", must[[]byte](c.t)(pair.PrivateKeyPEM()))
	}
	c.flags = []string{"--client-cert-auth", "--trusted-ca-file=" + c.file("ca.crt"), "--cert-file=" + c.file("member.crt"), "--key-file=" + c.file("member.key")}
}

func (c *cluster) write(name string, content []byte) {
	c.t.Helper()
	if err := os.WriteFile(c.file(name), content, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// start starts a member, anew or again.
func (c *cluster) start(i int) {
	c.t.Helper()
	member := exec.Command(os.Args[0], fmt.Sprintf("--name=m%d", i), "--data-dir="+filepath.Join(c.dir, fmt.Sprint(i)), "--log-level=error", "--unsafe-no-fsync",
		"--listen-client-urls="+c.clients[i], "--advertise-client-urls="+c.clients[i],
		"--listen-peer-urls="+c.peers[i], "--initial-advertise-peer-urls="+c.peers[i], "--initial-cluster="+c.initial)
	member.Args = append(member.Args, c.flags...)
	member.Env = append(os.Environ(), asEtcd+"=1")
	if err := member.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.processes[i] = member
}

func (c *cluster) kill(i int) {
	_ = c.processes[i].Process.Kill()
	_ = c.processes[i].Wait() // it was killed
}

// leader is the number of the member that leads, and ids are the members' IDs by number.
func (c *cluster) leader() (leader int, ids []string) {
	c.t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: c.clients, Logger: zap.NewNop()})
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	for i, url := range c.clients {
		ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
		status, err := client.Status(ctx, url)
		cancel()
		if err != nil {
			c.t.Fatal(err)
		}
		if status.Leader == status.Header.MemberId {
			leader = i
		}
		ids = append(ids, hex(status.Header.MemberId))
	}
	return leader, ids
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// acknowledgedThrough waits until further puts through a member's own client are acknowledged, after a moment.
func acknowledgedThrough(t *testing.T, r *Run, endpoint string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var from int
	r.process.look(func() { from = len(r.report.Puts) })
	err := r.process.await(ctx, "puts through "+endpoint, func() bool {
		return slices.ContainsFunc(r.report.Puts[from:], func(p Put) bool { return p.Mode == Each && p.Endpoint == endpoint && p.Outcome == Acknowledged })
	})
	if err != nil {
		t.Fatal(err)
	}
}

// listed waits until the sampler has seen so many members: what comes and goes between two of its reads, it
// does not see.
func listed(t *testing.T, r *Run, members int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := r.process.await(ctx, fmt.Sprintf("a list of %d", members), func() bool {
		all := r.report.Configurations
		return len(all[len(all)-1].Members) == members
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAgainstACluster(t *testing.T) {
	c := newCluster(t, 3, false)
	run := must[*Run](t)(Start(t.Context(), exec.CommandContext, Config{Endpoints: c.clients, Rate: 100, Every: 50 * time.Millisecond, Timeout: 2 * time.Second}))
	mark := func(name string) {
		t.Helper()
		if err := run.Mark(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	yardstick := must[Yardstick](t)(run.MoveLeaders(t.Context(), 2))
	if len(yardstick.Gaps) != 2 || yardstick.Worst.Length() <= 0 || yardstick.Worst.Length() < yardstick.Median.Length() {
		t.Errorf("two moves of the leadership measure %+v", yardstick)
	}

	mark("quiet")
	// The phase has to be longer than what the sampler tolerates: the last proofs before the kill may be in it.
	for began := time.Now(); time.Since(began) < 2*defaultTolerance; {
		for _, endpoint := range c.clients {
			acknowledgedThrough(t, run, endpoint)
		}
	}
	mark("leader killed")
	leader, ids := c.leader()
	c.kill(leader)
	acknowledgedThrough(t, run, c.clients[(leader+1)%3])
	down := time.Now()
	// The dead member must have been silent for longer than is let pass: its restart begins after that.
	for time.Since(down) < defaultSilent {
		acknowledgedThrough(t, run, c.clients[(leader+2)%3])
	}
	c.start(leader)
	acknowledgedThrough(t, run, c.clients[leader])

	mark("learner")
	client := must[*clientv3.Client](t)(clientv3.New(clientv3.Config{Endpoints: []string{c.clients[leader]}, Logger: zap.NewNop()}))
	defer client.Close()
	added := addLearner(t, client)
	listed(t, run, 4)
	if _, err := client.MemberRemove(t.Context(), added); err != nil {
		t.Fatal(err)
	}
	listed(t, run, 3)
	if err := run.SetEndpoints(t.Context(), c.clients[:2]...); err != nil {
		t.Fatal(err)
	}
	report := must[*Report](t)(run.Stop(t.Context()))
	t.Logf("\n%s", report)

	verdict := must[Verdict](t)(report.Verify(t.Context(), c.clients...))
	if err := verdict.Err(); err != nil {
		t.Error(err)
	}
	if verdict.Acknowledged < 100 || verdict.Acknowledged != len(ends(report.Puts)) {
		t.Errorf("%d puts were acknowledged, and %d verified", len(ends(report.Puts)), verdict.Acknowledged)
	}

	report.Limits.Told = true // on a busy machine members are late that are well; one that is dead refuses
	killed, quiet := report.Phase("leader killed"), report.Phase("quiet")
	// An election takes at least an election timeout, of a second, and there is no leader before.
	if gap := killed.Writes.Gap.Length(); gap < 500*time.Millisecond || gap > 30*time.Second {
		t.Errorf("the death of the leader made a gap of %v", gap)
	}
	if killed.By[Each].Failed() == 0 {
		t.Errorf("no put failed through the dead member:\n%s", report)
	}
	// Puts that were under way when the leadership moved may fail later.
	failed := slices.ContainsFunc(report.Puts, func(p Put) bool { return p.Outcome != Acknowledged && p.Start >= quiet.From && p.End < quiet.To })
	if failed || quiet.Lowest.Healthy != 3 {
		t.Errorf("the quiet phase was not quiet:\n%s", report)
	}
	// Measured by what an election takes, one member was down and the others were not.
	report.Limits.Unread = 20 * time.Second
	killed = report.Phase("leader killed")
	if l := killed.Lowest; l.Healthy != 2 || l.Voters != 3 || len(l.Down) != 1 || !strings.HasSuffix(l.Down[0], "="+ids[leader]) {
		t.Errorf("at worst %s, and %s was killed", l, ids[leader])
	}
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if len(killed.Leads) == 0 {
		t.Error("no new leader was seen")
	}
	var kinds []string
	for _, change := range report.Phase("learner").Changes {
		kinds = append(kinds, change.Kind)
	}
	if !slices.Equal(kinds, []string{"add learner", "remove learner"}) {
		t.Errorf("changes of the membership: %v", kinds)
	}
	if lowest := report.Phase("learner").Lowest; lowest.Voters != 3 {
		t.Errorf("a learner was counted as a voter: %s", lowest)
	}

	// What is taken away is missed, and what is changed is too.
	survivor := must[*clientv3.Client](t)(clientv3.New(clientv3.Config{Endpoints: c.clients, Logger: zap.NewNop()}))
	defer survivor.Close()
	first := report.Puts[slices.IndexFunc(report.Puts, func(p Put) bool { return p.Outcome == Acknowledged })]
	last := report.Puts[len(report.Puts)-1]
	name := func(p Put) string { return key(task{Config: report.Config, ID: report.id}, p.Sequence) }
	if _, err := survivor.Delete(t.Context(), name(first)); err != nil {
		t.Fatal(err)
	}
	if _, err := survivor.Put(t.Context(), name(last), "another"); err != nil {
		t.Fatal(err)
	}
	verdict = must[Verdict](t)(report.Verify(t.Context(), c.clients[0]))
	if len(verdict.Lost) != 2 || !strings.Contains(strings.Join(verdict.Lost, " "), name(first)) || !strings.Contains(strings.Join(verdict.Lost, " "), name(last)) {
		t.Errorf("one key was deleted and one changed, and lost are %q", verdict.Lost)
	}
}

// addLearner adds a learner that never starts. etcd refuses for five seconds after a member's start.
func addLearner(t *testing.T, client *clientv3.Client) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		added, err := client.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:1"})
		if err == nil {
			return added.Member.ID
		}
		if !pause(ctx, 100*time.Millisecond) {
			t.Fatal(err)
		}
	}
}

func TestFillAndUnlimited(t *testing.T) {
	c := newCluster(t, 1, true)
	with := func(config Config) Config {
		config.Endpoints, config.CACert, config.Cert, config.Key = c.clients, c.file("ca.crt"), c.file("client.crt"), c.file("client.key")
		return config
	}
	report := must[*Report](t)(Fill(t.Context(), exec.CommandContext, with(Config{}), 2))
	if verdict := must[Verdict](t)(report.Verify(t.Context())); verdict.Acknowledged != 32 || verdict.Err() != nil {
		t.Errorf("32 values of 64 KiB are %d: %v", verdict.Acknowledged, verdict.Err())
	}

	run := must[*Run](t)(Start(t.Context(), exec.CommandContext, with(Config{Count: 200, InFlight: 4, Sync: 50 * time.Millisecond, Every: 50 * time.Millisecond})))
	if err := run.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	report = must[*Report](t)(run.Stop(t.Context()))
	for _, m := range []Mode{Balanced, Each} {
		acknowledged := 0
		for _, p := range report.Puts {
			if p.Mode == m && p.Outcome == Acknowledged {
				acknowledged++
			}
		}
		if acknowledged != 200 {
			t.Errorf("of 200 puts in mode %s %d were acknowledged", m, acknowledged)
		}
	}
	if verdict := must[Verdict](t)(report.Verify(t.Context())); verdict.Acknowledged != 400 || verdict.Err() != nil {
		t.Errorf("400 puts are %d: %v", verdict.Acknowledged, verdict.Err())
	}

	// The only voter dies: nothing is written any more, and the report says so.
	run = must[*Run](t)(Start(t.Context(), exec.CommandContext, with(Config{Rate: 50, Every: 50 * time.Millisecond, Timeout: time.Second})))
	if err := run.Mark(t.Context(), "dead"); err != nil {
		t.Fatal(err)
	}
	c.kill(0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := run.process.await(ctx, "failed puts", func() bool {
		return slices.ContainsFunc(run.report.Puts, func(p Put) bool { return p.Outcome == Refused })
	}); err != nil {
		t.Fatal(err)
	}
	report = must[*Report](t)(run.Stop(t.Context()))
	if dead := report.Phase("dead"); dead.Writes.Gap.Length() < 900*time.Millisecond || dead.Writes.Gap.To != report.End || dead.Lowest.Healthy != 0 {
		t.Errorf("a cluster that is dead leaves a gap to the end:\n%s", report)
	}
	if err := report.Err(); err == nil || !strings.Contains(err.Error(), "no quorum of healthy voters") {
		t.Errorf("the only voter died: %v", err)
	}
	report.Limits.Single = true
	if err := report.Err(); err != nil {
		t.Errorf("the only voter may: %v", err)
	}
	brief, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := report.Verify(brief); err == nil {
		t.Error("a dead endpoint was read back through")
	}
}

func TestNoInstruments(t *testing.T) {
	if _, err := Start(t.Context(), exec.CommandContext, Config{Endpoints: []string{"http://127.0.0.1:1"}}); err == nil {
		t.Error("a run without anything to do was started")
	}
	plain := func(ctx context.Context, _ string, _ ...string) *exec.Cmd {
		return exec.CommandContext(ctx, "echo", "PASS")
	}
	if _, err := Start(t.Context(), plain, Config{Endpoints: []string{"http://127.0.0.1:1"}, Rate: 1}); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a program that is no instrument was taken for it: %v", err)
	}
}
