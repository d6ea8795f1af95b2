package bootstrap

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/etcdflags"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// diff compares what a desired member runs by, and what it was started with, with what is desired. The
// cluster is the one with the members that vote now.
func (c Cluster) diff(s *membership.MemberStatus, report Report, owner string, now time.Time) {
	o := report.Observation
	if o == nil || o.Marker == nil || o.Marker.Owner != owner || s.State == membership.Missing || s.State == membership.Lost {
		return
	}
	s.Closed = closed(report.firstPort(), c.ports())
	if s.From != "" { // as it is going to be: until then nothing else is done to it
		moved := *o
		moved.Flags = c.Readdressed(s.Member, o.Flags, *o.Marker)
		if o.Unit.Process != nil {
			process := *o.Unit.Process
			process.Flags = c.Readdressed(s.Member, process.Flags, *o.Marker)
			moved.Unit.Process = &process
		}
		o, c = &moved, c.At(s.Member)
	}
	f := Formation{Owner: owner, Token: o.Marker.Token}
	// Before it votes, a member's configuration lists it as well.
	c = c.With(s.Member)
	desired := c.Flags(s.Member, f, StateExisting)
	unit, err := c.Unit(o.Facts.MemoryBytes)
	if err != nil {
		unit = o.Unit.Text // the plan of the configuration refuses it
	}
	s.Outdated, s.Unasked = c.outdated(*s, *o, desired, unit)
	s.Unbacked, s.OldRuns = c.Unbacked(o), c.oldRuns(o)
	s.Disabled = o.Unit.FileState == "disabled" || o.Unit.FileState == "masked"
	if s.State != membership.Unreachable && s.From == "" {
		s.Invalid = c.invalid(s.Member, o.Certificates, now)
	}
	marker := c.Marker(s.Member, f, o.Marker.Phase)
	s.Unsynced = s.Role == membership.Voter && s.From == "" &&
		(!slices.Equal(birthFlags(o.Flags), birthFlags(desired)) || o.Marker.InitialCluster != marker.InitialCluster ||
			o.Marker.Phase != api.PhaseFormed || o.Marker.MemberID != s.ID || len(o.Marker.Added) > 0)
}

// outdated says what takes a restart to become what is desired, in the order of the words; unasked: none of it is what a
// configuration says.
func (c Cluster) outdated(s membership.MemberStatus, o api.Observation, desired []string, unit string) (reasons []string, unasked bool) {
	hash := c.Stores[o.Facts.Architecture]
	switch {
	case s.Version == "" && s.Storeless: // one that this build of the provider cannot put there again
		reasons = append(reasons, "its store is gone")
	case s.Version != "" && s.Version != c.Version:
		reasons = append(reasons, fmt.Sprintf("etcd %s -> %s", s.Version, c.Version))
	case o.Store.Selected != hash && (o.Marker.Store == "" || o.Store.Selected != o.Marker.Store):
		reasons = append(reasons, "another store was put in place of its own")
	case o.Unit.Process != nil && o.Unit.Process.Store != o.Store.Selected:
		reasons = append(reasons, "it runs another store than its own")
	}
	unasked = len(reasons) == 0
	runs := o.Flags
	changed := differing(lifeFlags(runs), lifeFlags(desired))
	if len(changed) == 0 && o.Unit.Process != nil {
		runs = o.Unit.Process.Flags
		changed = differing(lifeFlags(runs), lifeFlags(desired))
	}
	if len(changed) > 0 {
		reasons = append(reasons, "flags "+strings.Join(changed, ", "))
		unasked = unasked && !etcdflags.Asked(lifeFlags(runs), lifeFlags(desired))
	}
	if o.Unit.Text != unit || o.Unit.NeedReload || o.Unit.Process != nil && o.Unit.Process.UnitSHA256 != "" && o.Unit.Process.UnitSHA256 != digest(unit) {
		reasons = append(reasons, "its unit")
	}
	if p := o.Unit.Process; p != nil && (p.PeerCA != "" && p.PeerCA != digest(o.Certificates[observedPeerCA].PEM) ||
		p.ClientCA != "" && p.ClientCA != digest(o.Certificates[observedClientCA].PEM)) {
		reasons, unasked = append(reasons, "it trusts other authorities than its files name"), false
	}
	return reasons, unasked && len(reasons) > 0
}

// invalid says why a member's certificates have to be issued anew; empty: they hold.
func (c Cluster) invalid(m membership.Member, held map[string]api.Certificate, now time.Time) string {
	if !samePEM(held[observedPeerCA].PEM, c.PeerCA) || !samePEM(held[observedClientCA].PEM, c.ClientCA) {
		return "it trusts other authorities than the cluster's"
	}
	for _, want := range c.Keys(m) {
		have := held[want.Name]
		switch {
		case have.Error != "":
			return have.Error
		case have.PEM == "":
			return fmt.Sprintf("its certificate %s is missing", api.CertificateFile(c.Name, want.Name))
		case have.NoKey:
			return fmt.Sprintf("its key %s is missing, and is made anew", api.KeyFile(c.Name, want.Name))
		case !have.HasKey:
			return fmt.Sprintf("its %s certificate and key do not belong together", want.Name)
		}
		at := now
		if at.IsZero() {
			at = issued(have.PEM)
		}
		switch {
		case says(have.PEM, want, c.Authority(want.Name), at):
		case misnamed(have.PEM, want) != "":
			return fmt.Sprintf("its %s certificate %s", want.Name, misnamed(have.PEM, want))
		case !says(have.PEM, want, c.Authority(want.Name), issued(have.PEM)):
			return fmt.Sprintf("its %s certificate is not of the cluster's authority, or does not say what it has to", want.Name)
		case at.Before(issued(have.PEM)):
			return fmt.Sprintf("its %s certificate does not hold yet", want.Name)
		default:
			return fmt.Sprintf("its %s certificate has expired", want.Name)
		}
	}
	return ""
}

// born are the flags that etcd looks at when a member begins, and never again.
var born = []string{"--initial-cluster=", "--initial-cluster-state=", "--initial-cluster-token=", "--initial-advertise-peer-urls="}

func isBirthFlag(line string) bool {
	return slices.ContainsFunc(born, func(prefix string) bool { return strings.HasPrefix(line, prefix) })
}

// birthFlags are those of the flags that a member begins by.
func birthFlags(flags []string) []string {
	return slices.DeleteFunc(slices.Clone(flags), func(line string) bool { return !isBirthFlag(line) })
}

// lifeFlags are those of the flags that a member lives by.
func lifeFlags(flags []string) []string { return slices.DeleteFunc(slices.Clone(flags), isBirthFlag) }

// Synced are the flags of a member with those that it begins by taken from others.
func Synced(flags, from []string) []string {
	return sorted(append(lifeFlags(flags), birthFlags(from)...))
}

// sorted are flags by their names.
func sorted(flags []string) []string {
	slices.SortFunc(flags, func(a, b string) int {
		a, _, _ = strings.Cut(a, "=")
		b, _, _ = strings.Cut(b, "=")
		return strings.Compare(a, b)
	})
	return flags
}

// differing are the flags that one has and the other has not, or with another value, with both values; sorted.
func differing(is, desired []string) []string {
	const none = "(not set)"
	before, after := valuesOf(is), valuesOf(desired)
	var changes []string
	for name, value := range before {
		if to := cmp.Or(after[name], none); to != value {
			changes = append(changes, fmt.Sprintf("%s %s -> %s", name, value, to))
		}
	}
	for name, value := range after {
		if before[name] == "" {
			changes = append(changes, fmt.Sprintf("%s %s -> %s", name, none, value))
		}
	}
	slices.Sort(changes)
	return changes
}

// valuesOf are the values of flags by their names, in words. A flag that stands there several times, as in a file that
// somebody has added to, has all of its values.
func valuesOf(flags []string) map[string]string {
	values := map[string]string{}
	for _, line := range flags {
		name, value, _ := strings.Cut(line, "=")
		value = cmp.Or(value, "(empty)")
		if earlier, twice := values[name]; twice {
			value = earlier + " and " + value
		}
		values[name] = value
	}
	return values
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
