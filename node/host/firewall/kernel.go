package firewall

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// errNoNftables is why a host cannot filter.
var errNoNftables = errors.New("nftables cannot be used on this host")

// explained says what the kernel means by an error.
func explained(err error) error {
	switch {
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: the kernel does not permit it (CAP_NET_ADMIN is missing, as in a container without rights on its network): %w", errNoNftables, err)
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: the kernel has no nf_tables with the family inet: %w", errNoNftables, err)
	}
	return err
}

// unusable returns why the host cannot filter, as an error that refuses what was asked for; nil: it can. A kernel may
// know tables and lack what rules or sets need, and says so of a transaction alone.
func unusable() error {
	sample := api.Firewall{ClientPort: 1, PeerPort: 2, MetricsPort: 3, Clients: []string{"192.0.2.0/24", "2001:db8::/64"}, Metrics: []string{"192.0.2.0/24", "2001:db8::/64"}}
	if err := tableOf("", sample, []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}).try(); err != nil {
		return api.Refuse("%s", err)
	}
	return nil
}

// trialName is a table's name that no cluster has.
const trialName = "etcd.trial"

// try has the kernel make a table and remove it in one transaction, by which nothing changes.
func (t table) try() error {
	conn, err := nftables.New()
	if err != nil {
		return explained(err)
	}
	t.name = trialName
	in, err := t.added(conn)
	if err != nil {
		return err
	}
	conn.DelTable(in)
	err = conn.Flush()
	if errors.Is(err, unix.ENOENT) { // a module that is not there
		return fmt.Errorf("%w: the kernel lacks a part of nf_tables that the rules need: %w", errNoNftables, err)
	}
	return explained(err)
}

// replace puts a table in place of the one that the kernel has under its name, in one transaction: no packet meets a
// part of it.
func (t table) replace() error {
	conn, err := nftables.New()
	if err != nil {
		return explained(err)
	}
	if _, err := t.added(conn); err != nil {
		return err
	}
	return explained(conn.Flush())
}

// added has a connection put the table in place of the one of its name.
func (t table) added(conn *nftables.Conn) (*nftables.Table, error) {
	in := t.removed(conn)
	conn.AddTable(in)
	accept, at := nftables.ChainPolicyAccept, priority
	chain := conn.AddChain(&nftables.Chain{
		Name: chainName, Table: in, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: &at, Policy: &accept,
	})
	for _, s := range t.sets {
		made := &nftables.Set{Table: in, Name: s.name, KeyType: nftables.TypeIPAddr, Interval: true}
		if s.v6 {
			made.KeyType = nftables.TypeIP6Addr
		}
		if err := conn.AddSet(made, s.elements()); err != nil {
			return nil, err
		}
	}
	for _, r := range t.rules {
		conn.AddRule(&nftables.Rule{Table: in, Chain: chain, Exprs: r.exprs})
	}
	return in, nil
}

// removed has a connection remove the table of this name, whether there is one or not.
func (t table) removed(conn *nftables.Conn) *nftables.Table {
	in := &nftables.Table{Name: t.name, Family: nftables.TableFamilyINet}
	conn.AddTable(in) // one that is not there cannot be removed, and would end the transaction
	conn.DelTable(in)
	return in
}

// remove removes the table of a cluster, if there is one.
func remove(name string) error {
	conn, err := nftables.New()
	if err != nil {
		return explained(err)
	}
	table{name: name}.removed(conn)
	return explained(conn.Flush())
}

// read returns the table that the kernel has under a name; nil: it has none. What the provider never writes, like a
// second chain, is there as a rule.
func read(name string) (*table, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, explained(err)
	}
	in := &nftables.Table{Name: name, Family: nftables.TableFamilyINet}
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, explained(err)
	}
	there := slices.IndexFunc(tables, func(t *nftables.Table) bool { return t.Name == name })
	if there < 0 {
		return nil, nil
	}
	found := table{name: name}
	if tables[there].Flags != 0 {
		found.rules = append(found.rules, rule{}) // it is dormant: it filters nothing
	}
	if err := found.readRules(conn, in); err != nil {
		return nil, err
	}
	sets, err := conn.GetSets(in)
	if err != nil {
		return nil, explained(err)
	}
	for _, s := range sets {
		elements, err := conn.GetSetElements(s)
		if err != nil {
			return nil, explained(err)
		}
		found.sets = append(found.sets, set{s.Name, s.KeyType.Bytes == 16, spansOf(elements)})
	}
	return &found, nil
}

func (t *table) readRules(conn *nftables.Conn, in *nftables.Table) error {
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return explained(err)
	}
	for _, chain := range chains {
		if chain.Table.Name != t.name {
			continue
		}
		asWritten := chain.Name == chainName && chain.Type == nftables.ChainTypeFilter && chain.Hooknum != nil && *chain.Hooknum == *nftables.ChainHookInput &&
			chain.Priority != nil && *chain.Priority == priority && chain.Policy != nil && *chain.Policy == nftables.ChainPolicyAccept
		if !asWritten {
			t.rules = append(t.rules, rule{})
		}
		rules, err := conn.GetRules(in, chain)
		if err != nil {
			return explained(err)
		}
		for _, r := range rules {
			t.rules = append(t.rules, rule{exprs: r.Exprs})
		}
	}
	return nil
}
