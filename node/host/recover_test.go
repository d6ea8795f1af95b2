package host

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// survivor returns the leader of a cluster of three that has lost its quorum. Its last entry, key "tail", is committed
// by no other member.
func survivor(t *testing.T) *fleetMember {
	t.Helper()
	members := fleetOf(t, newAuthority(t), "a", "b", "c")
	leader, others := split(t, members)
	leader.put(t, 20)
	for {
		view := leader.probe(t)
		leader.formed(t, view)
		if leader.logAlone(t, others) {
			break
		}
		for _, f := range others {
			mustNotFail(t, f.units.Start(t.Context(), api.Unit("main")))
		}
		for _, f := range members {
			f.await(t, api.AwaitRequest{Members: len(members)})
		}
		leader, others = split(t, members)
	}
	if o, err := leader.Observe(t.Context(), "main", api.ObserveRequest{}); err != nil || o.Member.Healthy {
		t.Fatalf("without quorum it reads %+v, %v", o.Member, err)
	}
	return leader
}

// logAlone has a leader log what none of the others has, which are killed first. It fails where it takes the leader
// longer than it leads alone, as on a slow machine.
func (f *fleetMember) logAlone(t *testing.T, others []*fleetMember) bool {
	t.Helper()
	for _, other := range others {
		other.units.end(syscall.SIGKILL)
	}
	f.client(t, func(c *clientv3.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if _, err := c.Put(ctx, "tail", "value"); err == nil {
			t.Fatal("one of three has agreed with itself")
		}
	})
	return slices.ContainsFunc(f.etcd(f.marker.DataDir).LogFiles(), func(file string) bool {
		log, err := os.ReadFile(f.path(file))
		mustNotFail(t, err)
		return bytes.Contains(log, []byte("tail"))
	})
}

// mustRecover fails the test unless the member recovers, with all that it had logged.
func (f *fleetMember) mustRecover(t *testing.T, request api.RecoverRequest) {
	t.Helper()
	done, err := f.Recover(t.Context(), "main", request)
	if err != nil {
		t.Fatal(err)
	}
	f.mustHoldAll(t, done)
}

// mustHoldAll fails the test unless the recovered member serves all that it had logged, by flags that force nothing.
func (f *fleetMember) mustHoldAll(t *testing.T, done api.Recovered) {
	t.Helper()
	o := f.await(t, api.AwaitRequest{Members: 1})
	if slices.Contains(o.Flags, forced) || slices.Contains(o.Unit.Process.Flags, forced) || o.Guard != "" || o.Member.ClusterID != f.marker.ClusterID {
		t.Errorf("it runs by %+v, its flags are %q, and the guard says %q", o.Unit.Process, o.Flags, o.Guard)
	}
	f.client(t, func(c *clientv3.Client) {
		for key, want := range map[string]int64{"key-": 20, "tail": 1} {
			if found, err := c.Get(t.Context(), key, clientv3.WithPrefix()); err != nil || found.Count != want {
				t.Errorf("%s: %v, %v", key, found, err)
			}
		}
	})
	if !slices.Contains(o.Data.Aside, done.Path) || len(o.Data.Aside) != 1 {
		t.Errorf("the copy lies in %q, and there are %q", done.Path, o.Data.Aside)
	}
	if len(f.etcd(done.Path).LogFiles()) == 0 {
		t.Error("the copy holds no log")
	}
	mustHave(t, f.Machine, done.Path, etcdOwner, 0o700)
	if _, err := os.Stat(f.path(api.RecoveryFile("main"))); !os.IsNotExist(err) {
		t.Errorf("the recovery is said to be under way: %v", err)
	}
}

func TestRecoverASurvivor(t *testing.T) {
	t.Parallel()
	f := survivor(t)
	request := api.RecoverRequest{Owner: fleetOwner, ClusterID: f.marker.ClusterID, Timeout: patience}
	for name, spoil := range map[string]func(*api.RecoverRequest){
		"another cluster": func(r *api.RecoverRequest) { r.ClusterID = "1234" },
		"another owner":   func(r *api.RecoverRequest) { r.Owner = "another" },
		"no cluster":      func(r *api.RecoverRequest) { r.ClusterID = "" },
		"no time":         func(r *api.RecoverRequest) { r.Timeout = 0 },
	} {
		r := request
		spoil(&r)
		_, err := f.Recover(t.Context(), "main", r)
		mustRefuse(t, err)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	done, err := f.Recover(t.Context(), "main", request)
	if err != nil {
		t.Fatal(err)
	}
	f.mustHoldAll(t, done)
	pid := f.units.pid
	again, err := f.Recover(t.Context(), "main", request)
	if err != nil || again != done || f.units.pid != pid {
		t.Errorf("the second call: %+v, %v", again, err)
	}
	f.mustHoldAll(t, done)
}

// TestRecoverGoesOn cuts a recovery short, and holds that the next call makes no second copy and loses nothing.
func TestRecoverGoesOn(t *testing.T) {
	t.Parallel()
	f := survivor(t)
	request := api.RecoverRequest{Owner: fleetOwner, ClusterID: f.marker.ClusterID, Timeout: patience}
	f.units.fail["Start"] = errors.New("connection reset")
	cut, err := f.Recover(t.Context(), "main", request)
	mustFail(t, err, api.CodeFailed, "connection reset", "lies in "+cut.Path)
	delete(f.units.fail, "Start")
	f.units.end(syscall.SIGKILL)

	// As a call that was killed with its flags written leaves it, with a clock that has gone on.
	if err := f.putForced(f.marker, true); err != nil {
		t.Fatal(err)
	}
	f.Now = func() time.Time { return time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC) }
	done, err := f.Recover(t.Context(), "main", request)
	if err != nil || done != cut {
		t.Fatalf("%+v after %+v, %v", done, cut, err)
	}
	f.mustHoldAll(t, done)
}

// TestRecoverWithTheLogOnADiskOfItsOwn recovers from a member whose log lies behind a link of root's.
func TestRecoverWithTheLogOnADiskOfItsOwn(t *testing.T) {
	t.Parallel()
	f := survivor(t)
	log, disk := f.path(etcdfs.LogDir(dataDir)), f.path("/fast/wal")
	mustNotFail(t, f.stop(t.Context(), "main"))
	mustNotFail(t, errors.Join(os.MkdirAll(filepath.Dir(disk), 0o755), os.Rename(log, disk), os.Symlink(disk, log)))
	f.mustRecover(t, api.RecoverRequest{Owner: fleetOwner, ClusterID: f.marker.ClusterID, Timeout: patience})
	if info, err := os.Lstat(log); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("its log is %v, %v", info, err)
	}
}

// TestRecoverRefusesDataAheadOfItsLog holds that a member which etcd could not start by force is not touched.
func TestRecoverRefusesDataAheadOfItsLog(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	view := f.probe(t)
	f.formed(t, view)
	f.units.end(syscall.SIGTERM)
	delete(f.units.active, api.Unit("main"))
	old := f.etcd(dataDir).LogFiles()[0]
	text, err := os.ReadFile(f.path(old))
	if err != nil {
		t.Fatal(err)
	}
	f.start(t)
	f.await(t, api.AwaitRequest{Members: 1})
	f.put(t, 20)
	f.units.end(syscall.SIGTERM)
	delete(f.units.active, api.Unit("main"))
	writeFile(t, f.Machine, old, string(text))
	_, err = f.Recover(t.Context(), "main", api.RecoverRequest{Owner: fleetOwner, ClusterID: view.ClusterID, Timeout: patience})
	mustRefuse(t, err, "its database has applied entry", "restore a snapshot")
	if o, err := f.Observe(t.Context(), "main", api.ObserveRequest{}); err != nil || len(o.Data.Aside) > 0 || slices.Contains(o.Flags, forced) {
		t.Errorf("it reads %+v, %v", o.Data, err)
	}
}

// TestRecoveryLeftBehind has a recovery be given up before it forced anything, and the cluster come back and live on.
// The next recovery goes by the data as it is then: it makes a copy of its own, and holds what was written since.
func TestRecoveryLeftBehind(t *testing.T) {
	t.Parallel()
	members := fleetOf(t, newAuthority(t), "a", "b", "c")
	f, others := split(t, members)
	f.put(t, 10)
	view := f.probe(t)
	f.formed(t, view)
	for _, other := range others {
		other.units.end(syscall.SIGKILL)
	}
	request := api.RecoverRequest{Owner: fleetOwner, ClusterID: f.marker.ClusterID, Timeout: patience}
	f.units.fail["Start"] = errors.New("connection reset")
	cut, err := f.Recover(t.Context(), "main", request)
	mustFail(t, err, api.CodeFailed, "connection reset")
	delete(f.units.fail, "Start")
	f.units.end(syscall.SIGKILL)

	// By systemd, and by no call of ours: the record is left. One that says that all of the log counts as agreed on
	// would have kept it from that; an earlier store wrote none.
	err = f.records().PutRecovery(f.marker.Cluster, records.Recovery{ClusterID: f.marker.ClusterID, Copy: cut.Path})
	mustNotFail(t, err)
	for _, member := range members {
		if err := member.units.Start(t.Context(), api.Unit("main")); err != nil {
			t.Fatal(err)
		}
	}
	f.await(t, api.AwaitRequest{Members: 3})
	if under, err := f.records().Recovery("main"); err != nil || under == nil || under.Copy != cut.Path {
		t.Fatalf("what is left is %+v, %v", under, err)
	}
	f.put(t, 20)
	f.client(t, func(c *clientv3.Client) {
		if _, err := c.Put(t.Context(), "tail", "value"); err != nil {
			t.Fatal(err)
		}
	})
	_, err = f.Recover(t.Context(), "main", request)
	mustRefuse(t, err, "has its quorum: there is nothing to recover")
	f.probe(t) // it was not touched
	for _, other := range others {
		other.units.end(syscall.SIGKILL)
	}
	eventually(t, "its quorum is gone", func() bool { return !f.probe(t).Healthy })
	f.Now = func() time.Time { return time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC) }
	done, err := f.Recover(t.Context(), "main", request)
	if err != nil || done.Path == cut.Path {
		t.Fatalf("it goes on with %+v, %v", done, err)
	}
	if was, is := f.etcd(cut.Path).ReadLog(), f.etcd(done.Path).ReadLog(); is.Index <= was.Index {
		t.Errorf("the copy ends with %+v, and the one before with %+v", is, was)
	}
	if err := os.RemoveAll(f.path(cut.Path)); err != nil {
		t.Fatal(err)
	}
	f.mustHoldAll(t, done)

	// The record of one that has come to its end speaks for nothing either.
	leftover := `{"cluster_id":"` + f.marker.ClusterID + `","copy":"` + cut.Path + `"}`
	writeFile(t, f.Machine, api.RecoveryFile("main"), leftover)
	if err := f.Start(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
	if under, err := f.records().Recovery("main"); err != nil || under != nil {
		t.Errorf("started another way it has %+v, %v left", under, err)
	}
}

// TestRecoverRefusesOlderData holds that a member is not recovered from whose log ends before what it was chosen by.
func TestRecoverRefusesOlderData(t *testing.T) {
	t.Parallel()
	f := survivor(t)
	l, pid := f.etcd(dataDir).Log(true), f.units.pid
	request := api.RecoverRequest{Owner: fleetOwner, ClusterID: f.marker.ClusterID, Timeout: patience, Term: l.Term, Index: l.Index + 1}
	_, err := f.Recover(t.Context(), "main", request)
	mustRefuse(t, err, "somebody has put older data there")
	huge := filepath.Join(dataDir, "huge")
	writeFile(t, f.Machine, huge, "")
	if err := os.Truncate(f.path(huge), 1<<42); err != nil {
		t.Fatal(err)
	}
	request.Index = l.Index
	_, err = f.Recover(t.Context(), "main", request)
	mustRefuse(t, err, "a copy of the data in", "free some space")
	if err := os.Remove(f.path(huge)); err != nil {
		t.Fatal(err)
	}
	if f.units.pid != pid || f.units.active[api.Unit("main")] != "active" {
		t.Errorf("what is not recovered from was stopped: process %d, before %d", f.units.pid, pid)
	}
	if o, err := f.Observe(t.Context(), "main", api.ObserveRequest{}); err != nil || len(o.Data.Aside) > 0 {
		t.Errorf("it reads %+v, %v", o.Data, err)
	}

	// What cannot be copied once it has stopped is started again.
	var inTheWay string
	f.beforeRename = func(path string) {
		if strings.Contains(path, api.AsidePrefix) {
			inTheWay = f.path(path)
			_ = os.MkdirAll(inTheWay, 0o700)
		}
	}
	_, err = f.Recover(t.Context(), "main", request)
	mustFail(t, err, api.CodeFailed)
	f.beforeRename = nil
	if f.units.pid == pid || f.units.pid == 0 {
		t.Errorf("it runs as process %d, and did as %d", f.units.pid, pid)
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	f.Now = func() time.Time { return time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC) }
	f.mustRecover(t, request)
}

// TestRecoverRefusedWithOneLeftBehind has a recovery be refused where the record of another is left that was given up:
// the member, which has to stop for its list to be read, serves what it can as before.
func TestRecoverRefusedWithOneLeftBehind(t *testing.T) {
	t.Parallel()
	f := survivor(t)
	copied := dataDir + "-copied"
	if err := os.CopyFS(f.path(copied), os.DirFS(f.path(dataDir))); err != nil {
		t.Fatal(err)
	}
	l, huge := f.etcd(dataDir).Log(true), filepath.Join(dataDir, "huge")
	request := api.RecoverRequest{Owner: fleetOwner, ClusterID: f.marker.ClusterID, Timeout: patience, Term: l.Term, Index: l.Index}
	for name, refusal := range map[string]struct {
		arrange func()
		index   uint64
		says    string
	}{
		"a log that ends too early": {func() {}, l.Index + 1000, "somebody has put older data there"},
		"no room for a copy": {func() {
			writeFile(t, f.Machine, huge, "")
			if err := os.Truncate(f.path(huge), 1<<42); err != nil {
				t.Fatal(err)
			}
		}, l.Index, "a copy of the data in"},
	} {
		writeFile(t, f.Machine, api.RecoveryFile("main"), `{"cluster_id":"`+f.marker.ClusterID+`","copy":"`+copied+`","term":1,"index":3}`)
		refusal.arrange()
		r := request
		r.Index = refusal.index
		_, err := f.Recover(t.Context(), "main", r)
		mustRefuse(t, err, refusal.says)
		if f.units.pid == 0 || f.units.active[api.Unit("main")] != "active" {
			t.Errorf("%s: its unit is %q", name, f.units.active[api.Unit("main")])
		}
		if flags, err := f.flags("main"); err != nil || slices.Contains(flags, forced) {
			t.Errorf("%s: its flags are %q, %v", name, flags, err)
		}
		if err := os.RemoveAll(f.path(huge)); err != nil {
			t.Fatal(err)
		}
	}

	// What did not run is not started for a refusal.
	f.units.end(syscall.SIGTERM)
	f.units.active[api.Unit("main")] = "inactive"
	request.Index += 1000
	_, err := f.Recover(t.Context(), "main", request)
	mustRefuse(t, err, "somebody has put older data there")
	if f.units.process != nil {
		t.Error("it was started")
	}
}

// TestRecoverWithWhatDoesNotStart refuses a member whose database is damaged before it is touched, and gives up one
// that ends each time that it is started, with its words and a flag that forces nothing.
func TestRecoverWithWhatDoesNotStart(t *testing.T) {
	t.Parallel()
	f := survivor(t)
	request := api.RecoverRequest{Owner: fleetOwner, ClusterID: f.marker.ClusterID, Timeout: patience}
	f.units.end(syscall.SIGKILL)
	good, err := os.ReadFile(f.path(etcdfs.Database(dataDir)))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, f.Machine, etcdfs.Database(dataDir), strings.Repeat("\x00", len(good)))
	_, err = f.Recover(t.Context(), "main", request)
	mustRefuse(t, err, "cannot be recovered from", "restore a snapshot")
	writeFile(t, f.Machine, etcdfs.Database(dataDir), string(good))

	crashing := *f.Machine
	crashing.Units = f.units.fakeUnits // it starts nothing that stays
	f.units.looping = true
	began := time.Now()
	_, err = crashing.Recover(t.Context(), "main", request)
	mustFail(t, err, api.CodeFailed, "it ends each time that it is started", "its data as it was lies in")
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %s to give up", took)
	}
	if flags, err := f.flags("main"); err != nil || slices.Contains(flags, forced) {
		t.Errorf("its flags are %q, %v", flags, err)
	}
	f.units.looping, f.units.restarts = false, 0
	f.mustRecover(t, request)
}

// TestARecoveryThatIsCutShortStartsNobodyAmongOthers: once all of the log counts as agreed on, which nobody else has
// agreed on, the member starts alone or not at all, whoever starts it, until its recovery is gone on with.
func TestARecoveryThatIsCutShortStartsNobodyAmongOthers(t *testing.T) {
	t.Parallel()
	f := survivor(t)
	request := api.RecoverRequest{Owner: fleetOwner, ClusterID: f.marker.ClusterID, Timeout: patience}
	f.units.fail["Start"] = errors.New("connection reset")
	cut, err := f.Recover(t.Context(), "main", request)
	mustFail(t, err, api.CodeFailed, "connection reset")
	delete(f.units.fail, "Start")
	f.units.end(syscall.SIGKILL)
	// The guard runs as the system user.
	mustHave(t, f.Machine, api.RecoveryFile("main"), files.RootFor(etcdOwner), files.ConfigFile)

	const says = "must not meet the other voters"
	mustRefuse(t, f.Start(t.Context(), "main"), says, "recover_from", "rebuild", cut.Path)
	mustRefuse(t, f.Restart(t.Context(), "main", api.RestartRequest{Owner: fleetOwner}), says)
	if err := f.Guard("main"); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("the guard says %v", err)
	}
	f.apply(t) // as a survivor is that is renumbered
	if err := f.Guard("main"); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("once it is configured, the guard says %v", err)
	}
	if err := f.putForced(f.marker, true); err != nil {
		t.Fatal(err)
	}
	if err := f.Guard("main"); err != nil {
		t.Errorf("by force, the guard says %v", err)
	}

	done, err := f.Recover(t.Context(), "main", request)
	if err != nil || done != cut {
		t.Fatalf("%+v after %+v, %v", done, cut, err)
	}
	f.mustHoldAll(t, done)
	// As one that was cut short before its record ended.
	if err := f.records().PutRecovery(f.marker.Cluster, records.Recovery{ClusterID: f.marker.ClusterID, Copy: cut.Path, Agreed: true}); err != nil {
		t.Fatal(err)
	}
	mustNotFail(t, f.Restart(t.Context(), "main", api.RestartRequest{Owner: fleetOwner}))
	f.await(t, api.AwaitRequest{Members: 1})
	if err := f.records().PutRecovery(f.marker.Cluster, records.Recovery{ClusterID: f.marker.ClusterID, Copy: cut.Path, Agreed: true}); err != nil {
		t.Fatal(err)
	}
	f.units.end(syscall.SIGTERM)
	mustNotFail(t, f.Guard("main"))
	mustNotFail(t, f.Start(t.Context(), "main"))
}
