package preflight

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/freeport"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

const token = "0123456789abcdef"

// asHost makes this test binary a host that times appends below this directory, until it is killed.
const asHost = "PREFLIGHT_TEST_AS_HOST"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asHost); dir != "" {
		for {
			file, err := nameless(dir)
			if err != nil {
				panic(err)
			}
			if _, err := file.Write(make([]byte, api.AppendBytes)); err != nil {
				panic(err)
			}
			file.Close()
		}
	}
	os.Exit(m.Run())
}

func on(root string) Host { return Host{Files: files.Tree{Root: root}} }

// TestAppendsAreTimed times appends on the real disk, in a data directory that is not there yet, and leaves nothing.
func TestAppendsAreTimed(t *testing.T) {
	root := t.TempDir()
	found, err := on(root).Run(t.Context(), api.PreflightRequest{Token: token, Timeout: time.Second, DataDir: "/var/lib/etcd/prod"})
	if err != nil || found.AppendError != "" {
		t.Fatal(err, found.AppendError)
	}
	a := found.Appends
	if a.Count < 1 || a.P50 <= 0 || a.P50 > a.P99 || a.P99 > a.Max || a.Count > mostAppends {
		t.Errorf("appends: %+v", a)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestAppendsNeedAFileSystemThatTakesFiles has one that takes none.
func TestAppendsNeedAFileSystemThatTakesFiles(t *testing.T) {
	found, err := on("/").Run(t.Context(), api.PreflightRequest{Token: token, Timeout: time.Second, DataDir: "/proc/etcd"})
	if err != nil || found.Appends != nil || !strings.HasPrefix(found.AppendError, "append to a file in /proc") {
		t.Errorf("/proc: %v, %+v", err, found)
	}
}

// TestNothingIsLeftAfterAKill kills what appends at any moment: no file has a name then, or the next preflight removes
// it.
func TestNothingIsLeftAfterAKill(t *testing.T) {
	dir := t.TempDir()
	for range 10 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), asHost+"="+dir)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
			t.Fatalf("left: %v", left)
		}
	}
	for _, name := range []string{namePrefix + "OLD", "sending-mine"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, err := unlinked(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "sending-mine" {
		t.Errorf("left: %v, %v", entries, err)
	}
	if n, err := file.Write([]byte("x")); n != 1 || err != nil {
		t.Errorf("write: %d, %v", n, err)
	}
}

func TestPercentile(t *testing.T) {
	var took []time.Duration
	for i := range 200 {
		took = append(took, time.Duration(i+1))
	}
	for p, want := range map[int]time.Duration{50: 100, 99: 198} {
		if got := percentile(took, p); got != want {
			t.Errorf("p%d of 1 to 200 is %d, want %d", p, got, want)
		}
	}
	if got := percentile(took[:1], 99); got != 1 {
		t.Errorf("p99 of one is %d", got)
	}
}

// peers are hosts on addresses of their own, all of this machine.
type peers map[string]*api.PreflightRequest

func three(t *testing.T) peers {
	p, ports := peers{}, map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		ports[name] = net.JoinHostPort("127.0.0.1", strconv.Itoa(freeport.Find(t)))
	}
	for name, at := range ports {
		r := &api.PreflightRequest{Member: name, Token: token, Listen: at, From: "127.0.0.1", Timeout: 20 * time.Second}
		for other, at := range ports {
			if other != name {
				r.Dial = append(r.Dial, api.PreflightPeer{Member: other, At: at, Answers: true})
				r.Await = append(r.Await, other)
			}
		}
		p[name] = r
	}
	return p
}

// meet has all hosts try at the same time, but for the delay of some.
func (p peers) meet(t *testing.T, ctx context.Context, delay map[string]time.Duration) map[string]api.Preflight {
	found := map[string]api.Preflight{}
	var mu sync.Mutex
	var group sync.WaitGroup
	for name, r := range p {
		group.Go(func() {
			time.Sleep(delay[name])
			is, err := on(t.TempDir()).Run(ctx, *r)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			found[name] = is
		})
	}
	group.Wait()
	return found
}

// TestPeersMeet has three hosts that begin one after another reach each other, and end once they have.
func TestPeersMeet(t *testing.T) {
	t.Parallel()
	p := three(t)
	begun := time.Now()
	for name, found := range p.meet(t, t.Context(), map[string]time.Duration{"b": 500 * time.Millisecond}) {
		if found.ListenError != "" || len(found.Unreached) > 0 {
			t.Errorf("%s: %+v", name, found)
		}
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("they took %s", took)
	}
	for name, r := range p { // the port is free for the member
		listener, err := net.Listen("tcp", r.Listen)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		listener.Close()
	}
}

// ending is a context whose time is over, and which has not ended yet.
type ending struct {
	context.Context
	end time.Time
}

func (e ending) Deadline() (time.Time, bool) { return e.end, true }

// TestEndOfTheTimeHidesNoReason: the last dial, which the end of the time cuts short, does not replace what the ones
// before it have found.
func TestEndOfTheTimeHidesNoReason(t *testing.T) {
	t.Parallel()
	closing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closing.Close()
	go func() {
		connection, err := closing.Accept()
		if err != nil {
			return
		}
		connection.Close()
	}()
	ctx, cancel := context.WithCancel(t.Context())
	end := time.Now().Add(dialPause)
	time.AfterFunc(10*dialPause, cancel)
	why := reach(ending{ctx, end}, api.PreflightRequest{Token: "token"}, api.PreflightPeer{Member: "b", At: closing.Addr().String(), Answers: true})
	if why != "something else answers there" {
		t.Errorf("it cannot be reached: %s", why)
	}
}

// TestWhoDoesNotAnswerIsNamed has a peer that is not there, a port of somebody else, another host than was meant, and a
// port that is taken.
func TestWhoDoesNotAnswerIsNamed(t *testing.T) {
	t.Parallel()
	p := three(t)
	taken, err := net.Listen("tcp", p["b"].Listen) // whatever comes is closed at once
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	go func() {
		for {
			connection, err := taken.Accept()
			if err != nil {
				return
			}
			connection.Close()
		}
	}()
	p["a"].Dial = append(p["a"].Dial, api.PreflightPeer{Member: "d", At: "127.0.0.1:1", Answers: true}, api.PreflightPeer{Member: "e", At: p["c"].Listen, Answers: true},
		api.PreflightPeer{Member: "f", At: taken.Addr().String()}, api.PreflightPeer{Member: "g", At: "nobody.invalid:2380"})
	for _, r := range p {
		r.Timeout = 5 * time.Second
	}
	p["c"].Await = append(p["c"].Await, "nobody") // it answers until the end
	found := p.meet(t, t.Context(), nil)
	if found["b"].ListenError != "address already in use" || found["a"].ListenError != "" {
		t.Errorf("b listens: %q, and a: %q", found["b"].ListenError, found["a"].ListenError)
	}
	unreached := found["a"].Unreached
	for member, says := range map[string]string{"b": "something else answers there", "d": "connection refused", "e": "the host of c answers there"} {
		if unreached[member] != says {
			t.Errorf("a cannot reach %s: %q, want %q", member, unreached[member], says)
		}
	}
	if unreached["g"] == "" || len(unreached) != 4 {
		t.Errorf("a cannot reach %v", unreached)
	}
	if len(found["c"].Unreached) != 1 || found["c"].Unreached["b"] != "something else answers there" {
		t.Errorf("c cannot reach %v", found["c"].Unreached)
	}
}

// TestOthersGetNoAnswer holds that a host answers peers of this preflight alone, and goes on for them.
func TestOthersGetNoAnswer(t *testing.T) {
	t.Parallel()
	p := three(t)
	says := make(chan string, 1)
	go func() {
		for {
			connection, err := net.Dial("tcp", p["a"].Listen)
			if err != nil {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			defer connection.Close()
			_, _ = connection.Write([]byte("fedcba9876543210 b\n"))
			text := make([]byte, 10)
			n, _ := connection.Read(text)
			says <- string(text[:n])
			return
		}
	}()
	for name, found := range p.meet(t, t.Context(), map[string]time.Duration{"b": time.Second}) {
		if len(found.Unreached) > 0 {
			t.Errorf("%s: %+v", name, found)
		}
	}
	if said := <-says; said != "" {
		t.Errorf("a stranger was answered: %q", said)
	}
}

// TestItEndsWithItsCaller holds that a host which waits for peers ends once nobody waits for it, and listens no more.
func TestItEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	r := *three(t)["a"]
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the caller has gone")
	time.AfterFunc(300*time.Millisecond, func() { cancel(gone) })
	if _, err := on(t.TempDir()).Run(ctx, r); !errors.Is(err, gone) {
		t.Errorf("run: %v", err)
	}
	for range 100 {
		listener, err := net.Listen("tcp", r.Listen)
		if err == nil {
			listener.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("it still listens")
}

// TestNamesAreLookedUp looks names up by this machine's own resolver.
func TestNamesAreLookedUp(t *testing.T) {
	found, err := on(t.TempDir()).Run(t.Context(), api.PreflightRequest{Token: token, Timeout: 5 * time.Second, Names: []string{"localhost", "nobody.invalid"}})
	if err != nil {
		t.Fatal(err)
	}
	if is := found.Lookups["localhost"]; is.Error != "" || !strings.Contains(strings.Join(is.Addresses, " "), "127.0.0.1") {
		t.Errorf("localhost: %+v", is)
	}
	if is := found.Lookups["nobody.invalid"]; is.Error == "" || len(is.Addresses) > 0 {
		t.Errorf("nobody.invalid: %+v", is)
	}
}
