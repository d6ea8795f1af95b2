package host

import (
	"os"
	"strings"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
)

// TestHighestRevisionOfAKilledMember holds that no client has seen a higher revision than the bound says, of a member
// whose database had not written what it had applied, or that had logged what nobody has agreed on.
func TestHighestRevisionOfAKilledMember(t *testing.T) {
	t.Parallel()
	t.Run("the database is behind", func(t *testing.T) {
		f := fleetOf(t, newAuthority(t), "a")[0]
		f.put(t, 200)
		seen := f.probe(t).Revision
		f.units.end(syscall.SIGKILL)
		l := f.etcd(dataDir).Log(false)
		bound, err := f.etcd(dataDir).HighestRevision()
		if err != nil || bound < seen || bound > seen+20 {
			t.Errorf("clients have seen revision %d, and the bound is %d, %v, of %+v", seen, bound, err, l)
		}
		stored, err := etcdfs.RevisionsIn(f.path(etcdfs.Database(dataDir)))
		if err != nil || stored.Newest+int64(l.Index-l.Applied) != bound {
			t.Errorf("the database has %+v, %v, the log %+v, and the bound is %d", stored, err, l, bound)
		}
	})
	t.Run("a tail that nobody has agreed on", func(t *testing.T) {
		f := survivor(t)
		seen := f.probe(t).Revision
		f.units.end(syscall.SIGKILL)
		if bound, err := f.etcd(dataDir).HighestRevision(); err != nil || bound <= seen {
			t.Errorf("clients have seen revision %d, the tail may have become the next, and the bound is %d, %v", seen, bound, err)
		}
	})
	t.Run("its last revision was compacted away", func(t *testing.T) {
		f := fleetOf(t, newAuthority(t), "a")[0]
		f.put(t, 5)
		seen := int64(0)
		f.client(t, func(c *clientv3.Client) {
			gone, err := c.Delete(t.Context(), "key-", clientv3.WithPrefix())
			if err != nil {
				t.Fatal(err)
			}
			seen = gone.Header.Revision
			if _, err := c.Compact(t.Context(), seen, clientv3.WithCompactPhysical()); err != nil {
				t.Fatal(err)
			}
		})
		f.units.end(syscall.SIGTERM)
		if bound, err := f.etcd(dataDir).HighestRevision(); err != nil || bound < seen {
			t.Errorf("clients have seen revision %d, and the bound is %d, %v", seen, bound, err)
		}
	})
}

// TestDatabaseThatIsDamaged holds that a restore can begin on a host whose data is beyond reading, and that a
// database which somebody has open is no such one.
func TestDatabaseThatIsDamaged(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.put(t, 50)
	if _, err := f.etcd(dataDir).HighestRevision(); err == nil || !strings.Contains(err.Error(), "has it open") {
		t.Errorf("while it runs: %v", err)
	}
	f.units.end(syscall.SIGTERM)
	path := f.path(etcdfs.Database(dataDir))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	zeroed := make([]byte, len(good))
	copy(zeroed, good[:8192]) // the head is whole, and leads to pages of nothing
	for name, text := range map[string]string{"cut off behind its head": string(good[:8192]), "no pages": string(zeroed), "empty": "", "no database": "hello"} {
		writeFile(t, f.Machine, etcdfs.Database(dataDir), text)
		if bound, err := f.etcd(dataDir).HighestRevision(); err != nil || bound > 200 {
			t.Errorf("%s: the bound is %d, %v", name, bound, err)
		}
		if name != "empty" { // which is one that is to be made
			if l := f.etcd(dataDir).Log(false); l.Error == "" && l.DatabaseError == "" {
				t.Errorf("%s: its log reads %+v", name, l)
			}
		}
	}
	under, err := f.Fence(t.Context(), "main", api.FenceRequest{Owner: fleetOwner, Source: "s", Snapshot: strings.Repeat("0", 64)})
	if err != nil || under.Stage != api.StageFenced || under.ClusterID == "" {
		t.Errorf("fenced is %+v, %v", under, err)
	}
}
