package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// drippingS3 is storage that takes a byte of what is put into it every now and then, and has nothing.
func drippingS3(t *testing.T) *api.S3 {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>backups</Name><IsTruncated>false</IsTruncated></ListBucketResult>`)
			return
		}
		for b := make([]byte, 1); ; {
			if _, err := r.Body.Read(b); err != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}))
	t.Cleanup(server.CloseClientConnections)
	return &api.S3{Endpoint: server.URL, Region: "us-east-1", Bucket: "backups", PathStyle: true, AccessKeyID: "id", SecretAccessKey: secret.New("secret")}
}

// TestSlowStorageKeepsNoDirectoryWaiting: a bucket that takes for ever costs the directory beside it no backup, is given up once
// nothing moves, and what ended it is what the run says, whether that was its own bound or systemd.
func TestSlowStorageKeepsNoDirectoryWaiting(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestLine(t, "storage is slow in the same way for each")
	f := fleetOf(t, newAuthority(t), "a")[0]
	b := backupOf()
	b.S3 = drippingS3(t)
	backedUp(t, b, f)
	f.Stalls = 2 * time.Second
	err := f.run(t, runBackup, true)
	if err == nil || !strings.Contains(err.Error(), "s3: ") || !strings.Contains(err.Error(), "came no further for 2s") || strings.Contains(err.Error(), "endpoint, or see") {
		t.Errorf("the run says %v", err)
	}
	f.Stalls = 0
	stopped := errors.New("systemd has stopped it")
	ctx, stop := context.WithCancelCause(t.Context())
	time.AfterFunc(4*time.Second, func() { stop(stopped) })
	if err := f.RunBackup(ctx, "main", true, func(string) {}); !errors.Is(err, stopped) || strings.Contains(err.Error(), "endpoint, or see") || f.last(t, runBackup).Error == "" {
		t.Errorf("a run that was stopped says %v", err)
	}
	b.S3 = nil
	backedUp(t, b, f)
	if found := f.backups(t); len(found.Backups) != 2 || len(found.Problems) > 0 {
		t.Errorf("there are %+v", found)
	}
}

// TestARunLastsWhileItMoves: what moves takes as long as it likes, what does not is ended, and what does not even end then is
// left behind.
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
			r := &run{Machine: &Machine{}, kind: runBackup}
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

// TestAListLastsWhileItMoves: many backups far away are listed for as long as that takes, and what says nothing is given up.
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
