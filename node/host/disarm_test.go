package host

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestDisarm holds that an alarm goes when its reason has gone, and no sooner.
func TestDisarm(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	restart := func() {
		t.Helper()
		f.apply(t)
		if err := f.Restart(t.Context(), "main", api.RestartRequest{Owner: fleetOwner}); err != nil {
			t.Fatal(err)
		}
		f.await(t, api.AwaitRequest{Members: 1})
	}
	f.config.Flags = append(f.config.Flags, "--quota-backend-bytes=4194304", "--max-request-bytes=1048576")
	withDefaults := f.config.Flags
	// etcd measures its database when it commits. With so few commits it is far above its quota by the first.
	f.config.Flags = append(slices.Clone(withDefaults), "--backend-batch-interval=1h", "--backend-batch-limit=100")
	restart()
	f.put(t, 20)
	alarm := "NOSPACE " + f.id
	var last int64
	f.client(t, func(c *clientv3.Client) {
		value := strings.Repeat("x", 256<<10)
		for range 200 {
			var answer *clientv3.PutResponse
			err := persist(t, func() (err error) { answer, err = c.Put(t.Context(), "big", value); return err })
			if errors.Is(err, rpctypes.ErrNoSpace) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			last = answer.Header.Revision
		}
	})
	eventually(t, "the alarm is raised", func() bool { return strings.Join(f.probe(t).Alarms, ",") == alarm })
	f.config.Flags = withDefaults
	restart()

	request := api.DisarmRequest{Owner: fleetOwner, Alarms: true}
	mustRefuse(t, f.Disarm(t.Context(), "main", request), "quota is 4194304", "raise")
	if alarms := f.probe(t).Alarms; len(alarms) != 1 {
		t.Errorf("the alarms are %q", alarms)
	}

	f.client(t, func(c *clientv3.Client) {
		if _, err := c.Compact(t.Context(), last, clientv3.WithCompactPhysical()); err != nil {
			t.Fatal(err)
		}
		// etcd 3.6 counts pages as free only with the next write, and a delete is one that it takes.
		for i := range 20 {
			remove := func() error { _, err := c.Delete(t.Context(), "key-"+strconv.Itoa(i)); return err }
			if err := persist(t, remove); err != nil {
				t.Fatal(err)
			}
			time.Sleep(readyPoll)
		}
	})
	eventually(t, "the space is free", func() bool { v := f.probe(t); return v.DBUsedBytes < v.DBSizeBytes/2 })
	before := f.probe(t)
	if err := f.Disarm(t.Context(), "main", api.DisarmRequest{Owner: fleetOwner}); err != nil {
		t.Fatal(err)
	}
	if v := f.probe(t); v.DBSizeBytes >= before.DBSizeBytes || len(v.Alarms) != 1 {
		t.Errorf("defragmented it reads %+v", v)
	}
	for range 2 {
		if err := f.Disarm(t.Context(), "main", request); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the alarm is gone", func() bool { return len(f.probe(t).Alarms) == 0 })
	f.put(t, 1)
}
