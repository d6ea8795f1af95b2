package host

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// drippingS3 is storage that accepts a byte of an upload now and then, and has nothing.
func drippingS3(t *testing.T, taking chan<- struct{}) *api.S3 {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>backups</Name><IsTruncated>false</IsTruncated></ListBucketResult>`)
			return
		}
		select {
		case taking <- struct{}{}:
		default:
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

// TestSlowStorageKeepsNoDirectoryWaiting: a bucket that takes for ever costs the directory beside it no backup, is
// given up once nothing moves, and what ended it is what the run says, whether that was its own bound or systemd.
func TestSlowStorageKeepsNoDirectoryWaiting(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "storage is slow in the same way for each")
	f := fleetOf(t, newAuthority(t), "a")[0]
	b := backupOf()
	taking := make(chan struct{}, 1)
	b.S3 = drippingS3(t, taking)
	backedUp(t, b, f)
	f.Stalls = 10 * time.Second
	err := f.run(t, backups.KindBackup, true)
	if err == nil || !strings.Contains(err.Error(), "s3: ") || !strings.Contains(err.Error(), "came no further for 10s") || strings.Contains(err.Error(), "endpoint, or make sure") {
		t.Errorf("the run says %v", err)
	}
	f.Stalls = 0
	for len(taking) > 0 {
		<-taking
	}
	stopped := errors.New("systemd has stopped it")
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	go func() {
		<-taking
		stop(stopped)
	}()
	if err := f.Backups().RunBackup(ctx, "main", true, func(string) {}); !errors.Is(err, stopped) || strings.Contains(err.Error(), "endpoint, or make sure") || f.last(t, backups.KindBackup).Error == "" {
		t.Errorf("a run that was stopped says %v", err)
	}
	b.S3 = nil
	backedUp(t, b, f)
	if found := f.backups(t); len(found.Backups) != 2 || len(found.Problems) > 0 {
		t.Errorf("there are %+v", found)
	}
}
