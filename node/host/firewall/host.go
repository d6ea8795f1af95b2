package firewall

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/unitfiles"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// Host is a host that filters who reaches its members.
type Host struct {
	Files   files.Tree
	Records records.Records
	Locks   locks.Host
	Units   unitfiles.Systemd
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error) // nil: by the host's resolver
	Pause   func(ctx context.Context, d time.Duration) error             // nil: by the clock
}

const (
	// A resolver that is away is awaited for so long, and not by an observation.
	resolveTimeout = 10 * time.Second
	glanceTimeout  = 2 * time.Second
	// A member that was cut off connects anew every 100 ms.
	looks, lookPause = 4, 250 * time.Millisecond
)

// alone runs do while nothing else on this host writes or lays down the cluster's table.
func (h Host) alone(ctx context.Context, cluster string, do func() error) error {
	return h.Locks.Alone(ctx, cluster+".firewall", do)
}

func (h Host) unitFiles() unitfiles.Units { return unitfiles.Units{Files: h.Files, Systemd: h.Units} }

// settings are what FirewallFile holds.
type settings struct {
	api.Firewall
	Addresses map[string][]netip.Addr `json:"addresses"` // that members' names had when the table was laid down last
}

// errSettings is said of a FirewallFile that no call of this store can have written.
var errSettings = errors.New("the file that says who may reach this member cannot be read: apply again")

// SetUp has the host filter by a table of its own for the cluster, and lay it down before each start of the member; or
// filter no longer.
//
// The file comes first, since whoever finds it removes everything else with it.
func (h Host) SetUp(ctx context.Context, cluster string, r api.FirewallRequest) error {
	if _, err := h.Records.Owned(cluster, r.Owner); err != nil {
		return err
	}
	if r.Firewall == nil {
		return h.Disable(ctx, cluster)
	}
	if err := r.Firewall.Check(); err != nil {
		return err
	}
	if err := unusable(); err != nil {
		return err
	}
	by, err := h.settings(cluster)
	if err != nil && !errors.Is(err, errSettings) {
		return err
	}
	next := settings{Firewall: *r.Firewall, Addresses: map[string][]netip.Addr{}}
	maps.Copy(next.Addresses, r.Known)
	if by != nil {
		maps.Copy(next.Addresses, by.Addresses)
	}
	if next.Addresses, err = h.lookAgain(ctx, next, resolveTimeout); err != nil {
		return err
	}
	text, err := UnitText(cluster)
	if err != nil {
		return api.Refuse("%s", err)
	}
	unit := api.FirewallUnit(cluster)
	err = h.alone(ctx, cluster, func() error {
		if err := h.mustKeepPeers(ctx, cluster, next); err != nil {
			return err
		}
		if err := h.put(cluster, next); err != nil {
			return err
		}
		if err := h.unitFiles().Put(ctx, []string{unit}, map[string]string{unit: text}); err != nil {
			return err
		}
		return next.table(cluster).replace()
	})
	if err != nil {
		return err
	}
	return h.Units.Start(ctx, unit) // which waits for the lock too
}

// mustKeepPeers refuses the first firewall of a host that would shut out somebody who is connected to its peer port, or
// connects to it within a second: a member whose packets leave by another address than the one that the cluster knows
// would be lost to the others.
func (h Host) mustKeepPeers(ctx context.Context, cluster string, next settings) error {
	if by, err := h.settings(cluster); by != nil || err != nil && !errors.Is(err, errSettings) {
		return err // whoever is connected was let in, and may be one whom this is to shut out
	}
	known := next.members()
	for look := range looks {
		if look > 0 {
			if err := h.pause(ctx, lookPause); err != nil {
				return err
			}
		}
		connected, err := (procfs.FS{Root: h.Files.Root}).Connected(next.PeerPort)
		if err != nil {
			return err
		}
		for _, from := range connected {
			if !slices.Contains(known, from.WithZone("")) {
				return api.Refuse("%s is connected to peer port %d of this host, and is the address of no member: if a member's packets leave by it, a firewall would shut that member out. "+
					"Give this member an address by which its packets leave, or end the connection if it is no member's, and apply again", from, next.PeerPort)
			}
		}
	}
	return nil
}

func (h Host) pause(ctx context.Context, d time.Duration) error {
	if h.Pause != nil {
		return h.Pause(ctx, d)
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// UnitText is the unit that lays a cluster's table down.
func UnitText(cluster string) (string, error) {
	return systemd.RenderFirewall(systemd.FirewallOptions{Cluster: cluster, Store: api.SelectedStore(cluster), ConfigDir: api.ConfigDir(cluster), RunDir: api.RunDir})
}

// LayDown lays the table of a cluster down as the host was last told, as its unit does before the member starts. A name
// keeps the addresses that it had, besides those that it has now, until the next apply: a resolver that is away, or
// wrong, keeps no member from its peers.
func (h Host) LayDown(ctx context.Context, cluster string) error {
	return h.alone(ctx, cluster, func() error {
		by, err := h.settings(cluster)
		if err != nil || by == nil {
			return err
		}
		now := *by
		now.Addresses, _ = h.lookAgain(ctx, *by, resolveTimeout) // all had one when the host was told
		for peer, had := range by.Addresses {
			now.Addresses[peer] = sorted(slices.Concat(had, now.Addresses[peer]))
		}
		if err := now.table(cluster).replace(); err != nil || reflect.DeepEqual(now, *by) {
			return err
		}
		return h.put(cluster, now)
	})
}

// Disable removes all by which the host filters for a cluster, the file and the unit by which it is known last. A host
// that does not filter is left as it is: it may know nothing of nftables.
func (h Host) Disable(ctx context.Context, cluster string) error {
	file := h.Files.Path(api.FirewallFile(cluster))
	if !exists(file) && !h.hasUnit(cluster) {
		return nil
	}
	return h.alone(ctx, cluster, func() error {
		if err := remove(api.FirewallTable(cluster)); err != nil && !errors.Is(err, errNoNftables) {
			return err
		}
		if err := h.unitFiles().Put(ctx, []string{api.FirewallUnit(cluster)}, nil); err != nil {
			return err
		}
		if err := files.Remove(files.NextName(file)); err != nil {
			return err
		}
		return files.Remove(file)
	})
}

// hasUnit tells whether the host has the unit by which it lays the table down.
func (h Host) hasUnit(cluster string) bool {
	return exists(h.Files.Path(filepath.Join(unitfiles.Dir, api.FirewallUnit(cluster))))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// Status is what the host knows of its firewall for a cluster; nil: it does not filter.
func (h Host) Status(ctx context.Context, cluster string) (*api.FirewallStatus, error) {
	by, err := h.settings(cluster)
	switch {
	case errors.Is(err, errSettings):
		return &api.FirewallStatus{Damaged: true}, nil
	case err == nil && by == nil && h.hasUnit(cluster):
		return &api.FirewallStatus{Damaged: true}, nil // somebody has removed the file, and the kernel may still filter
	case err != nil || by == nil:
		return nil, err
	}
	status := &api.FirewallStatus{Firewall: by.Firewall, Addresses: maps.Clone(by.Addresses)}
	maps.DeleteFunc(status.Addresses, func(peer string, _ []netip.Addr) bool {
		_, err := netip.ParseAddr(peer)
		return err == nil // it is no name
	})
	switch has, err := read(api.FirewallTable(cluster)); {
	case err != nil:
		status.Differs = fmt.Sprintf("its table %s cannot be read: %s", api.FirewallTable(cluster), err)
	default:
		status.Differs = by.table(cluster).differs(has)
	}
	if moved := h.moved(ctx, *by); status.Differs == "" {
		status.Differs = moved
	}
	unit := []string{api.FirewallUnit(cluster)}
	has, err := h.unitFiles().Status(ctx, unit, unit)
	if err != nil {
		return nil, err
	}
	status.Units, status.Enabled, status.NeedReload = has.Units, has.Enabled, has.NeedReload
	return status, nil
}

// Unusable returns why the host cannot filter, or "". It has the kernel load what it needs for that.
func (h Host) Unusable() string {
	if err := unusable(); err != nil {
		return err.Error()
	}
	return ""
}

// table is the table that follows from the settings.
func (s settings) table(cluster string) table { return tableOf(cluster, s.Firewall, s.members()) }

// members are the addresses of all peers.
func (s settings) members() (addresses []netip.Addr) {
	for _, peer := range s.Peers {
		addresses = append(addresses, s.Addresses[peer]...)
	}
	return addresses
}

// settings are what the host filters by; nil: it does not.
func (h Host) settings(cluster string) (*settings, error) {
	by, err := records.Settings[settings](h.Files.Path(api.FirewallFile(cluster)), errSettings)
	if err != nil || by == nil {
		return nil, err
	}
	if by.Check() != nil {
		return nil, errSettings
	}
	return by, nil
}

func (h Host) put(cluster string, s settings) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	_, err = h.Files.Put(files.File{Path: api.FirewallFile(cluster), Text: append(text, '\n'), Owner: files.RootUser, Mode: files.KeyFile})
	return err
}

func (h Host) lookUp(ctx context.Context, name string) ([]netip.Addr, error) {
	resolve := h.Resolve
	if resolve == nil {
		resolve = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	addresses, err := resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	for i := range addresses {
		addresses[i] = addresses[i].Unmap().WithZone("")
	}
	if addresses = sorted(addresses); len(addresses) == 0 {
		return nil, errors.New("the name has none")
	}
	return addresses, nil
}

// sorted returns the addresses in their order, each once.
func sorted(addresses []netip.Addr) []netip.Addr {
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses)
}

// lookAgain returns the addresses that members have now, or had where their names cannot be resolved, and an error for
// those that have and had none. It asks for all at once.
func (h Host) lookAgain(ctx context.Context, s settings, within time.Duration) (map[string][]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	found, unknown := make([][]netip.Addr, len(s.Peers)), make([]error, len(s.Peers))
	var asks sync.WaitGroup
	for i, peer := range s.Peers {
		asks.Go(func() {
			var err error
			if found[i], err = h.addresses(ctx, peer); err == nil {
				return
			}
			if found[i] = s.Addresses[peer]; len(found[i]) == 0 {
				unknown[i] = fmt.Errorf("the addresses of member %s are not known on this host, and no other host knows them, so that it could not let it in: %w; nothing was changed: let the name resolve here, or take the member out of the configuration", peer, err)
			}
		})
	}
	asks.Wait()
	now := map[string][]netip.Addr{}
	for i, peer := range s.Peers {
		now[peer] = found[i]
	}
	return now, errors.Join(unknown...)
}

// addresses returns the addresses that a member has now.
func (h Host) addresses(ctx context.Context, peer string) ([]netip.Addr, error) {
	if address, err := netip.ParseAddr(peer); err == nil {
		return []netip.Addr{address.Unmap().WithZone("")}, nil
	}
	return h.lookUp(ctx, peer)
}

// moved returns which member's name has got other addresses since the table was laid down, or "".
func (h Host) moved(ctx context.Context, s settings) string {
	now, _ := h.lookAgain(ctx, s, glanceTimeout) // as LayDown does
	for _, peer := range s.Peers {
		if !slices.Equal(now[peer], s.Addresses[peer]) {
			return fmt.Sprintf("it lets member %s in at %s, whose name resolves to %s on this host", peer, list(s.Addresses[peer]), list(now[peer]))
		}
	}
	return ""
}

func list(addresses []netip.Addr) string {
	if len(addresses) == 0 {
		return "no address"
	}
	var texts []string
	for _, address := range addresses {
		texts = append(texts, address.String())
	}
	return strings.Join(texts, " and ")
}
