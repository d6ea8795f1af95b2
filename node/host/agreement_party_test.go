package host

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/freeport"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	hostunits "github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// machineParty is real machines in directories, whose members are real etcds.
type machineParty struct {
	t     *testing.T
	hosts map[string]*machineHost
	signs *signingServer

	written int // how many keys
}

type machineHost struct {
	*Machine
	place place
	live  *endingUnits
	held  *holding
}

// endingUnits tell of a member that has ended by itself, as one does that was removed, or that ends at each start.
type endingUnits struct {
	*liveUnits
	journal []string // of a member that ends at each start; nil: it does not
}

func (u *endingUnits) Start(ctx context.Context, unit string) error {
	if u.journal != nil && unit == api.Unit("main") {
		return u.fakeUnits.Start(ctx, unit)
	}
	return u.liveUnits.Start(ctx, unit)
}

func (u *endingUnits) State(ctx context.Context, unit string) (api.UnitState, error) {
	state, err := u.liveUnits.State(ctx, unit)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.journal != nil && unit == api.Unit("main") && state.ActiveState == "active" {
		state.ActiveState, state.SubState, state.MainPID, state.Restarts = "activating", "auto-restart", 0, lostRestarts
		return state, err
	}
	select {
	case <-u.ended: // nil, and so never, before the first start
		if u.process != nil {
			state.ActiveState, state.MainPID = "inactive", 0
		}
	default:
	}
	return state, err
}

func newMachineParty(t *testing.T, names []string) *machineParty {
	p := &machineParty{t: t, hosts: map[string]*machineHost{}, signs: newSigningServer(t)}
	for _, name := range agreementMembers { // those that are not asked anything have an address all the same
		p.hosts[name] = &machineHost{place: place{etcdclient.Loopback, freeport.Find(t), freeport.Find(t), freeport.Find(t)}}
	}
	for _, name := range names {
		m, units := newMachine(t)
		describe(t, m)
		for _, file := range []string{"/proc/net", "/proc/uptime"} {
			if err := os.Symlink(file, m.path(file)); err != nil {
				t.Fatal(err)
			}
		}
		live := &endingUnits{liveUnits: &liveUnits{fakeUnits: units, t: t}}
		m.Units = live
		units.run = func(string) error { return m.Backups().RunBackup(t.Context(), "main", true, func(string) {}) }
		m.Run = func(ctx context.Context, name string, args ...string) ([]byte, error) {
			if name != "journalctl" {
				return hostunits.Exec(ctx, name, args...)
			}
			return []byte(strings.Join(live.journal, "\n") + "\n"), nil
		}
		t.Cleanup(func() { live.end(syscall.SIGKILL) })
		h := p.hosts[name]
		h.Machine, h.live = m, live
	}
	return p
}

func (p *machineParty) place(at string) place { return p.hosts[at].place }
func (p *machineParty) comeToRest()           {}
func (p *machineParty) complaints() []string  { return nil }

func (p *machineParty) exchange(at string, r api.Request, content []byte, answer io.Writer, result any) error {
	if !p.hosts[at].stores().IsInstalled(storeA) {
		return &api.Error{Code: api.CodeNoStore, Message: "there is no store on it to call"}
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	p.hosts[at].Call(p.t.Context(), bytes.NewReader(append(append(line, '\n'), content...)), &out)
	answers := bufio.NewReader(&out)
	for {
		text, err := answers.ReadBytes('\n')
		if err != nil {
			return errNoAnswer
		}
		var line api.Line
		if err := json.Unmarshal(text, &line); err != nil {
			return err
		}
		switch {
		case line.Content > 0:
			if _, err := io.CopyN(answer, answers, int64(line.Content)); err != nil {
				return err
			}
		case line.Error != nil:
			return line.Error
		case line.Result != nil:
			if result == nil {
				return nil
			}
			return json.Unmarshal(line.Result, result)
		}
	}
}

func (p *machineParty) lock(at string) {
	installStore(p.t, p.hosts[at].Machine, storeA)
	p.hosts[at].held = hold(p.t, p.hosts[at].Machine, "main", agreementHolder, time.Hour)
}

func (p *machineParty) unlock(at string) { p.hosts[at].held.release(p.t) }

func (p *machineParty) edit(at string, edit func(*api.Marker)) {
	m := p.hosts[at].Machine
	marker, err := m.records().Marker("main")
	if err == nil {
		edit(marker)
		err = m.records().PutMarker(*marker, etcdOwner)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *machineParty) garble(at string, garbled bool) {
	file := p.hosts[at].path(api.MarkerFile("main"))
	text, err := os.ReadFile(file)
	if err == nil && garbled {
		text = append([]byte("?"), text...)
	} else {
		text = bytes.TrimPrefix(text, []byte("?"))
	}
	if err == nil {
		err = os.WriteFile(file, text, 0o640)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *machineParty) litter(at, dir string) {
	writeFile(p.t, p.hosts[at].Machine, dir+"/something", "of somebody")
}

func (p *machineParty) neighbour(at string, marker api.Marker) {
	m := p.hosts[at].Machine
	must(p.t, os.MkdirAll(m.path(api.ConfigDir(marker.Cluster)), 0o755))
	must(p.t, m.records().PutMarker(marker, etcdOwner))
}

func (p *machineParty) write(at string, keys int) {
	m := p.hosts[at].Machine
	marker, err := m.records().Marker("main")
	must(p.t, err)
	client, err := m.local(*marker).Dial(p.t.Context())
	must(p.t, err)
	defer client.Close()
	for range keys {
		p.written++
		must(p.t, persist(p.t, func() error {
			_, err := client.Put(p.t.Context(), fmt.Sprintf("key-%d", p.written), "value")
			return err
		}))
	}
}

func (p *machineParty) loseData(at string) {
	if err := os.RemoveAll(p.hosts[at].path(dataDir + "/member")); err != nil {
		p.t.Fatal(err)
	}
}

func (p *machineParty) freeze(at string, frozen bool) {
	signal := syscall.SIGCONT
	if frozen {
		signal = syscall.SIGSTOP
	}
	if err := p.hosts[at].live.process.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
}

func (p *machineParty) loseKey(at, key string) {
	if err := os.Remove(p.hosts[at].path(api.KeyFile("main", key))); err != nil {
		p.t.Fatal(err)
	}
}

func (p *machineParty) swapKey(at, key, by string) {
	other, err := os.ReadFile(p.hosts[at].path(api.KeyFile("main", by)))
	if err == nil {
		err = os.WriteFile(p.hosts[at].path(api.KeyFile("main", key)), other, 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *machineParty) refuseFlags(at string) {
	writeFile(p.t, p.hosts[at].Machine, api.InstalledStore(storeA), "#!/bin/sh\necho flag provided but not defined: -name >&2\nexit 2\n")
}

func (p *machineParty) stop(at string) {
	if err := p.hosts[at].live.Stop(p.t.Context(), api.Unit("main")); err != nil {
		p.t.Fatal(err)
	}
}

// unmount has the data lie elsewhere, and what is there now lie on another file system than was recorded.
func (p *machineParty) unmount(at string) {
	p.stop(at)
	m := p.hosts[at].Machine
	p.edit(at, func(marker *api.Marker) { marker.Mount += elsewhere })
	if err := os.Rename(m.path(dataDir), m.path(elsewhere)); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Mkdir(m.path(dataDir), 0o700); err != nil {
		p.t.Fatal(err)
	}
}

func (p *machineParty) mount(at string) {
	m := p.hosts[at].Machine
	p.edit(at, func(marker *api.Marker) { marker.Mount = strings.TrimSuffix(marker.Mount, elsewhere) })
	if err := os.Remove(m.path(dataDir)); err != nil { // empty, as a mount point is
		p.t.Fatal(err)
	}
	if err := os.Rename(m.path(elsewhere), m.path(dataDir)); err != nil {
		p.t.Fatal(err)
	}
}

const elsewhere = "/disk"

// fakeParty is the simulated world.
type fakeParty struct {
	world *nodetest.World
	mu    sync.Mutex
	said  []string
}

func newFakeParty() *fakeParty {
	p := &fakeParty{}
	var addresses []string
	for _, name := range agreementMembers {
		addresses = append(addresses, p.place(name).address)
	}
	p.world = nodetest.New(p, addresses...)
	p.world.RefuseFields(p.world.Stores["amd64"], laterField)
	p.world.RefuseOperations(p.world.Stores["amd64"], laterField)
	// What a run must not ask for is the world's own to say. Here it is asked what a host would answer.
	p.world.Waive(nodetest.KeepQuorum, nodetest.LeaderMoves, nodetest.OneChange, nodetest.CaughtUp, nodetest.VerifiedFirst, nodetest.HoldsThere,
		nodetest.AgreedTwice, nodetest.NewRevisions, nodetest.NoneServes, nodetest.OneServes, nodetest.Isolated)
	return p
}

func (p *fakeParty) Helper() {}

func (p *fakeParty) Errorf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (p *fakeParty) complaints() (said []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	said, p.said = p.said, nil
	return said
}

func (p *fakeParty) place(at string) place {
	return place{"192.0.2.1" + string('1'+at[0]-'a'), 2379, 2380, 2381}
}

func (p *fakeParty) host(at string) *nodetest.Host { return p.world.Host(p.place(at).address) }

// comeToRest lets as much time pass as a real cluster has.
func (p *fakeParty) comeToRest() {
	for range 4 {
		p.world.Tick()
	}
}

func (p *fakeParty) exchange(at string, r api.Request, content []byte, answer io.Writer, result any) error {
	store := p.world.Stores["amd64"]
	if content != nil {
		return p.host(at).Upload(context.Background(), store, r, bytes.NewReader(content), result)
	}
	return p.host(at).Download(context.Background(), store, r, answer, result)
}

func (p *fakeParty) lock(at string) {
	if err := p.host(at).Install(context.Background(), "main", p.world.Stores["amd64"], api.Target{}); err != nil {
		p.Errorf("%v", err)
	}
	if _, _, err := p.host(at).Lock(context.Background(), p.world.Stores["amd64"], "main", api.Holder{ID: agreementHolder, Who: "us"}); err != nil {
		p.Errorf("%v", err)
	}
}

func (p *fakeParty) unlock(at string)                       { p.host(at).LoseLock("main") }
func (p *fakeParty) edit(at string, edit func(*api.Marker)) { p.host(at).EditMarker("main", edit) }
func (p *fakeParty) litter(at, dir string)                  { p.host(at).Litter(dir) }
func (p *fakeParty) neighbour(at string, m api.Marker)      { p.host(at).Neighbour(m) }
func (p *fakeParty) write(at string, keys int)              { p.host(at).WriteMany("main", keys) }
func (p *fakeParty) loseKey(at, key string)                 { p.host(at).LoseKey("main", key) }
func (p *fakeParty) swapKey(at, key, by string)             { p.host(at).SwapKey("main", key, by) }
func (p *fakeParty) stop(at string)                         { p.host(at).StopUnit("main") }
func (p *fakeParty) refuseFlags(string)                     { p.world.RefuseFlags(p.world.Stores["amd64"], "--name") }

func (p *fakeParty) unmount(at string) { p.host(at).Unmount("main") }
func (p *fakeParty) mount(at string)   { p.host(at).Mount("main") }

func (p *fakeParty) loseData(at string) { p.host(at).EmptyData(dataDir) }

func (p *fakeParty) freeze(at string, frozen bool) {
	if frozen {
		p.host(at).Freeze("main")
	} else {
		p.host(at).Thaw("main")
	}
}

func (p *fakeParty) garble(at string, garbled bool) {
	p.host(at).MarkerError = ""
	if garbled {
		p.host(at).MarkerError = "it cannot be read"
	}
}

// settling is how long a real cluster may take until its hosts are as they should be. It only catches a hang, since on
// a busy machine many observations of a member may fail in a row.
const settling = 2 * time.Minute

// alike waits until both are the same, and says how they are then, and in what they are not the same.
func alike(stages map[string]*stage, hosts []string) (are map[string]map[string]bearing, diff string) {
	stages["fake"].comeToRest()
	are = map[string]map[string]bearing{"fake": stages["fake"].bearings(hosts)}
	are["machine"], diff = stages["machine"].becomes(are["fake"], hosts)
	return are, diff
}

// becomes waits until hosts are as they should be, and says how they are then, and in what they are not.
func (s *stage) becomes(should map[string]bearing, hosts []string) (are map[string]bearing, diff string) {
	for end := time.Now().Add(settling); ; time.Sleep(50 * time.Millisecond) {
		are = s.bearings(hosts)
		if diff = gocmp.Diff(are, should); diff == "" || time.Now().After(end) {
			return are, diff
		}
	}
}
