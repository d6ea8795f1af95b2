// Package firewall lets only those reach a member's ports who may. It has a table of nftables for each cluster, which
// drops what is not allowed to reach these ports, and says nothing of anything else: it can lock nobody out of the
// host, and other tables stay as they are.
package firewall

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// table is what the kernel is to have for a cluster.
type table struct {
	name  string
	sets  []set
	rules []rule
}

// set is a set of addresses of one family.
type set struct {
	name  string
	v6    bool
	spans []span
}

// span is a range of addresses, both ends included.
type span struct{ from, to netip.Addr }

func (s span) String() string {
	if s.from == s.to {
		return s.from.String()
	}
	return s.from.String() + "-" + s.to.String()
}

// rule is a rule with its text as nft prints it, about.
type rule struct {
	text  string
	exprs []expr.Any
}

// Chain of the table, and its place among those of other tables: before the usual filters, since what is dropped here
// is dropped whatever they say.
const (
	chainName = "input"
	priority  = nftables.ChainPriority(-10)
)

// tableOf returns the table that follows from a firewall, with the addresses that members have.
func tableOf(cluster string, f api.Firewall, members []netip.Addr) table {
	t := table{name: api.FirewallTable(cluster)}
	t.rules = append(t.rules, rule{`iifname "lo" accept`, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: append([]byte("lo"), make([]byte, unix.IFNAMSIZ-2)...)},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}})
	t.allow("clients", f.ClientPort, f.Clients, members)
	t.allow("peers", f.PeerPort, nil, members)
	if f.MetricsPort != 0 {
		t.allow("metrics", f.MetricsPort, f.Metrics, members)
	}
	return t
}

// allow lets only these networks and members reach a port.
func (t *table) allow(who string, port int, networks []string, members []netip.Addr) {
	for _, v6 := range []bool{false, true} {
		s := set{name: who + "4", v6: v6}
		family, offset, length := "ip", uint32(12), uint32(4)
		protocol := byte(unix.NFPROTO_IPV4)
		if v6 {
			s.name, family, offset, length, protocol = who+"6", "ip6", 8, 16, unix.NFPROTO_IPV6
		}
		var spans []span
		for _, text := range networks {
			if network, err := netip.ParsePrefix(text); err == nil && network.Addr().Is6() == v6 {
				spans = append(spans, spanOf(network))
			}
		}
		for _, member := range members {
			if member = member.Unmap().WithZone(""); member.Is6() == v6 {
				spans = append(spans, span{member, member})
			}
		}
		s.spans = merged(spans)
		t.sets = append(t.sets, s)
		t.rules = append(t.rules, rule{fmt.Sprintf("%s saddr != @%s tcp dport %d counter drop", family, s.name, port), []expr.Any{
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, uint16(port))},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
			&expr.Lookup{SourceRegister: 1, SetName: s.name, Invert: true},
			&expr.Counter{},
			&expr.Verdict{Kind: expr.VerdictDrop},
		}})
	}
}

// spanOf returns the addresses of a network.
func spanOf(network netip.Prefix) span {
	last := network.Addr().AsSlice()
	for bit := network.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 1 << (7 - bit%8)
	}
	to, _ := netip.AddrFromSlice(last)
	return span{network.Addr(), to}
}

// merged returns the same addresses in spans that neither overlap nor touch: the kernel takes no others.
func merged(spans []span) (apart []span) {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(a.from.Compare(b.from), a.to.Compare(b.to)) })
	for _, s := range spans {
		if n := len(apart); n > 0 && (s.from.Compare(apart[n-1].to) <= 0 || apart[n-1].to.Next() == s.from) {
			if s.to.Compare(apart[n-1].to) > 0 {
				apart[n-1].to = s.to
			}
			continue
		}
		apart = append(apart, s)
	}
	return apart
}

// elements returns a set's spans as the kernel has them: each begins with an address, and ends before the next one.
// One that goes up to the last address of all has no end.
func (s set) elements() (elements []nftables.SetElement) {
	for _, span := range s.spans {
		elements = append(elements, nftables.SetElement{Key: span.from.AsSlice()})
		if next := span.to.Next(); next.IsValid() {
			elements = append(elements, nftables.SetElement{Key: next.AsSlice(), IntervalEnd: true})
		}
	}
	return elements
}

// spansOf is the inverse of elements, in whatever order the kernel returns them.
func spansOf(elements []nftables.SetElement) (spans []span) {
	slices.SortFunc(elements, func(a, b nftables.SetElement) int { return slices.Compare(a.Key, b.Key) })
	for _, e := range elements {
		at, ok := netip.AddrFromSlice(e.Key)
		switch n := len(spans); {
		case !ok:
		case !e.IntervalEnd:
			last := slices.Repeat([]byte{0xff}, len(e.Key))
			end, _ := netip.AddrFromSlice(last)
			spans = append(spans, span{at, end})
		case n > 0:
			spans[n-1].to = at.Prev()
		}
	}
	return spans
}

// lines describes a table, so that two have the same lines in the same order if they do the same.
func (t table) lines() (lines []string) {
	for _, s := range t.sets {
		lines = append(lines, "set "+s.name)
		for _, span := range s.spans {
			lines = append(lines, s.name+" "+span.String())
		}
	}
	slices.Sort(lines)
	for _, r := range t.rules {
		lines = append(lines, fmt.Sprintf("rule %q", r.text))
	}
	return lines
}

// sameAs compares rules by what they do, whatever their counters have counted, and the numbers of sets that the kernel
// has given.
func (r rule) sameAs(other rule) bool { return meaning(r.exprs) == meaning(other.exprs) }

func meaning(exprs []expr.Any) string {
	var text strings.Builder
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.Counter:
			text.WriteString("counter; ")
		case *expr.Lookup:
			fmt.Fprintf(&text, "lookup %d %s %t %t; ", e.SourceRegister, e.SetName, e.Invert, e.IsDestRegSet)
		case *expr.Meta:
			fmt.Fprintf(&text, "%+v; ", *e)
		case *expr.Cmp:
			fmt.Fprintf(&text, "%+v; ", *e)
		case *expr.Payload:
			fmt.Fprintf(&text, "%+v; ", *e)
		case *expr.Verdict:
			fmt.Fprintf(&text, "%+v; ", *e)
		default:
			fmt.Fprintf(&text, "%T %+v; ", e, e)
		}
	}
	return text.String()
}

// differs returns how the table that the kernel has is not this one, or "". Nil: it has none.
func (t table) differs(has *table) string {
	if has == nil {
		return "its table " + t.name + " is gone"
	}
	known := slices.Clone(has.rules)
	for i := range known {
		known[i].text = "(not the provider's)"
		for _, r := range t.rules {
			if r.sameAs(known[i]) {
				known[i].text = r.text
			}
		}
	}
	want, found := t.lines(), table{has.name, has.sets, known}.lines()
	var texts []string
	if lacks := without(want, found); len(lacks) > 0 {
		texts = append(texts, "lacks "+strings.Join(lacks, ", "))
	}
	if more := without(found, want); len(more) > 0 {
		texts = append(texts, "has "+strings.Join(more, ", ")+" besides")
	}
	switch {
	case len(texts) > 0:
		return "its table " + t.name + " " + strings.Join(texts, ", and ")
	case !slices.Equal(want, found):
		return "its table " + t.name + " has its rules in another order"
	}
	return ""
}

// without returns the lines that are not among others, each as often as it is there more often.
func without(lines, others []string) (left []string) {
	others = slices.Clone(others)
	for _, line := range lines {
		if i := slices.Index(others, line); i >= 0 {
			others = slices.Delete(others, i, i+1)
			continue
		}
		left = append(left, line)
	}
	return left
}
