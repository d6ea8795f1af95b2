package upgrade_test

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// overheard is a member's host whose calls a test records.
type overheard struct {
	upgrade.Host
	heard func(api.Request)
}

func (o overheard) Call(ctx context.Context, store string, request api.Request, result any) error {
	o.heard(request)
	return o.Host.Call(ctx, store, request, result)
}

func (o overheard) Upload(ctx context.Context, store string, request api.Request, content io.Reader, result any) error {
	o.heard(request)
	return o.Host.Upload(ctx, store, request, content, result)
}

func (o overheard) Install(ctx context.Context, cluster, store string, target api.Target) error {
	o.heard(api.Request{Operation: nodetest.Install, Target: &target})
	return o.Host.Install(ctx, cluster, store, target)
}

// listener notes which calls change hosts, and holds that each says whom it means.
type listener struct {
	*site
	mu     sync.Mutex
	heard  map[api.Operation]bool
	knewID bool // a call named a member with its ID
}

// listenTo has a listener hear the calls of a site's runs from now on.
func listenTo(s *site) *listener {
	h := &listener{site: s, heard: map[api.Operation]bool{}}
	s.overhear = h.hear
	return h
}

// hear holds that a call which changes a host names the machine, the member that it is for, and what the host carries,
// as long as this run has not changed that.
func (h *listener) hear(m membership.Member, r api.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.Operation.ReadOnly() || r.Operation == api.OpSave {
		return
	}
	h.heard[r.Operation] = true
	host := h.world.Host(m.Address)
	if r.Target == nil || r.Target.MachineID != host.MachineID || r.Target.BootID == "" || r.Target.For != m.Name {
		h.Errorf("%s on the host of %s means %+v", r.Operation, m, r.Target)
		return
	}
	carried := api.Marker{}
	if marker := host.Marker(cluster); marker != nil {
		carried = *marker
	}
	if r.Target.Seen && (r.Target.Member != carried.Member || r.Target.MemberID != carried.MemberID || r.Target.Owner != carried.Owner) {
		h.Errorf("%s on the host of %s means %+v, and the host carries member %q of %q with the ID %q", r.Operation, m, r.Target, carried.Member, carried.Owner, carried.MemberID)
	}
	h.knewID = h.knewID || r.Target.Seen && r.Target.MemberID != ""
}

// TestEveryCallSaysWhomItMeans holds that each call that changes a host, in every kind of run, names the machine that
// was observed there, the member that the call is for, and the member that the host carried, with its ID.
func TestEveryCallSaysWhomItMeans(t *testing.T) {
	change := func(name string) func(*testing.T) *listener {
		return func(t *testing.T) *listener {
			l := operations[name].begin(t)
			h := listenTo(l.site)
			l.mustChange()
			return h
		}
	}
	for name, test := range map[string]struct {
		run   func(*testing.T) *listener
		calls []api.Operation // that have to be heard
	}{
		"create and destroy": {func(t *testing.T) *listener {
			h := listenTo(newSite(t, 3))
			place := &api.SigningPlace{Digest: "1", URL: "https://192.0.2.8", Key: secret.New("00")}
			h.cluster = h.cluster.RenewedOnHosts(&api.Renewal{Peers: place}, api.RenewalPlaces{Peers: true, Clients: true})
			first := h.mustForm()
			if err := h.retire(first.Owner, false); err != nil {
				t.Error(err)
			}
			h.mustBeBare()
			return h
		}, []api.Operation{api.OpPrepare, api.OpConfigure, api.OpStart, api.OpRenewOnHost, api.OpRetire, nodetest.Install}},
		"create over what another has left": {func(t *testing.T) *listener {
			h := listenTo(newSite(t, 3))
			h.world.Inject(nodetest.Fault{Operation: api.OpStart, Nth: 2, After: true, Extent: nodetest.Run})
			if _, err := h.form(context.Background()); err == nil {
				t.Error("the create was not cut short")
			}
			h.world.Heal()
			h.cluster.PeerPort = 12380
			h.mustForm()
			return h
		}, []api.Operation{api.OpSetAside}},
		"settings":     {change("settings"), []api.Operation{api.OpConfigure, api.OpRestart, api.OpSnapshot, api.OpMoveLeader}},
		"downgrade":    {change("downgrade"), []api.Operation{api.OpDowngrade, api.OpRestart}},
		"move all":     {change("move all"), []api.Operation{api.OpPrepare, api.OpStart, api.OpAddLearner, api.OpPromote, api.OpRemoveMember, api.OpRetire}},
		"replace dead": {change("replace dead, new address"), []api.Operation{api.OpAddLearner, api.OpPromote, api.OpRemoveMember}},
		"readdress":    {change("readdress"), []api.Operation{api.OpUpdateMember, api.OpRestart}},
		"rebuild":      {change("rebuild the leader"), []api.Operation{api.OpRemoveMember, api.OpSetAside, api.OpAddLearner, api.OpPromote}},
		"stopped":      {change("stopped"), []api.Operation{api.OpStart}},
		"NOSPACE":      {change("no space"), []api.Operation{api.OpDisarm}},
		"recovery":     {change("authorities rotated, recovered"), []api.Operation{api.OpRecover, api.OpAddLearner, api.OpPromote}},
		"renumbered":   {change("renumbered, all of them"), []api.Operation{api.OpStop, api.OpRecover, api.OpUpdateMember}},
		"restore": {func(t *testing.T) *listener {
			r := restores["healthy"](t)
			h := listenTo(r.site)
			r.mustRestore()
			return h
		}, []api.Operation{api.OpFetch, api.OpFence, api.OpRestore, api.OpAdvance}},
		"restore rolled back": {func(t *testing.T) *listener {
			r := restores["healthy"](t)
			h := listenTo(r.site)
			ctx, cancel := context.WithCancel(context.Background())
			r.atStep = func(line string) {
				if strings.Contains(line, " start ") {
					cancel()
				}
			}
			if _, err := r.restore(ctx, nil); err == nil {
				t.Error("the restore was not stopped")
			}
			r.atStep, r.cluster.Restore.RollBack = nil, true
			if _, err := r.restore(context.Background(), nil); err != nil {
				t.Error(err)
			}
			return h
		}, []api.Operation{api.OpFence, api.OpRollBack}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := test.run(t)
				for _, op := range test.calls {
					if !h.heard[op] {
						t.Errorf("nobody has called %s, which shows nothing of it: %v", op, slices.Sorted(maps.Keys(h.heard)))
					}
				}
				if !h.knewID {
					t.Error("no call named a member with its ID, which shows nothing of it")
				}
			})
		})
	}
}
