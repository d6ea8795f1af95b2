package host

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// TestWhatWasLeftInABucketGoesFirst has a bucket take nothing as long as the parts of an upload that was killed lie in
// it. Those of one that is under way, for days, stay.
func TestWhatWasLeftInABucketGoesFirst(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "backups are files of one kind in a bucket, whichever etcd they are of")
	f := fleetOf(t, newAuthority(t), "a")[0]
	const key = "main/20260101T000000Z-r1-a.db"
	old := f.Now().Add(-72 * time.Hour).UTC().Format(time.RFC3339)
	parts := map[string]string{"killed": old, "slow": f.Now().Add(-time.Hour).UTC().Format(time.RFC3339)}
	var all sync.Mutex
	full := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all.Lock()
		defer all.Unlock()
		query := r.URL.Query()
		upload := query.Get("uploadId")
		switch {
		case r.Method == http.MethodDelete && upload != "":
			delete(parts, upload)
			full = full && upload != "killed"
			w.WriteHeader(http.StatusNoContent)
		case r.Method == http.MethodPut:
			if w.Header().Set("ETag", `"1"`); full {
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, "<Error><Code>QuotaExceeded</Code></Error>")
			}
		case upload != "":
			fmt.Fprintf(w, "<ListPartsResult><UploadId>%s</UploadId><Part><PartNumber>1</PartNumber><LastModified>%s</LastModified><ETag>1</ETag><Size>1</Size></Part></ListPartsResult>", upload, parts[upload])
		case query.Has("uploads"):
			fmt.Fprint(w, "<ListMultipartUploadsResult><Bucket>backups</Bucket>")
			for id := range parts {
				fmt.Fprintf(w, "<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>%s</Initiated></Upload>", key, id, old)
			}
			fmt.Fprint(w, "</ListMultipartUploadsResult>")
		default:
			fmt.Fprint(w, "<ListBucketResult><Name>backups</Name></ListBucketResult>")
		}
	}))
	defer server.Close()
	b := backupOf()
	b.Directory = ""
	b.S3 = &api.S3{Endpoint: server.URL, Region: "us-east-1", Bucket: "backups", PathStyle: true, AccessKeyID: "id", SecretAccessKey: secret.New("secret")}
	backedUp(t, b, f)
	// This bucket accepts objects and lists none.
	if err := f.run(t, backups.KindBackup, true); err == nil || strings.Contains(err.Error(), "QuotaExceeded") {
		t.Errorf("the run says %v", err)
	}
	all.Lock()
	defer all.Unlock()
	if full || len(parts) != 1 || parts["slow"] == "" {
		t.Errorf("there are parts of %v", parts)
	}
}
