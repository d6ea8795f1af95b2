package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup/s3test"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/arrivals"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// runFetch has this test binary run a fetch as a process of its own, which reads from its stdin what to fetch.
const runFetch = "fetch"

func (m *Machine) fetchAsChild() error {
	var r api.FetchRequest
	if err := json.NewDecoder(os.Stdin).Decode(&r); err != nil {
		return err
	}
	_, err := m.arrivals().Fetch(context.Background(), "main", r, nil)
	return err
}

// stallingStorage is storage that sends this many bytes of an object, and then nothing until it is opened.
type stallingStorage struct {
	*httptest.Server
	mu     sync.Mutex
	left   int64         // of the content of objects
	opened chan struct{} // closed: it carries all
	served int64         // of the content of objects
	ranges []string      // of the requests for an object, each with what it asked for
}

func startStallingStorage(t *testing.T, storage *s3test.Server, key string) *stallingStorage {
	t.Helper()
	target, err := neturl.Parse(storage.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	l := &stallingStorage{}
	l.narrow(0)
	l.Server = httptest.NewServer(&httputil.ReverseProxy{
		FlushInterval: -1, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host // the host is signed
		},
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method == http.MethodGet && strings.HasSuffix(r.Request.URL.Path, key) {
				l.mu.Lock()
				l.ranges = append(l.ranges, r.Request.Header.Get("Range"))
				l.mu.Unlock()
				r.Body = &carried{ReadCloser: r.Body, stalling: l, ctx: r.Request.Context()}
			}
			return nil
		},
	})
	t.Cleanup(func() { l.widen(); l.Close() })
	return l
}

func (l *stallingStorage) narrow(bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left, l.opened, l.served, l.ranges = bytes, make(chan struct{}), 0, nil
}

func (l *stallingStorage) widen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.opened:
	default:
		close(l.opened)
	}
}

func (l *stallingStorage) seen() (served int64, ranges []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.served, l.ranges
}

// carried is the content of one answer.
type carried struct {
	io.ReadCloser
	stalling *stallingStorage
	ctx      context.Context
}

func (c *carried) Read(p []byte) (int, error) {
	c.stalling.mu.Lock()
	left, opened := c.stalling.left, c.stalling.opened
	c.stalling.mu.Unlock()
	if left <= 0 {
		select {
		case <-opened:
			left = int64(len(p))
		case <-c.ctx.Done():
			return 0, c.ctx.Err()
		}
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), left)])
	c.stalling.mu.Lock()
	defer c.stalling.mu.Unlock()
	c.stalling.left -= int64(n)
	c.stalling.served += int64(n)
	return n, err
}

// arrivedParts returns how many bytes are in parts that have arrived.
func arrivedParts(t *testing.T, m *Machine) (bytes int64) {
	t.Helper()
	entries, err := os.ReadDir(m.path(snapshotDir))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && arrivals.ArrivingName.MatchString(entry.Name()) {
			bytes += info.Size()
		}
	}
	return bytes
}

// TestFetchIsGoneOnWith holds that a fetch from storage that was cut off, or whose process was killed, goes on behind
// what has come; that one of another object in the same place begins anew; and that what lies on the host is believed
// no more than what comes.
func TestFetchIsGoneOnWith(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "a snapshot is bytes while it is on its way")
	_, saved, content := aSnapshot(t)
	_, other, otherContent := aSnapshot(t)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := backup.ParseRecipients(identity.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	storage := s3test.Start(t, s3test.Options{})
	storage.MakeBucket(t, "backups")
	at := func(endpoint, key string) *api.S3 {
		return &api.S3{Endpoint: endpoint, Region: s3test.Region, Bucket: "backups", Key: key, PathStyle: true, AccessKeyID: s3test.AccessKeyID, SecretAccessKey: secret.New(s3test.SecretAccessKey)}
	}
	bucket, err := arrivals.Bucket(*at(storage.Endpoint(), ""))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for name, to := range map[string]backup.Recipients{"in the clear": {}, "encrypted": recipients} {
		m, err := backup.Store(t.Context(), bucket, backup.Snapshot{
			Cluster: "main", Member: strings.Split(name, " ")[0], Owner: backup.Owner(fleetOwner), TakenAt: time.Now(), Revision: 31, SizeBytes: saved.SizeBytes, SHA256: saved.SHA256,
		}, bytes.NewReader(content), to)
		if err != nil {
			t.Fatal(err)
		}
		names[name] = m.Name
	}
	put := func(t *testing.T, key string, content []byte) {
		t.Helper()
		if err := bucket.Put(t.Context(), key, int64(len(content)), bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	askedBy := request
	request := func(from api.Source) api.FetchRequest {
		r := upload(nil)
		r.Source, r.Identity = from, secret.New(identity.String())
		return r
	}
	const third = 8 << 10

	for name, test := range map[string]func(stalling string) (key string, from api.Source){
		"an object": func(stalling string) (string, api.Source) {
			put(t, "an-object.db", content)
			return "an-object.db", api.Source{S3: at(stalling, "an-object.db")}
		},
		"a backup": func(stalling string) (string, api.Source) {
			return ".db", api.Source{Backup: names["in the clear"], In: at(stalling, "")}
		},
		"an encrypted backup": func(stalling string) (string, api.Source) {
			return ".db.age", api.Source{Backup: names["encrypted"], In: at(stalling, "")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			key, _ := test("")
			stalling := startStallingStorage(t, storage, key)
			_, from := test(stalling.URL)

			// The process is killed.
			stalling.narrow(third)
			var told bytes.Buffer
			if err := json.NewEncoder(&told).Encode(secret.Revealed(request(from))); err != nil {
				t.Fatal(err)
			}
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), asRun+"="+runFetch+" "+m.Root)
			child.Stdin, child.Stderr = &told, os.Stderr
			child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "a part has come", func() bool { return arrivedParts(t, m) == third })
			_ = child.Process.Kill()
			_ = child.Wait()

			// The next call is cut off.
			stalling.narrow(third)
			ctx, cut := context.WithCancel(t.Context())
			failed := make(chan error, 1)
			go func() { _, err := m.arrivals().Fetch(ctx, "main", request(from), nil); failed <- err }()
			eventually(t, "more has come", func() bool { return arrivedParts(t, m) == 2*third })
			cut()
			mustFail(t, <-failed, api.CodeFailed, fmt.Sprintf("%d of ", 2*third), "have arrived, and stay", "apply again to go on from there")

			stalling.narrow(0)
			stalling.widen()
			got, err := m.arrivals().Fetch(t.Context(), "main", request(from), nil)
			if err != nil || got.SHA256 != saved.SHA256 {
				t.Fatalf("fetched is %+v, %v", got, err)
			}
			mustHaveFetched(t, m, "restore-"+saved.SHA256+".db")
			served, ranges := stalling.seen()
			if last := ranges[len(ranges)-1]; last != fmt.Sprintf("bytes=%d-", 2*third) || served > int64(len(content))-third {
				t.Errorf("it asked for %q, and %d bytes of %d were sent", ranges, served, len(content))
			}
		})
	}

	// begin has a part of an object lie on a host.
	begin := func(t *testing.T, key string) (*Machine, *stallingStorage, api.FetchRequest) {
		t.Helper()
		put(t, key, content)
		m, _ := newMachine(t)
		stalling := startStallingStorage(t, storage, key)
		stalling.narrow(third)
		r := request(api.Source{S3: at(stalling.URL, key)})
		ctx, cut := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() { _, err := m.arrivals().Fetch(ctx, "main", r, nil); failed <- err }()
		eventually(t, "a part has come", func() bool { return arrivedParts(t, m) == third })
		cut()
		<-failed
		stalling.narrow(0)
		stalling.widen()
		return m, stalling, r
	}
	t.Run("its caller goes", func(t *testing.T) {
		put(t, "attended.db", content)
		m, _ := newMachine(t)
		describe(t, m)
		unhurried(t, 2*time.Second, func(silence time.Duration) error {
			m.Silence = silence
			if err := os.RemoveAll(m.path(snapshotDir)); err != nil {
				return err
			}
			held := hold(t, m, "main", "1", patience)
			defer held.release(t)
			stalling := startStallingStorage(t, storage, "attended.db")
			stalling.narrow(third)
			r := request(api.Source{S3: at(stalling.URL, "attended.db")})
			call := func() (caller *os.File, ended chan error) {
				stdin, caller, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = caller.Close() })
				ended = make(chan error, 1)
				var out bytes.Buffer
				go func() {
					var failed error
					if !m.Call(context.Background(), stdin, &out) {
						failed = errors.New(out.String())
					}
					ended <- failed
				}()
				if _, err := io.WriteString(caller, askedBy(t, api.Request{Operation: api.OpFetch, Holder: "1", Beats: true}, r)); err != nil {
					t.Fatal(err)
				}
				return caller, ended
			}
			caller, ended := call()
			for range 20 {
				time.Sleep(silence / 10)
				if _, err := io.WriteString(caller, "\n"); err != nil {
					return err
				}
			}
			if len(ended) > 0 || arrivedParts(t, m) != third {
				return fmt.Errorf("while its caller speaks, it has ended %d times with %d bytes", len(ended), arrivedParts(t, m))
			}
			select { // the caller says nothing any more, and does not hang up
			case <-ended:
			case <-time.After(patience):
				t.Fatal("it goes on without its caller")
			}
			if err := m.locks().Alone(t.Context(), "main.call", func() error { return nil }); err != nil {
				t.Errorf("the next call is not let in: %v", err)
			}
			stalling.narrow(0)
			stalling.widen()
			_, ended = call()
			if err := <-ended; err != nil {
				return err
			}
			if _, ranges := stalling.seen(); ranges[len(ranges)-1] != fmt.Sprintf("bytes=%d-", third) {
				t.Errorf("the next one asked for %q", ranges)
			}
			return nil
		})
	})
	t.Run("another object since", func(t *testing.T) {
		m, _, r := begin(t, "since.db")
		put(t, "since.db", otherContent)
		got, err := m.arrivals().Fetch(t.Context(), "main", r, nil)
		if err != nil || got.SHA256 != other.SHA256 {
			t.Errorf("fetched is %+v, %v", got, err)
		}
		mustHaveFetched(t, m, "restore-"+other.SHA256+".db")
	})
	t.Run("another object meanwhile", func(t *testing.T) {
		m, stalling, r := begin(t, "meanwhile.db")
		stalling.narrow(third)
		type fetched struct {
			api.Snapshot
			error
		}
		done := make(chan fetched, 1)
		go func() { s, err := m.arrivals().Fetch(t.Context(), "main", r, nil); done <- fetched{s, err} }()
		eventually(t, "more has come", func() bool { return arrivedParts(t, m) == 2*third })
		put(t, "meanwhile.db", otherContent)
		stalling.CloseClientConnections() // what was open goes on with nothing
		stalling.widen()
		if got := <-done; got.error != nil || got.SHA256 != other.SHA256 {
			t.Errorf("fetched is %+v", got)
		}
		mustHaveFetched(t, m, "restore-"+other.SHA256+".db")
	})
	t.Run("damaged on the host", func(t *testing.T) {
		m, stalling, r := begin(t, "damaged.db")
		entries, err := os.ReadDir(m.path(snapshotDir))
		if err != nil || len(entries) != 1 {
			t.Fatalf("there is %v, %v", entries, err)
		}
		writeFile(t, m, snapshotDir+"/"+entries[0].Name(), strings.Repeat("x", third))
		got, err := m.arrivals().Fetch(t.Context(), "main", r, nil)
		if err != nil || got.SHA256 != saved.SHA256 {
			t.Errorf("fetched is %+v, %v", got, err)
		}
		if served, ranges := stalling.seen(); served < int64(len(content)) {
			t.Errorf("%d bytes of %d were sent, asked for by %q", served, len(content), ranges)
		}
		mustHaveFetched(t, m, "restore-"+saved.SHA256+".db")
	})
	t.Run("gone since", func(t *testing.T) {
		m, _, r := begin(t, "gone.db")
		if err := bucket.Remove(t.Context(), "gone.db"); err != nil {
			t.Fatal(err)
		}
		_, err := m.arrivals().Fetch(t.Context(), "main", r, nil)
		mustRefuse(t, err, "holds no gone.db")
		_, err = m.arrivals().Fetch(t.Context(), "main", upload(content), bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		mustHaveFetched(t, m, "restore-"+saved.SHA256+".db")
	})
	t.Run("set aside by a call that was killed", func(t *testing.T) {
		m, _ := newMachine(t)
		const room = 512 << 20
		mountOn(t, m, "/var/lib/etcd", fmt.Sprint(room))
		r := upload(content)
		writeFile(t, m, arrivals.ArrivingFile(dataDir, r.Source.Upload.SHA256), string(content[:third]))
		part, err := os.OpenFile(m.path(arrivals.ArrivingFile(dataDir, r.Source.Upload.SHA256)), os.O_WRONLY, 0)
		err = errors.Join(err, m.arrivals().NoteSinceBoot(arrivals.ArrivingFile(dataDir, r.Source.Upload.SHA256)))
		if err == nil {
			err = unix.Fallocate(int(part.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, room-(8<<20))
		}
		if err != nil {
			t.Fatal(err)
		}
		part.Close()
		r.From = third
		if got, err := m.arrivals().Fetch(t.Context(), "main", r, bytes.NewReader(content[third:])); err != nil || got.SHA256 != saved.SHA256 {
			t.Errorf("fetched is %+v, %v", got, err)
		}
	})
	t.Run("here already, and its restore has taken the room", func(t *testing.T) {
		m, _ := newMachine(t)
		if err := os.MkdirAll(m.path(api.ConfigDir("main")), 0o755); err != nil {
			t.Fatal(err)
		}
		mountOn(t, m, "/var/lib/etcd", fmt.Sprint(saved.SizeBytes+disks.RestoreSpare/2))
		if _, err := m.Users.Ensure(t.Context(), api.SystemUser); err != nil {
			t.Fatal(err)
		}
		writeFile(t, m, api.FetchedSnapshot(dataDir, saved.SHA256), string(content))
		if _, err := m.arrivals().Fetch(t.Context(), "main", upload(content), nil); err == nil {
			t.Error("a restore that has not begun found room")
		}
		for _, stage := range []api.Stage{api.StageFenced, api.StageRestored, api.StageChecked} {
			under := records.Restoration{Restoration: api.Restoration{Stage: stage, Snapshot: saved.SHA256}}
			if stage == api.StageFenced {
				under.Snapshot = ""
			}
			if err := m.records().PutRestoration("main", &under); err != nil {
				t.Fatal(err)
			}
			if got, err := m.arrivals().Fetch(t.Context(), "main", upload(content), nil); err != nil || got.SHA256 != saved.SHA256 {
				t.Errorf("%s: fetched is %+v, %v", stage, got, err)
			}
		}
	})
	t.Run("no room for it encrypted and in the clear", func(t *testing.T) {
		m, _ := newMachine(t)
		// Room for one and what is restored from it, and not for two.
		size := 2*saved.SizeBytes + disks.RestoreSpare + disks.SnapshotSpare + saved.SizeBytes/2
		mountOn(t, m, "/var/lib/etcd", fmt.Sprint(size))
		got, err := m.arrivals().Fetch(t.Context(), "main", request(api.Source{Backup: names["encrypted"], In: at(storage.Endpoint(), "")}), nil)
		if err != nil || got.SHA256 != saved.SHA256 {
			t.Errorf("fetched is %+v, %v", got, err)
		}
	})
}
