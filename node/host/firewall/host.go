package firewall

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/unitfiles"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// Host is a host that filters who reaches its members.
type Host struct {
	Files   files.Tree
	Records records.Records
	Units   unitfiles.Systemd
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error) // nil: by the host's resolver
}

const (
	// A resolver that is away is awaited for so long, and not by an observation.
	resolveTimeout = 10 * time.Second
	glanceTimeout  = 2 * time.Second
)

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
	next := settings{Firewall: *r.Firewall}
	var err error
	if next.Addresses, err = h.resolved(ctx, next.Peers, resolveTimeout); err != nil {
		return err
	}
	text, err := UnitText(cluster)
	if err != nil {
		return api.Refuse("%s", err)
	}
	if err := h.put(cluster, next); err != nil {
		return err
	}
	unit := api.FirewallUnit(cluster)
	if err := h.unitFiles().Put(ctx, []string{unit}, map[string]string{unit: text}); err != nil {
		return err
	}
	if err := next.table(cluster).replace(); err != nil {
		return err
	}
	return h.Units.Start(ctx, unit)
}

// UnitText is the unit that lays a cluster's table down.
func UnitText(cluster string) (string, error) {
	return systemd.RenderFirewall(systemd.FirewallOptions{Cluster: cluster, Store: api.SelectedStore(cluster), ConfigDir: api.ConfigDir(cluster)})
}

// LayDown lays the table of a cluster down as the host was last told, as its unit does before the member starts. A name
// that cannot be resolved keeps the addresses that it had: a resolver that is away keeps no member from its peers.
func (h Host) LayDown(ctx context.Context, cluster string) error {
	for {
		by, err := h.settings(cluster)
		if err != nil || by == nil {
			return err
		}
		now := *by
		now.Addresses = h.lookAgain(ctx, *by, resolveTimeout)
		if err := now.table(cluster).replace(); err != nil {
			return err
		}
		// A call may have told the host something else meanwhile.
		switch again, err := h.settings(cluster); {
		case err != nil:
			return err
		case again == nil:
			return remove(api.FirewallTable(cluster))
		case !reflect.DeepEqual(again, by):
			continue
		case reflect.DeepEqual(now, *by):
			return nil
		}
		return h.put(cluster, now)
	}
}

// Disable removes all by which the host filters for a cluster, its file last. A host that does not filter is left as it
// is: it may know nothing of nftables.
func (h Host) Disable(ctx context.Context, cluster string) error {
	file := h.Files.Path(api.FirewallFile(cluster))
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := h.unitFiles().Put(ctx, []string{api.FirewallUnit(cluster)}, nil); err != nil {
		return err
	}
	if err := remove(api.FirewallTable(cluster)); err != nil && !errors.Is(err, errNoNftables) {
		return err
	}
	if err := files.Remove(files.NextName(file)); err != nil {
		return err
	}
	return files.Remove(file)
}

// Status is what the host knows of its firewall for a cluster; nil: it does not filter.
func (h Host) Status(ctx context.Context, cluster string) (*api.FirewallStatus, error) {
	by, err := h.settings(cluster)
	switch {
	case errors.Is(err, errSettings):
		return &api.FirewallStatus{Damaged: true}, nil
	case err != nil || by == nil:
		return nil, err
	}
	status := &api.FirewallStatus{Firewall: by.Firewall}
	switch has, err := read(api.FirewallTable(cluster)); {
	case errors.Is(err, errNoNftables):
		status.Differs = err.Error()
	case err != nil:
		return nil, err
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
func (s settings) table(cluster string) table {
	var members []netip.Addr
	for _, peer := range s.Peers {
		members = append(members, s.Addresses[peer]...)
	}
	return tableOf(cluster, s.Firewall, members)
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

// resolved returns the addresses that members have, sorted, each with at least one.
func (h Host) resolved(ctx context.Context, peers []string, within time.Duration) (map[string][]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	found := map[string][]netip.Addr{}
	for _, peer := range peers {
		if address, err := netip.ParseAddr(peer); err == nil {
			found[peer] = []netip.Addr{address.Unmap().WithZone("")}
			continue
		}
		addresses, err := h.lookUp(ctx, peer)
		if err != nil {
			return nil, fmt.Errorf("the addresses of member %s are not known on this host, so that it could not let it in: %w; nothing was changed", peer, err)
		}
		found[peer] = addresses
	}
	return found, nil
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
	slices.SortFunc(addresses, netip.Addr.Compare)
	if addresses = slices.Compact(addresses); len(addresses) == 0 {
		return nil, errors.New("the name has none")
	}
	return addresses, nil
}

// lookAgain returns the addresses that members have now, or had where their names cannot be resolved.
func (h Host) lookAgain(ctx context.Context, s settings, within time.Duration) map[string][]netip.Addr {
	now := map[string][]netip.Addr{}
	for _, peer := range s.Peers {
		now[peer] = s.Addresses[peer]
		if found, err := h.resolved(ctx, []string{peer}, within); err == nil {
			now[peer] = found[peer]
		}
	}
	return now
}

// moved returns which member's name has got other addresses since the table was laid down, or "".
func (h Host) moved(ctx context.Context, s settings) string {
	now := h.lookAgain(ctx, s, glanceTimeout)
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
