package arrivals

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/durable"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
)

const dataDir = "/var/lib/etcd/main"

// TestWhatComesAgainTakesNoRoom: after a boot, the end of a part that is not trusted is truncated before free space is
// checked. What is trusted stays trusted, also if there is no free space.
func TestWhatComesAgainTakesNoRoom(t *testing.T) {
	h := Host{Files: files.Tree{Root: t.TempDir()}}
	sum := strings.Repeat("0", 64)
	r := api.FetchRequest{DataDir: dataDir, Source: api.Source{Upload: &api.Upload{SizeBytes: 2 * durable.Unsynced, SHA256: sum}}}
	part := ArrivingFile(dataDir, sum)
	if err := errors.Join(os.MkdirAll(filepath.Dir(h.Files.Path(part)), 0o755), os.WriteFile(h.Files.Path(part), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(h.Files.Path(part), durable.Unsynced+10); err != nil {
		t.Fatal(err)
	}
	arrived, err := h.Arrived(api.ArrivedRequest{DataDir: dataDir, SHA256: sum})
	if err != nil || arrived.Bytes != 10 {
		t.Fatalf("of the part count %d bytes, %v", arrived.Bytes, err)
	}
	r.From = arrived.Bytes
	from := &snapshots.Source{Size: r.Source.Upload.SizeBytes, SHA256: sum}
	for range 2 {
		before, _, err := h.begun(from, r)
		if err != nil || before != 10 {
			t.Fatalf("it begins behind byte %d, %v", before, err)
		}
		if info, err := os.Stat(h.Files.Path(part)); err != nil || info.Size() != 10 {
			t.Fatalf("the part takes %v, %v", info, err)
		}
		if arrived, err := h.Arrived(api.ArrivedRequest{DataDir: dataDir, SHA256: sum}); err != nil || arrived.Bytes != 10 {
			t.Fatalf("of the part count %d bytes now, %v", arrived.Bytes, err)
		}
	}
	// The part is shorter than the request says: it is not extended, and Arrive refuses it.
	r.From = 11
	if _, _, err := h.begun(from, r); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(h.Files.Path(part)); err != nil || info.Size() != 10 {
		t.Errorf("the part takes %v, %v", info, err)
	}
}
