package acctest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestMachineIsPutBack has a virtual machine go back to a snapshot of its disk, behind what its member has
// acknowledged since, and with the record of that. The member ends over what its leader knows of it, and is built anew:
// no write is lost. Then the key by which its host asks it is gone while another machine is gone for good: an apply
// brings the key back, and the next replaces the machine.
func TestMachineIsPutBack(t *testing.T) {
	sample.Leave(t, "the executor's tests put machines back, and node/host's guards real members")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c", "d")})
	w := newWorkspace(t, l, configuration(t, l, setup{at: on("a", "b", "c")}))
	w.apply()
	b, c, ctl, endpoints := l.Host("b"), l.Host("c"), w.client(), w.endpoints()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(b.PowerOff())
	must(b.Keep())
	must(b.PowerOn(t.Context()))
	ctl.await(endpoints, "get", "x")
	must(c.PowerOff()) // so that b's disk is one of the two that acknowledge
	const writes = 40
	for n := range writes {
		ctl.await(endpoints[:1], "put", fmt.Sprintf("write/%d", n), "acknowledged") // once another leader is elected
	}
	must(c.PowerOn(t.Context()))
	ctl.await(endpoints, "get", "x")
	w.must("apply", "-refresh-only", "-auto-approve", "-no-color")

	// A leader that was elected since asks the member what it has, and fills it up.
	for try := 1; ; try++ {
		must(b.PutBack(t.Context()))
		ended := inHost(t, b, "timeout", "300", "sh", "-c", `until [ "$(systemctl show -P NRestarts etcd@prod)" -ge 5 ] ||
			systemctl -q is-active etcd@prod; do sleep 0.2; done; systemctl is-active etcd@prod; true`)
		if strings.TrimSpace(ended) != "active" {
			break
		}
		if try == 6 {
			t.Fatal("each time another leader was elected")
		}
		ctl.await(endpoints, "get", "x")
		ctl.await(endpoints[:1], "put", fmt.Sprintf("more/%d", try), "acknowledged")
	}
	if output, code := w.planCode(); code != 2 || !strings.Contains(flatten(output), "its machine was reset to an older state") {
		t.Errorf("the plan says nothing of the reset: %d\n%s", code, output)
	}
	w.apply()
	w.mustRollOut("remove b", "join b", "promote b")
	w.mustBeSettled()
	have := func() {
		t.Helper()
		for _, endpoint := range w.endpoints() {
			if keys := ctl.must(endpoint, "get", "--prefix", "write/", "--keys-only"); strings.Count(keys, "write/") != writes {
				t.Errorf("%s has\n%s", endpoint, keys)
			}
		}
	}
	have()

	inHost(t, b, "rm", "/etc/etcd/prod/tls/admin.key")
	must(c.PowerOff())
	w.apply()
	w.mustRollOut("renew certificates of b")
	w.write("main.tf", configuration(t, l, setup{at: map[string]string{"a": "a", "b": "b", "c": "d"}}))
	w.apply()
	w.mustRollOut("remove c", "join c", "promote c")
	w.mustBeSettled()
	have()
}

// TestAlarmsInASnapshot restores snapshots that were taken while alarms were raised: the cluster comes up, takes
// writes, and has no alarm.
func TestAlarmsInASnapshot(t *testing.T) {
	sample.Leave(t, "node/host's tests restore snapshots with alarms, by real etcd")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	v := savedCluster(t, l, setup{})
	for _, alarm := range []etcdserverpb.AlarmType{etcdserverpb.AlarmType_CORRUPT, etcdserverpb.AlarmType_NOSPACE} {
		raiseIn(t, filepath.Join(v.dir, "prod.db"), alarm)
	}
	v.restoring(nil, "")
	v.apply()
	v.mustBeRestored()
	if alarms := v.client().must(v.endpoints()[0], "alarm", "list"); strings.TrimSpace(alarms) != "" {
		t.Errorf("alarms: %s", alarms)
	}
	v.client().must(v.endpoints()[1], "put", "written", "after")
}

// raiseIn raises an alarm in a snapshot, as etcd writes it, with the checksum at its end.
func raiseIn(t *testing.T, file string, alarm etcdserverpb.AlarmType) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content[:len(content)-sha256.Size], 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := proto.Marshal(&etcdserverpb.AlarmMember{MemberID: 1, Alarm: alarm})
	if err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(file, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists([]byte("alarm"))
		if err != nil {
			return err
		}
		return bucket.Put(key, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if content, err = os.ReadFile(file); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	if err := os.WriteFile(file, append(content, sum[:]...), 0o600); err != nil {
		t.Fatal(err)
	}
}
