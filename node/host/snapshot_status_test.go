package host

import (
	"errors"
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
)

// TestSnapshotsAreReadAsEtcdutlReadsThem compares, on a real member's snapshots, what a verification says with what
// etcdutl says.
func TestSnapshotsAreReadAsEtcdutlReadsThem(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	for _, step := range []struct {
		name string
		do   func(*clientv3.Client) error
	}{
		{"no key", func(*clientv3.Client) error { return nil }},
		{"keys, some written several times", func(c *clientv3.Client) (err error) {
			for i := range 60 {
				_, put := c.Put(t.Context(), fmt.Sprint("key", i%40), fmt.Sprint(i))
				err = errors.Join(err, put)
			}
			return err
		}},
		{"a range deleted, and a key in one transaction with another", func(c *clientv3.Client) error {
			_, err := c.Delete(t.Context(), "key1", clientv3.WithPrefix())
			_, both := c.Txn(t.Context()).Then(clientv3.OpDelete("key2"), clientv3.OpPut("key1", ""), clientv3.OpPut("", "")).Commit()
			if both == nil {
				t.Error("etcd takes a key without a name")
			}
			_, one := c.Txn(t.Context()).Then(clientv3.OpDelete("key2"), clientv3.OpPut("key1", "")).Commit()
			return errors.Join(err, one)
		}},
		{"compacted", func(c *clientv3.Client) error {
			at, err := c.Get(t.Context(), "key3")
			if err == nil {
				_, err = c.Compact(t.Context(), at.Header.Revision, clientv3.WithCompactPhysical())
			}
			return err
		}},
		{"nothing left", func(c *clientv3.Client) error {
			gone, err := c.Delete(t.Context(), "k", clientv3.WithPrefix())
			if err == nil {
				_, err = c.Compact(t.Context(), gone.Header.Revision, clientv3.WithCompactPhysical())
			}
			return err
		}},
	} {
		f.client(t, func(c *clientv3.Client) {
			if err := step.do(c); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
		})
		s, err := f.Snapshot(t.Context(), "main", api.SnapshotRequest{Owner: fleetOwner, Keep: 9})
		if err != nil {
			t.Fatal(err)
		}
		says, err := snapshot.NewV3(zap.NewNop()).Status(f.path(s.Path))
		if err != nil {
			t.Fatal(err)
		}
		read, err := etcdfs.VerifySnapshot(s.Path, f.path(s.Path))
		if err != nil || read.Revision != says.Revision || read.Keys != says.TotalKey {
			t.Errorf("%s: %+v, %v, and etcdutl says %+v", step.name, read, err, says)
		}
		if says.Version != "" && read.Version != says.Version {
			t.Errorf("%s: it is of version %s, and etcdutl says %s", step.name, read.Version, says.Version)
		}
		t.Logf("%s: revision %d, %d keys, version %s", step.name, read.Revision, read.Keys, read.Version)
	}
}
