package backups

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// thinS3 is storage behind a slow connection, to which a part of an upload goes slowly. It is away for some time once a
// part has come.
func thinS3(t *testing.T, outage time.Duration) *api.S3 {
	t.Helper()
	const piece, pause = 128 << 10, 100 * time.Millisecond
	var back atomic.Pointer[time.Time] // when it is there again
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if at := back.Load(); at != nil && time.Now().Before(*at) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		for query.Has("partNumber") && back.Load() == nil {
			if n, _ := io.CopyN(io.Discard, r.Body, piece); n < piece {
				at := time.Now().Add(outage)
				back.Store(&at)
				break
			}
			time.Sleep(pause)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case query.Has("uploads"):
			fmt.Fprint(w, `<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>`)
		case query.Has("partNumber"):
			w.Header().Set("ETag", "part")
		case r.Method == http.MethodPost:
			fmt.Fprint(w, `<CompleteMultipartUploadResult><Bucket>backups</Bucket><Key>main/x</Key><ETag>whole</ETag></CompleteMultipartUploadResult>`)
		}
	}))
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateNew {
			_ = c.(*net.TCPConn).SetReadBuffer(piece) // what the kernel takes in has gone out
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return &api.S3{Endpoint: server.URL, Region: "us-east-1", Bucket: "backups", PathStyle: true, AccessKeyID: "id", SecretAccessKey: secret.New("secret")}
}

// TestAPartThatGoesSlowlyIsNoStall: a part that takes a slow connection longer than the bound is no stall, and an
// outage behind it counts from the last byte that went out. Beside other tests the process may get no CPU for seconds,
// in which nothing goes out either: the bound is well above that.
func TestAPartThatGoesSlowlyIsNoStall(t *testing.T) {
	t.Parallel()
	const bound, outage = 10 * time.Second, 5 * time.Second
	h := newHost(t)
	h.Stalls = bound
	all, err := h.destinations(t.Context(), api.Backup{S3: thinS3(t, outage)})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("a snapshot", 1700<<10) // more than a part
	began := time.Now()
	err = backup.WhileItMoves(t.Context(), bound, "the upload", func(ctx context.Context, moved func()) error {
		return all[0].tracked(moved).Put(ctx, "main/x", int64(len(text)), strings.NewReader(text))
	})
	if took := time.Since(began); err != nil || took < bound+outage {
		t.Errorf("after %s: %v", took, err)
	}
}

// TestARunLastsWhileItMoves: what moves takes as long as it likes, what does not is ended, and what does not even end
// then is left behind.
func TestARunLastsWhileItMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			do    func(context.Context, *run) (string, error)
			took  time.Duration
			ended bool
			left  bool
		}{
			"it moves": {func(ctx context.Context, r *run) (string, error) {
				for range 10 {
					select {
					case <-time.After(runStall - time.Second):
						r.moved()
					case <-ctx.Done():
						return "", context.Cause(ctx)
					}
				}
				return "a backup", nil
			}, 10 * (runStall - time.Second), false, false},
			"it waits for ever": {func(ctx context.Context, _ *run) (string, error) {
				<-ctx.Done()
				return "", context.Cause(ctx)
			}, runStall, true, false},
			"it does not end": {func(_ context.Context, r *run) (string, error) {
				time.Sleep(runStall + 2*stopGrace)
				r.result.Backup = "one that came too late"
				return "a backup", nil
			}, runStall + stopGrace, true, true},
		} {
			r := &run{kind: KindBackup}
			began := time.Now()
			done, err := r.guarded(t.Context(), func(ctx context.Context) (string, error) { return test.do(ctx, r) })
			if took := time.Since(began); took != test.took || (err != nil) != test.ended || (done == "") != test.ended || (r.left != nil) != test.left {
				t.Errorf("%s: %q, %v after %s; left behind: %v", name, done, err, took, r.left != nil)
			}
			if test.ended && !strings.Contains(err.Error(), "came no further for 6h0m0s") {
				t.Errorf("%s: it says %v", name, err)
			}
			time.Sleep(2 * stopGrace)
		}
	})
}

// manyFar is a destination with many backups, each of which takes its time to be read, or never is.
type manyFar struct {
	backup.Destination
	many  int
	hangs bool
}

func (m manyFar) List(context.Context, string) (all []backup.Object, err error) {
	for i := range m.many {
		name := fmt.Sprintf("main/20260304T120000Z-r%d-a", i+1)
		all = append(all, backup.Object{Key: name + ".db", Size: 1}, backup.Object{Key: name + ".json", Size: 1})
	}
	return all, nil
}

func (m manyFar) Open(ctx context.Context, _ string) (io.ReadCloser, error) {
	if m.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	time.Sleep(time.Minute)
	return io.NopCloser(strings.NewReader("{}")), nil
}

// TestAListLastsWhileItMoves: many backups far away are listed for as long as that takes, and what says nothing is
// given up.
func TestAListLastsWhileItMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		found, err := list(t.Context(), destination{Destination: manyFar{many: 400}, kind: "s3"}, "main", "")
		if took := time.Since(began); err != nil || len(found.Problems) != 400 || took < 10*listStall {
			t.Errorf("after %s there are %d, %v", took, len(found.Problems), err)
		}
		began = time.Now()
		_, err = list(t.Context(), destination{Destination: manyFar{many: 400, hangs: true}, kind: "s3"}, "main", "")
		if took := time.Since(began); took != listStall || err == nil || !strings.Contains(err.Error(), "came no further for 2m0s") {
			t.Errorf("after %s: %v", took, err)
		}
	})
}
