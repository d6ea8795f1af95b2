package host

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// request is a line that asks for something.
func request(t *testing.T, r api.Request, body any) string {
	t.Helper()
	text, err := json.Marshal(secret.Revealed(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Version, r.Cluster, r.Target, r.Body = api.Version, "main", &api.Target{For: "a"}, text
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(line) + "\n"
}

// TestCallEndsWithItsCaller holds that a call that only waits ends once its caller hangs up or falls silent, and not
// before: a laptop that sleeps closes no connection.
func TestCallEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	await := api.AwaitRequest{ObserveRequest: api.ObserveRequest{DataDir: dataDir}, Timeout: api.LongestWait}
	for name, end := range map[string]func(*io.PipeWriter){
		"it hangs up":     func(w *io.PipeWriter) { _ = w.Close() },
		"it falls silent": func(*io.PipeWriter) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := starting(t, map[string]http.HandlerFunc{"/readyz": notYet})
			unhurried(t, 2*time.Second, func(silence time.Duration) error {
				m.Silence = silence
				stdin, caller := io.Pipe()
				ended := make(chan bool, 1)
				go func() { ended <- m.Call(context.Background(), stdin, io.Discard) }()
				line := request(t, api.Request{Operation: api.OpAwait, Beats: true}, await)
				for _, said := range append([]string{line}, strings.Split(strings.Repeat("\n ", 20), " ")[:20]...) {
					if _, err := io.WriteString(caller, said); err != nil {
						return err
					}
					select {
					case <-ended:
						return errors.New("it ended while its caller spoke")
					case <-time.After(silence / 10):
					}
				}
				end(caller)
				select {
				case <-ended:
				case <-time.After(patience):
					t.Fatal("it goes on without its caller")
				}
				return nil
			})
		})
	}
}

// TestCallOfAnOlderProvider holds that one that does not say that it speaks is not waited for to do so.
func TestCallOfAnOlderProvider(t *testing.T) {
	t.Parallel()
	m := starting(t, map[string]http.HandlerFunc{"/readyz": notYet})
	m.Silence = 10 * time.Millisecond
	ask := api.AwaitRequest{ObserveRequest: api.ObserveRequest{DataDir: dataDir}, Timeout: 4 * unitPoll}
	var out bytes.Buffer
	if !m.Call(t.Context(), strings.NewReader(request(t, api.Request{Operation: api.OpAwait}, ask)), &out) {
		t.Errorf("it answers %s", out.String())
	}
}

// TestUploadThatFallsSilent holds that a call that is sent something ends once nothing comes any more, and frees the
// host for the next one.
func TestUploadThatFallsSilent(t *testing.T) {
	t.Parallel()
	m, _ := newMachine(t)
	describe(t, m)
	m.Silence = 2 * time.Second
	held := hold(t, m, "main", "1", patience)
	defer held.release(t)
	stdin, caller := io.Pipe()
	out := &bytes.Buffer{}
	ended := make(chan bool, 1)
	go func() { ended <- m.Call(context.Background(), stdin, out) }()
	fetch := api.FetchRequest{DataDir: dataDir, MinorVersion: "3.7", Source: api.Source{Upload: &api.Upload{SizeBytes: 1 << 20, SHA256: strings.Repeat("ab", 32)}}}
	for _, said := range []string{request(t, api.Request{Operation: api.OpFetch, Holder: "1"}, fetch), "a", "part", "of it"} {
		if _, err := io.WriteString(caller, said); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("it waits for its caller still")
	}
	if !strings.Contains(out.String(), "nothing has arrived for 2s") {
		t.Errorf("it says %s", out)
	}
	if err := m.locks().Alone(t.Context(), "main.call", func() error { return nil }); err != nil {
		t.Errorf("the next call is not let in: %v", err)
	}
}

// TestAnUploadIsNoHeartbeat holds that no call takes content for signs of life, and loses it.
func TestAnUploadIsNoHeartbeat(t *testing.T) {
	t.Parallel()
	m, _ := newMachine(t)
	describe(t, m)
	held := hold(t, m, "main", "1", patience)
	defer held.release(t)
	stdin, caller, err := os.Pipe() // which stays open: its end would be that of the caller
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	if _, err := io.WriteString(caller, request(t, api.Request{Operation: api.OpFetch, Holder: "1", Beats: true}, upload([]byte("a snapshot")))+"a snapshot"); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if m.Call(t.Context(), stdin, &out) || !strings.Contains(out.String(), "writes no heartbeats") {
		t.Errorf("it answers %s", out.String())
	}
}

// TestLockOutlastsLateHeartbeats holds that a lock is not freed while bytes come in, behind which its heartbeats wait,
// and that it is once they do not.
func TestLockOutlastsLateHeartbeats(t *testing.T) {
	t.Parallel()
	store := func(cluster string) func(m *Machine) error {
		return func(m *Machine) error {
			part := m.path(filepath.Join(api.StoreRoot, ".incoming.6f0f2c2e-0a38-4a3c-8c51-6e4f3f3f0d6b.42."+cluster+"-AbCdEf", "part"))
			return errors.Join(os.MkdirAll(filepath.Dir(part), 0o755), os.WriteFile(part, []byte(time.Now().String()), 0o600))
		}
	}
	for name, touch := range map[string]func(*Machine) error{
		"content of a call":          func(m *Machine) error { m.locks().BytesCame("main")(); return nil },
		"a store":                    store("main"),
		"a store of another cluster": store("x-main"),
	} {
		isOurs := !strings.Contains(name, "another")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, _ := newMachine(t)
			unhurried(t, 3*time.Second, func(silence time.Duration) error {
				beats, _ := io.Pipe()
				freed := make(chan error, 1)
				taken := make(chan struct{})
				go func() {
					freed <- m.Lock(context.Background(), "main", api.LockRequest{Holder: api.Holder{ID: "1"}}, beats, silence, func() { close(taken) })
				}()
				<-taken
				for end := time.Now().Add(2 * silence); time.Now().Before(end); {
					if err := touch(m); err != nil {
						t.Fatal(err)
					}
					select {
					case err := <-freed:
						if !isOurs {
							return nil
						}
						return fmt.Errorf("freed while bytes came: %w", err)
					case <-time.After(silence / 20):
					}
				}
				if !isOurs {
					return errors.New("held though nothing comes for it")
				}
				select {
				case err := <-freed:
					if err == nil || !strings.Contains(err.Error(), "has been silent for") {
						t.Errorf("freed: %v", err)
					}
				case <-time.After(patience):
					t.Fatal("held though nothing comes any more")
				}
				return nil
			})
		})
	}
}

// stuckWriter takes one write, and then waits until it is freed.
type stuckWriter struct{ writing, free chan struct{} }

func (w stuckWriter) Write(p []byte) (int, error) {
	select {
	case w.writing <- struct{}{}:
	default:
	}
	<-w.free
	return len(p), nil
}

// TestSaveHoldsNoTransactionWhileItSends holds that a member does not keep its database open for a reader because the
// line to who wants the snapshot is thin: all of it lies in a file before the first byte is sent.
func TestSaveHoldsNoTransactionWhileItSends(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.client(t, func(c *clientv3.Client) {
		for i := range 12 { // more than lies in any buffer on the way
			if _, err := c.Put(t.Context(), fmt.Sprintf("big-%d", i), strings.Repeat("x", 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
	})
	reads := func() string { // as counted at the last commit
		f.put(t, 1)
		time.Sleep(300 * time.Millisecond)
		value := ""
		// A busy member is asked again.
		_ = f.local(f.marker).AskMetrics(t.Context(), "/metrics", func(_ int, body io.Reader) {
			for lines := bufio.NewScanner(body); lines.Scan(); {
				if v, found := strings.CutPrefix(lines.Text(), "etcd_mvcc_db_open_read_transactions "); found {
					value = v
				}
			}
		})
		return value
	}
	before := ""
	eventually(t, "transactions are counted", func() bool { before = reads(); return before != "" })
	stuck := stuckWriter{make(chan struct{}, 1), make(chan struct{})}
	saved := make(chan error, 1)
	go func() {
		_, err := f.Save(context.Background(), "main", api.SaveRequest{Owner: fleetOwner}, stuck)
		saved <- err
	}()
	<-stuck.writing
	eventually(t, "no transaction is held", func() bool { return reads() == before })
	close(stuck.free)
	if err := <-saved; err != nil {
		t.Error(err)
	}
}
