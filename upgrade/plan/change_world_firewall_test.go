package plan_test

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// drawFirewall draws whether hosts are to filter who reaches their members, and in what their firewalls differ from
// that.
func (e *etcd) drawFirewall(t *rapid.T) {
	if rapid.Bool().Draw(t, "firewall") {
		e.want.Firewall = "clients 10.0.0.0/8"
	}
	peers := e.peers()
	for _, in := range e.list {
		h := e.at(in.address)
		if !h.marker {
			continue
		}
		if h.filters = e.want.Firewall != ""; h.filters {
			h.admits = peers
		}
		switch rapid.IntRange(0, 7).Draw(t, "firewall of "+in.address) {
		case 0: // it has none, or one that is not asked for
			if h.filters = !h.filters; h.filters {
				h.admits = peers
			} else {
				h.admits = ""
			}
		case 1: // of an earlier time
			if h.filters {
				h.admits = in.address + ", 192.0.2.77"
			}
		}
	}
}

// peers are the addresses of whoever is, or is to be, a member.
func (e *etcd) peers() string {
	var all []string
	for _, m := range e.list {
		all = append(all, m.address)
	}
	for _, m := range e.want.Members {
		all = append(all, m.Address)
	}
	for _, s := range e.status().Members {
		if s.From != "" && s.Role != membership.Absent {
			all = append(all, membership.HostOf(s.From))
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// unfiltered says how a host filters otherwise than desired, its peers aside.
func (e *etcd) unfiltered(h *machine) string {
	switch {
	case h.filters && e.want.Firewall == "":
		return "it has a firewall"
	case !h.filters && e.want.Firewall != "":
		return "it has no firewall yet"
	}
	return ""
}

// filter has the hosts filter that a step tells to.
func (e *etcd) filter(step membership.Step) {
	tell := func(h *machine) {
		if h.filters, h.admits = e.want.Firewall != "", ""; h.filters {
			h.admits = e.peers()
		}
	}
	switch step.Kind {
	case membership.Configure, membership.RenewCertificates, membership.Roll, membership.Join, membership.Readdress, membership.Promote:
		if e.want.Firewall != "" { // else nobody is told by the way
			tell(e.at(step.At))
		}
	case membership.Firewall:
		for _, s := range e.status().Members {
			able := s.State == membership.Healthy || s.State == membership.Unhealthy || s.State == membership.Stopped
			if able && s.Role != membership.Absent && s.Failed == "" {
				tell(e.at(s.Address))
			}
		}
	}
}

// shutOut returns which member of etcd's list a host shuts out that was told whom to let in; nil: none is.
func (e *etcd) shutOut() error {
	for _, at := range e.list {
		h := e.at(at.address)
		if !h.filters || strings.Contains(h.admits, "192.0.2.77") { // it was not told yet, or cannot be
			continue
		}
		for _, m := range e.list {
			if !slices.Contains(strings.Split(h.admits, ", "), m.address) {
				return fmt.Errorf("%s shuts %s out, which is a member: it lets in %s", at.address, m.address, h.admits)
			}
		}
	}
	return nil
}

// mustLetIn returns which healthy member keeps out the one that is to be added; nil: none does.
func (e *etcd) mustLetIn(address string) error {
	for _, m := range e.list {
		if h := e.at(m.address); e.healthy(m) && h.filters && !slices.Contains(strings.Split(h.admits, ", "), address) {
			return fmt.Errorf("%s does not let it in, but %s", m.address, h.admits)
		}
	}
	return nil
}

// unfilteredMembers says which healthy members anybody reaches who should not, or one that should does not.
func (e *etcd) unfilteredMembers() (left []string) {
	for _, m := range e.list {
		h, want := e.at(m.address), ""
		if e.want.Firewall != "" {
			want = e.peers()
		}
		if e.healthy(m) && (h.admits != want || h.filters != (want != "")) {
			left = append(left, fmt.Sprintf("%s lets in %q, and should %q", m.address, h.admits, want))
		}
	}
	return left
}
