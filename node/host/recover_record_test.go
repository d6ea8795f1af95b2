package host

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// cutShort returns a survivor whose recovery was cut short once its whole log counts as committed, and the request.
func cutShort(t *testing.T) (*fleetMember, api.RecoverRequest) {
	t.Helper()
	f := survivor(t)
	request := api.RecoverRequest{Owner: fleetOwner, ClusterID: f.marker.ClusterID, Timeout: patience}
	f.units.fail["Start"] = errors.New("connection reset")
	if _, err := f.Recover(t.Context(), "main", request); err == nil {
		t.Fatal("it was not cut short")
	}
	delete(f.units.fail, "Start")
	f.units.end(syscall.SIGKILL)
	if under, err := f.records().Recovery("main"); err != nil || under == nil || !under.Agreed {
		t.Fatalf("the record is %+v, %v", under, err)
	}
	return f, request
}

// TestTheRecordOfARecoveryEndsBeforeOthersJoin has the end of a recovery cut off from its record: the member serves
// alone, and is given a learner. With the record it could not be started any more.
func TestTheRecordOfARecoveryEndsBeforeOthersJoin(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*fleetMember){
		"its configuration is synced": func(f *fleetMember) {
			// A member that does not answer, on a slow machine, is not known to be alone: the next call ends the
			// record.
			eventually(t, "the record ends", func() bool {
				f.apply(t)
				under, err := f.records().Recovery("main")
				return err == nil && under == nil
			})
		},
		"a learner is added": func(f *fleetMember) {
			_, err := f.AddLearner(t.Context(), "main", api.AddLearnerRequest{Owner: fleetOwner, PeerURL: "https://192.0.2.99:2380", Timeout: patience})
			mustNotFail(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := survivor(t)
			done, err := f.Recover(t.Context(), "main", api.RecoverRequest{Owner: fleetOwner, ClusterID: f.marker.ClusterID, Timeout: patience})
			mustNotFail(t, err)
			err = f.records().PutRecovery(f.marker.Cluster, records.Recovery{ClusterID: f.marker.ClusterID, Copy: done.Path, Agreed: true})
			mustNotFail(t, err)
			f.units.end(syscall.SIGTERM)
			mustNotFail(t, f.Guard("main"))
			mustNotFail(t, f.units.Start(t.Context(), api.Unit("main")))
			f.await(t, api.AwaitRequest{Members: 1})
			before(f)
			if under, err := f.records().Recovery("main"); err != nil || under != nil {
				t.Errorf("the record is %+v, %v", under, err)
			}
			f.client(t, func(c *clientv3.Client) {
				if list, err := c.MemberList(t.Context()); err == nil && len(list.Members) == 1 {
					_, err = c.MemberAddAsLearner(t.Context(), []string{"https://192.0.2.99:2380"})
					mustNotFail(t, err)
				}
			})
			mustNotFail(t, f.Restart(t.Context(), "main", api.RestartRequest{Owner: fleetOwner}))
		})
	}
}

// TestARecoveryIsGoneOnWithWhateverItsLogHolds has the forced start killed when it has written to the log, and applied
// nothing of that: the record stands, nothing is copied a second time, and the recovery comes to its end.
func TestARecoveryIsGoneOnWithWhateverItsLogHolds(t *testing.T) {
	t.Parallel()
	f, request := cutShort(t)
	if o, err := f.Observe(t.Context(), "main", api.ObserveRequest{DataDir: dataDir}); err != nil || o.GuardCheck != api.GuardAlone || !strings.Contains(o.Guard, "must not meet the other voters") {
		t.Errorf("it is observed as %s: %q, %v", o.GuardCheck, o.Guard, err)
	}
	under, err := f.records().Recovery("main")
	mustNotFail(t, err)
	under.Index-- // so the log is one entry longer than was copied
	err = f.records().PutRecovery(f.marker.Cluster, *under)
	mustNotFail(t, err)
	f.units.fail["Stop"] = errors.New("connection reset")
	if _, err := f.Recover(t.Context(), "main", request); err == nil {
		t.Fatal("it was not cut short again")
	}
	delete(f.units.fail, "Stop")
	if now, err := f.records().Recovery("main"); err != nil || now == nil || !now.Agreed || f.Guard("main") == nil {
		t.Errorf("cut short again, the record is %+v, %v, and the guard lets it start: %t", now, err, f.Guard("main") == nil)
	}
	done, err := f.Recover(t.Context(), "main", request)
	mustNotFail(t, err)
	if aside, err := f.dataDir(dataDir).Aside(); err != nil || len(aside) != 1 || aside[0] != done.Path {
		t.Errorf("aside lie %v, %v, and the copy is %s", aside, err, done.Path)
	}
}

// TestARecordWithoutItsDataKeepsNobodyFromJoining has the data moved aside, and the record left behind by a power cut.
func TestARecordWithoutItsDataKeepsNobodyFromJoining(t *testing.T) {
	t.Parallel()
	f, _ := cutShort(t)
	record, err := os.ReadFile(f.path(api.RecoveryFile("main")))
	mustNotFail(t, err)
	_, err = f.SetAside(t.Context(), "main", api.SetAsideRequest{Owner: fleetOwner, Why: "rebuild"})
	mustNotFail(t, err)
	writeFile(t, f.Machine, api.RecoveryFile("main"), string(record))
	f.marker.Phase, f.marker.MemberID = api.PhaseJoining, ""
	_, err = f.Prepare(t.Context(), "main", api.PrepareRequest{Marker: f.marker})
	mustNotFail(t, err)
	f.apply(t)
	mustNotFail(t, f.Guard("main"))
	if under, err := f.records().Recovery("main"); err != nil || under != nil {
		t.Errorf("the record is %+v, %v", under, err)
	}
}
