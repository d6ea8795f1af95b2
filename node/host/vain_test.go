package host

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/pace"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
)

// TestALongStartInVainIsRemembered: systemd forgets how long a process has run once it has started the next.
func TestALongStartInVainIsRemembered(t *testing.T) {
	t.Parallel()
	m, units := newMachine(t)
	record(t, m, api.Marker{Cluster: "main", Owner: "owner", Member: "a", DataDir: dataDir})
	m.Run = func(context.Context, string, ...string) ([]byte, error) { return nil, nil }
	ended := func(vain time.Duration) {
		t.Helper()
		units.vain = vain
		if err := m.Record(t.Context(), "main"); err != nil {
			t.Fatal(err)
		}
		units.vain = 0
	}
	wants := func(want time.Duration) {
		t.Helper()
		if state, err := m.unit(t.Context(), "main"); err != nil || state.Vain != want {
			t.Errorf("it took %s, want %s, %v", state.Vain, want, err)
		}
	}
	units.active[api.Unit("main")], units.restarts = "activating", 4
	wants(0)
	ended(80 * time.Second)
	wants(80 * time.Second)
	ended(90 * time.Second)
	wants(90 * time.Second)
	units.restarts = 0 // somebody has started it anew
	wants(0)
	units.restarts = 4
	ended(0) // it has served
	wants(0)
}

// TestDamageWhereAStartTakesLong looks at a member whose process takes minutes until it ends over its data: it hardly
// ever happens that a look falls between two starts.
func TestDamageWhereAStartTakesLong(t *testing.T) {
	t.Parallel()
	f := written(t)
	f.Run = func(context.Context, string, ...string) ([]byte, error) { return nil, nil }
	f.Now = func() time.Time { return time.Now().Add(time.Hour) } // the files are old
	const process = 7
	if err := os.Remove(f.path("/proc/uptime")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, f.Machine, "/proc/uptime", "1000.50 2000.00\n")
	runsFor := func(seconds int) {
		writeFile(t, f.Machine, "/proc/7/stat", "7 (etcd) S 1 1 1 0 -1 4194304 1 0 0 0 1 1 0 0 20 0 9 0 "+strconv.Itoa(100050-100*seconds)+" 1 1\n")
	}
	units := &ending{Units: f.units, from: math.MaxInt}
	f.Units = units
	f.units.active[api.Unit("main")], f.units.pid, f.units.restarts, f.units.vain = "activating", process, lostRestarts, 80*time.Second
	look := func(patience time.Duration) (api.Observation, time.Duration) {
		t.Helper()
		began := time.Now()
		o, err := f.Observe(t.Context(), "main", api.ObserveRequest{DataDir: dataDir, Patience: patience})
		if err != nil {
			t.Fatal(err)
		}
		return o, time.Since(began)
	}

	runsFor(70)
	if o, took := look(0); o.Data.Damage != "" || !o.Unit.Looping || took > patience {
		t.Errorf("nothing is wrong, and it says %q, looping %t, after %s", o.Data.Damage, o.Unit.Looping, took)
	}
	good, err := os.ReadFile(f.path(etcdfs.Database(dataDir)))
	if err != nil {
		t.Fatal(err)
	}
	change(t, f.path(etcdfs.Database(dataDir)), half)
	if o, _ := look(0); o.Data.Damage != "" {
		t.Errorf("the database was read while a process has it: %q", o.Data.Damage)
	}
	runsFor(125) // longer than half as long again: it stays
	if o, took := look(time.Minute); o.Data.Damage != "" || o.Unit.Looping || took > patience/2 {
		t.Errorf("of a process that stays it says %q, looping %t, after %s", o.Data.Damage, o.Unit.Looping, took)
	}

	runsFor(70)
	units.from = units.asked + 4
	o, _ := look(time.Minute)
	if o.Data.Damage == "" || units.asked < units.from {
		t.Errorf("the end of its process was not awaited: %q", o.Data.Damage)
	}
	// systemd has started it again.
	units.from = math.MaxInt
	for _, patience := range []time.Duration{0, time.Minute} {
		again, took := look(patience)
		if again.Data.Damage != o.Data.Damage || took > 30*time.Second {
			t.Errorf("what was found is not known any more: %q after %s", again.Data.Damage, took)
		}
	}
	// Somebody has put a good one back.
	writeFile(t, f.Machine, etcdfs.Database(dataDir), string(good))
	if o, _ := look(0); o.Data.Damage != "" {
		t.Errorf("the database is good, and it says %q", o.Data.Damage)
	}

	// The log shows it to anybody.
	files := f.etcd(dataDir).LogFiles()
	change(t, f.path(files[len(files)-1]), func(text []byte) []byte {
		copy(text[4096:], make([]byte, 64))
		text[4096] = 0xff
		return text
	})
	if says := f.damage(dataDir, lostRestarts).Find(t.Context()); says == "" {
		t.Fatal("the log is not damaged")
	}
	kept, err := filepath.Glob(f.path(filepath.Join(api.RunDir, "examined-*.json")))
	if err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	mustNotFail(t, os.Remove(kept[0]))
	if o, _ := look(0); o.Data.Damage == "" {
		t.Error("the log was not read")
	}
}

// TestALookWaitsForAStartThatComesFurther: however long that takes, and not for one that does nothing.
func TestALookWaitsForAStartThatComesFurther(t *testing.T) {
	m, _ := newMachine(t)
	const process = 7
	if err := os.Remove(m.path("/proc/uptime")); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	writeFile(t, m, "/proc/uptime", "10000.50 2000.00\n")
	// The process has run for 25 minutes.
	writeFile(t, m, "/proc/7/stat", "7 (etcd) S 1 1 1 0 -1 4194304 1 0 0 0 1 1 0 0 20 0 9 0 "+strconv.Itoa(1000050-100*1500)+" 1 1\n")
	o := api.Observation{Unit: api.UnitState{ActiveState: "activating", Restarts: lostRestarts, MainPID: process, Vain: 30 * time.Minute}, Data: api.Data{HasMember: true}}
	began := time.Unix(1_000_000_000, 0)
	did := func(read int64, busy time.Duration) procfs.Work {
		return procfs.Work{Process: process, Read: read, Busy: busy}
	}
	for name, test := range map[string]struct {
		at    func(minute int) procfs.Work
		waits int // minutes
	}{
		"one that reads":    {func(minute int) procfs.Work { return did(int64(minute)*pace.LeastRead, 0) }, 25},
		"one that computes": {func(minute int) procfs.Work { return did(0, time.Duration(minute)*10*time.Second) }, 25},
		"one that hangs":    {func(int) procfs.Work { return did(0, 0) }, 10},
		"one after another": {func(minute int) procfs.Work { return procfs.Work{Process: minute} }, 25},
	} {
		var idle idleness
		waited := 0
		for ; waited < 25 && m.maySoonCrash(o, time.Second, time.Duration(waited)*time.Minute, idle.of(test.at(waited), began.Add(time.Duration(waited)*time.Minute))); waited++ {
		}
		if waited != test.waits {
			t.Errorf("%s was waited for for %d minutes, and not for %d", name, waited, test.waits)
		}
	}
}

// ending imitates units of which the process of the one that is asked for has ended from a question on.
type ending struct {
	Units
	asked, from int
}

func (e *ending) State(ctx context.Context, unit string) (api.UnitState, error) {
	state, err := e.Units.State(ctx, unit)
	if e.asked++; e.asked >= e.from {
		state.MainPID = 0
	}
	return state, err
}
