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

// diff compares a desired member's configuration, and the one that its process was started with, with what is desired.
// The cluster has the current voters as members.
func (c Cluster) diff(s *membership.MemberStatus, report Report, owner string, known trust, now time.Time) {
	o := report.Observation
	if o == nil || o.Marker == nil || o.Marker.Owner != owner || s.State == membership.Missing || s.State == membership.Lost {
		return
	}
	s.Closed = portNotAllowed(report.firstPort(), c.ports())
	if s.From != "" { // compare with what the re-address will make of it: nothing else is done to it before
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
	// A member's configuration lists the member itself before it votes.
	c = c.With(s.Member)
	desired := c.Flags(s.Member, f, StateExisting)
	unit, err := c.Unit(o.Facts.MemoryBytes)
	if err != nil {
		unit = o.Unit.Text // the plan of the configuration refuses it
	}
	s.Outdated, s.Unasked = c.outdated(*s, *o, desired, unit)
	s.Unrenewed, s.OldRenewals = c.Unrenewed(s.Member, o), c.hasOldRenewals(s.Member, o)
	mayNotFilter := c.mayMisunderstandFirewall(o)
	if mayNotFilter && len(s.Outdated) == 0 {
		s.Outdated, s.Unasked = []string{otherStoreFilters}, true
	}
	if s.OldStore = mayNotFilter || s.Unrenewed != "" && c.mayMisunderstandRenewals(o); s.OldStore && len(s.Outdated) == 0 {
		s.Outdated, s.Unasked = []string{otherStoreRenews}, true
	}
	s.Unbacked, s.OldRuns = c.Unbacked(o), c.hasOldUnits(o)
	unrevoked, shutsOut := c.unrevoked(o)
	s.NoClients = shutsOut
	s.Disabled = o.Unit.FileState == "disabled" || o.Unit.FileState == "masked"
	if s.State != membership.Unreachable && s.From == "" {
		c = c.Peering(s.Peering.Named, "") // which common name it is to have, the planner compares
		s.Invalid = cmp.Or(c.invalid(s.Member, o.Certificates, known, now), c.revoked(o.Certificates), unrevoked, c.unchained(o.Certificates, known))
		s.Due, s.Exhausted = c.due(s.Member, o.Certificates, known, now)
	}
	marker := c.Marker(s.Member, f, o.Marker.Phase)
	s.Unsynced = s.Role == membership.Voter && s.From == "" &&
		(!slices.Equal(startFlags(o.Flags), startFlags(desired)) || o.Marker.InitialCluster != marker.InitialCluster ||
			o.Marker.Phase != api.PhaseFormed || o.Marker.MemberID != s.ID || len(o.Marker.Added) > 0)
}

// outdated returns the differences that need a restart. unasked tells that none of them comes from the configuration.
func (c Cluster) outdated(s membership.MemberStatus, o api.Observation, desired []string, unit string) (reasons []string, unasked bool) {
	hash := c.Stores[o.Facts.Architecture]
	switch {
	case s.Version == "" && s.Storeless: // this build of the provider cannot install it again
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
	changed := flagChanges(compared(runs), compared(desired))
	if len(changed) == 0 && o.Unit.Process != nil {
		runs = o.Unit.Process.Flags
		changed = flagChanges(compared(runs), compared(desired))
	}
	if len(changed) > 0 {
		reasons = append(reasons, "flags "+strings.Join(changed, ", "))
		unasked = unasked && !etcdflags.Asked(compared(runs), compared(desired))
	}
	if o.Unit.Text != unit || o.Unit.NeedReload || o.Unit.Process != nil && o.Unit.Process.UnitSHA256 != "" && o.Unit.Process.UnitSHA256 != digest(unit) {
		reasons = append(reasons, "its unit")
	}
	return reasons, unasked && len(reasons) > 0
}

// invalid returns why a member's certificates have to be renewed, or "". The planner decides which of the known
// authorities they have to be of.
func (c Cluster) invalid(m membership.Member, held map[string]api.Certificate, known trust, now time.Time) string {
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
		case have.Exposed:
			return fmt.Sprintf("others than its user can read its key %s, which is made anew", api.KeyFile(c.Name, want.Name))
		}
		at := now
		if at.IsZero() {
			at = issued(have.PEM)
		}
		switch {
		case matches(have.PEM, want, known.of(want.Name), at):
		case misnamed(have.PEM, want) != "":
			return fmt.Sprintf("its %s certificate %s", want.Name, misnamed(have.PEM, want))
		case misused(have.PEM, want) != "":
			return fmt.Sprintf("its %s certificate %s", want.Name, misused(have.PEM, want))
		case !matches(have.PEM, want, known.of(want.Name), issued(have.PEM)):
			return fmt.Sprintf("its %s certificate is not of the cluster's authority, or does not say what it has to", want.Name)
		case at.Before(issued(have.PEM)):
			return fmt.Sprintf("its %s certificate does not hold yet", want.Name)
		default:
			return fmt.Sprintf("its %s certificate has expired", want.Name)
		}
	}
	return ""
}

// startFlagNames are the flags that etcd reads only when a member first starts.
var startFlagNames = []string{"--initial-cluster=", "--initial-cluster-state=", "--initial-cluster-token=", "--initial-advertise-peer-urls="}

func isStartFlag(line string) bool {
	return slices.ContainsFunc(startFlagNames, func(prefix string) bool { return strings.HasPrefix(line, prefix) })
}

// startFlags returns the flags that matter only for a member's first start.
func startFlags(flags []string) []string {
	return slices.DeleteFunc(slices.Clone(flags), func(line string) bool { return !isStartFlag(line) })
}

// runFlags returns the flags that matter at every start.
func runFlags(flags []string) []string { return slices.DeleteFunc(slices.Clone(flags), isStartFlag) }

// Synced returns flags with the first-start flags replaced by those of from.
func Synced(flags, from []string) []string {
	return sorted(append(runFlags(flags), startFlags(from)...))
}

// sorted sorts flags by name.
func sorted(flags []string) []string {
	slices.SortFunc(flags, func(a, b string) int {
		a, _, _ = strings.Cut(a, "=")
		b, _, _ = strings.Cut(b, "=")
		return strings.Compare(a, b)
	})
	return flags
}

// flagChanges lists the flags that differ, with both values, sorted.
func flagChanges(is, desired []string) []string {
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

// valuesOf returns the values of flags by name, as text. A flag that is given several times, in a file that somebody
// has edited, has all of its values.
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
