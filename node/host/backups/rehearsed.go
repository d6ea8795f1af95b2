package backups

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// rehearsedStall is how long a rehearsed member may make no progress. It reads all of its data twice, at the lowest
// priority: on a busy host it gets little of the machine.
const rehearsedStall = time.Hour

// compareMember starts a member on the restored data, alone and on loopback, reads all of the data, and compares it
// with the manifest. The member ends with this process, however this process ends.
func (r *run) compareMember(ctx context.Context, m backup.Manifest, work *inside.Dir, peer port) error {
	// The kernel ends the child with the thread that has started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	port, err := r.freeLoopback(append(r.ownPorts(), int(peer))...)
	if err != nil {
		return err
	}
	said := &tail{}
	member := exec.Command(r.Binary)
	member.Args = append([]string{"etcd"}, r.rehearsedFlags(peer, port)...)
	member.Env = r.Environment
	member.Dir = work.Path(".") // by its handle: somebody may have exchanged the directory
	member.Stdout, member.Stderr = said, said
	member.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := member.Start(); err != nil {
		return fmt.Errorf("start a member on the restored data: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = member.Wait() // it is killed, or its output says why it has ended
		close(ended)
	}()
	alone := r.marker
	alone.ClientPort, alone.Member, alone.DataDir, alone.MetricsPort = int(port), KindRehearsal, filepath.Join(RehearsalDir(r.marker.DataDir), rehearsedData), 0
	pid := func(context.Context) (int, error) { return member.Process.Pid, nil }
	waiting, stop := r.Snapshots.Paces.WhileProcessGains(ctx, alone, r.stall(rehearsedStall), pid, r.gained)
	if err = r.compareAnswers(waiting, m, alone, ended); err != nil && ctx.Err() == nil && waiting.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(waiting), err)
	}
	stop()
	_ = member.Process.Kill() // it may have ended by itself
	<-ended
	if errors.Is(err, errRehearsedEnded) {
		return fmt.Errorf("%s: %w: %s: %s", m, err, member.ProcessState, said)
	}
	return err
}

// errRehearsedEnded is the error of a rehearsed member that has ended by itself.
var errRehearsedEnded = errors.New("the member that was started on the restored data has ended")

// compareAnswers waits until a member serves, and compares its answers with the manifest.
func (r *run) compareAnswers(ctx context.Context, m backup.Manifest, alone api.Marker, ended <-chan struct{}) error {
	client, err := r.awaitRehearsed(ctx, alone, ended)
	if err != nil {
		return err
	}
	defer client.Close()
	status, err := client.Status(ctx, client.Endpoints()[0])
	if err != nil {
		return endedOr(ended, fmt.Errorf("ask the rehearsed member for its status: %w", err))
	}
	for _, alarm := range etcdclient.Raised(status.Errors) { // a full database is no fault of the backup
		if strings.HasPrefix(alarm, "CORRUPT ") {
			return unfit{fmt.Errorf("%s was taken of a cluster that has found itself corrupt: alarm %s", m, alarm)}
		}
	}
	// All at the revision of the backup: leases that end meanwhile delete keys.
	all, err := client.Get(ctx, "", clientv3.WithFromKey(), clientv3.WithCountOnly(), clientv3.WithRev(m.Revision))
	if err != nil {
		return endedOr(ended, fmt.Errorf("count the keys of the rehearsed member: %w", err))
	}
	hash, err := client.HashKV(ctx, client.Endpoints()[0], m.Revision)
	if err != nil {
		return endedOr(ended, fmt.Errorf("ask the rehearsed member for its hash: %w", err))
	}
	found := []difference{{"keys", all.Count, m.Keys}, {"hash of the revision", hash.HashRevision, m.Revision}}
	if m.Hash != 0 { // 0: the cluster was compacted while the snapshot was taken
		found = append(found, difference{"hash", hash.Hash, m.Hash}, difference{"compacted revision", hash.CompactRevision, m.CompactRevision})
	}
	return differs(m, found)
}

// endedOr returns why a question was not answered.
func endedOr(ended <-chan struct{}, err error) error {
	select {
	case <-ended:
		return errRehearsedEnded
	case <-time.After(readyPoll):
		return err
	}
}

// awaitRehearsed waits until a member answers a read.
func (r *run) awaitRehearsed(ctx context.Context, alone api.Marker, ended <-chan struct{}) (*clientv3.Client, error) {
	for {
		client, err := r.local(alone).Dial(ctx)
		if err == nil {
			asking, cancel := context.WithTimeout(ctx, slotTimeout)
			_, err = client.Get(asking, "health")
			cancel()
			if err == nil {
				return client, nil
			}
			err = errors.Join(err, client.Close())
		}
		select {
		case <-ended:
			return nil, errRehearsedEnded
		case <-ctx.Done():
			return nil, fmt.Errorf("the member that was started on the restored data does not answer: %w: %w", ctx.Err(), err)
		case <-time.After(readyPoll):
		}
	}
}

// rehearsedFlags returns the flags of a rehearsed member: it listens on loopback alone, demands the certificates that
// the live member demands, and knows no other member.
func (r *run) rehearsedFlags(peer, client port) []string {
	cluster := r.marker.Cluster
	return []string{
		"--name=" + KindRehearsal, "--data-dir=" + rehearsedData, "--log-level=error", "--unsafe-no-fsync=true",
		"--initial-cluster=" + KindRehearsal + "=" + peer.url(), "--initial-advertise-peer-urls=" + peer.url(), "--listen-peer-urls=" + peer.url(),
		"--peer-client-cert-auth=true", "--peer-trusted-ca-file=" + r.Files.Path(api.PeerCAFile(cluster)),
		"--peer-cert-file=" + r.Files.Path(api.CertificateFile(cluster, api.KeyPeer)), "--peer-key-file=" + r.Files.Path(api.KeyFile(cluster, api.KeyPeer)),
		"--listen-client-urls=" + client.url(), "--advertise-client-urls=" + client.url(),
		"--client-cert-auth=true", "--trusted-ca-file=" + r.Files.Path(api.ClientCAFile(cluster)),
		"--cert-file=" + r.Files.Path(api.CertificateFile(cluster, api.KeyServer)), "--key-file=" + r.Files.Path(api.KeyFile(cluster, api.KeyServer)),
	}
}

// port is a port on loopback.
type port int

func (p port) url() string {
	return "https://" + net.JoinHostPort(etcdclient.Loopback, strconv.Itoa(int(p)))
}

// ownPorts are the ports of the live member, which may be down.
func (r *run) ownPorts() []int {
	return []int{r.marker.ClientPort, r.marker.PeerPort, r.marker.MetricsPort}
}

// firstPort is the first port that a rehearsed member may listen on: services of the host itself have lower ones.
const firstPort = 20000

// freeLoopback returns a port on which nobody listens, and which the kernel gives to no connection before the rehearsed
// member listens there. taken are ports that are meant for somebody else.
func (h Host) freeLoopback(taken ...int) (port, error) {
	first, last := h.proc().ConnectionPorts()
	var ports []int
	for p := firstPort; p <= math.MaxUint16; p++ {
		if (p < first || p > last) && !slices.Contains(taken, p) {
			ports = append(ports, p)
		}
	}
	rand.Shuffle(len(ports), func(i, j int) { ports[i], ports[j] = ports[j], ports[i] })
	var l net.Listener
	var err error
	// Where connections may have all of these ports, any other one is as good.
	for _, p := range append(ports[:min(len(ports), portsTried)], 0) {
		if l, err = net.Listen("tcp", net.JoinHostPort(etcdclient.Loopback, strconv.Itoa(p))); err == nil {
			return port(l.Addr().(*net.TCPAddr).Port), l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port for the rehearsed member: %w", err)
}

// portsTried is how many ports are tried that no connection has.
const portsTried = 100

// tailBytes is how much of a program's output an error quotes.
const tailBytes = 2048

// tail keeps the end of what is written to it.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailBytes):]
	return len(p), nil
}

func (t *tail) String() string { return strings.ToValidUTF8(string(bytes.TrimSpace(t.text)), "?") }
