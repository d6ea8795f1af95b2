package bootstrap

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// RestoreToken returns etcd's initial-cluster-token for a cluster that a restore makes. Its prefix tells a later run
// that the configuration is fulfilled; unique distinguishes two restores of one snapshot.
func RestoreToken(desired membership.Restoration, unique string) string {
	return restoreTokens(desired) + unique
}

func restoreTokens(desired membership.Restoration) string {
	sum := sha256.Sum256([]byte(desired.Source + "\n" + desired.SHA256 + "\n" + desired.Trigger))
	return "restore-" + hex.EncodeToString(sum[:8]) + "-"
}

// Isolated returns a member's flags while clients must not reach it: it listens for clients only on loopback, where
// the store calls it.
func (c Cluster) Isolated(m membership.Member, f Formation) []string {
	flags := c.Flags(m, f, StateExisting)
	for i, line := range flags {
		if strings.HasPrefix(line, listenClientURLs) {
			flags[i] = listenClientURLs + url("https", "127.0.0.1", c.ClientPort)
		}
	}
	return flags
}

const listenClientURLs = "--listen-client-urls="

// Restoring compares what was observed on a cluster's hosts with a desired restore. creating means that no state holds
// the cluster yet, so that hosts may carry an unfinished create of owner's. Certificates are checked for validity at
// now.
func (c Cluster) Restoring(owner string, creating bool, reports Reports, now time.Time) membership.Restoring {
	c = c.Restored()
	p := membership.Restoring{}
	routes := c.routesTo(c.AllMembers(reports), c.memberList(owner, reports), owner, reports)
	routes.fixed = true
	mistakes := map[membership.Member]string{}
	for _, mistake := range routes.mistakes() {
		mistakes[membership.Member{Name: mistake.Member, Address: mistake.At}] = mistake.Rule + "; " + mistake.Remedy
	}
	for _, m := range c.AllMembers(reports) {
		report := reports[m]
		if routes.isSecondAddress(m) {
			continue
		}
		s := membership.RestoreStatus{Member: m, Desired: slices.Contains(c.Members, m), Unreachable: report.Err != nil}
		if s.Unreachable {
			s.Unasked, s.Barred = WhyUnasked(report.Err), remedy(report.Err)
		} else {
			s.Refused = cmp.Or(mistakes[m], c.untouchable(m, report, owner, creating))
			s.Unimported = s.Refused != "" && creating && c.unimported(m, report, Formation{Owner: owner})
		}
		s.Backless = !s.Unreachable && backless(report)
		switch o := report.Observation; {
		case s.Unreachable:
		case s.Refused == "":
			c.assessRestore(&s, report, owner, now)
		// The record is on another disk.
		case o != nil && o.GuardCheck == api.GuardMount && s.Refused == o.Guard && o.Restore != nil:
			setRecord(&s, *o.Restore)
		}
		p.Members = append(p.Members, s)
	}
	return p
}

// backless tells whether an observed host knows no backups of the cluster.
func backless(report Report) bool {
	if o := report.Observation; o != nil {
		return o.Backup == nil
	}
	return report.Contact.Machine != "" && report.Marker() == nil
}

// untouchable returns why a restore must not touch a host, or "".
func (c Cluster) untouchable(m membership.Member, report Report, owner string, creating bool) string {
	o, marker := report.Observation, report.Marker()
	switch {
	case report.Contact.MarkerError != "":
		return report.Contact.MarkerError
	case o == nil && marker == nil && report.Contact.Machine == "":
		return "" // its host was not observed: it is new
	case o != nil && o.Restore != nil && marker == nil: // interrupted before it wrote the marker
		return c.unfitIfKnown(report)
	case marker == nil || creating && marker.Owner != owner, creating && marker.Phase != api.PhaseFormed:
		_, refused := c.claim(m, report, Formation{Owner: owner})
		return cmp.Or(refused, c.refuseWrittenTo(report), c.unfilterable(report), c.unfitIfKnown(report))
	case marker.Owner != owner:
		return fmt.Sprintf("its host carries member %s of a cluster %s that another state manages", marker.Member, marker.Cluster)
	case o != nil && o.GuardCheck == api.GuardMount:
		return o.Guard
	}
	return cmp.Or(c.unfilterable(report), c.unfitIfKnown(report))
}

// unfitIfKnown returns why a host cannot carry a member, if its first contact is known.
func (c Cluster) unfitIfKnown(report Report) string {
	if report.Contact.Machine == "" {
		return ""
	}
	return c.unfit(report.Contact)
}

// refuseWrittenTo refuses the remains of an unfinished create if somebody has written to them since.
func (c Cluster) refuseWrittenTo(report Report) string {
	o := report.Observation
	if o == nil || o.Restore != nil || o.Marker == nil || strings.HasPrefix(o.Marker.Token, restoreTokens(c.Restore)) || revisionOf(*o) <= 1 {
		return ""
	}
	return fmt.Sprintf("an unfinished create left a member on it, and somebody has written to that since (revision %d): save what you need of it, then stop %s and move %s away",
		revisionOf(*o), api.Unit(c.Name), o.Data.Path)
}

// assessRestore assesses a host that may be touched.
func (c Cluster) assessRestore(s *membership.RestoreStatus, report Report, owner string, now time.Time) {
	o, marker := report.Observation, report.Marker()
	s.Marked = marker != nil
	s.StoreMissing = o == nil && s.Marked
	if o == nil {
		s.Installed = slices.Contains(report.Contact.Installed, c.Store(report.Contact))
		if s.StoreMissing && marker.Phase == api.PhaseFormed { // as far as is known, its member still runs
			s.ServingID = marker.ClusterID
		}
		return
	}
	s.Installed = slices.Contains(o.Store.Installed, c.Stores[o.Facts.Architecture])
	s.Running = o.Unit.ActiveState == "active" || o.Unit.ActiveState == "activating"
	if r := o.Restore; r != nil {
		setRecord(s, *r)
		s.Configured = marker != nil && !s.Stage.Before(membership.Restored) && c.restoredConfigured(s.Member, report, Formation{Owner: owner, Token: r.Token}, s.Stage, now)
		return
	}
	if marker == nil {
		return
	}
	ours := strings.HasPrefix(marker.Token, restoreTokens(c.Restore)) && marker.Owner == owner && o.Data.HasMember
	s.Finished = ours && (c.Restore.Overwrites == "" || marker.ClusterID != c.Restore.Overwrites)
	if !s.Finished && marker.Phase == api.PhaseFormed {
		switch state, _ := c.state(s.Member, report, owner); state {
		case membership.Healthy, membership.Unhealthy, membership.Stopped, membership.Blocked:
			s.ServingID = marker.ClusterID
		}
	}
}

// setRecord copies what a host records about the restore under way.
func setRecord(s *membership.RestoreStatus, r api.Restoration) {
	s.Stage, s.Source, s.Snapshot, s.Since = membership.RestoreStage(r.Stage), r.Source, r.Snapshot, r.Began.UTC().Format(time.RFC3339)
	s.Token, s.Seen = r.Token, r.Revision
}

// restoredConfigured tells whether a host has everything that its restored member is to run by at this stage, and
// whether its process was started with that.
func (c Cluster) restoredConfigured(m membership.Member, report Report, f Formation, stage membership.RestoreStage, now time.Time) bool {
	o := report.Observation
	flags := c.Isolated(m, f)
	if stage == membership.Opened {
		// It gets no other certificate before the restore is over.
		c = c.Peering(commonName(o.Certificates[api.KeyPeer].PEM), "")
		flags = c.Flags(m, f, StateExisting)
	}
	unit, err := c.Unit(o.Facts.MemoryBytes)
	marker := c.Marker(m, f, o.Marker.Phase)
	return err == nil && slices.Equal(o.Flags, flags) && o.Unit.Text == unit &&
		(o.Unit.Process == nil || slices.Equal(o.Unit.Process.Flags, flags)) &&
		o.Store.Selected == c.Stores[o.Facts.Architecture] && o.Marker.Store == o.Store.Selected &&
		o.Marker.Owner == f.Owner && o.Marker.Token == marker.Token && o.Marker.InitialCluster == marker.InitialCluster && len(o.Marker.Added) == 0 &&
		c.filtersAsDesired(o) && c.certified(m, o.Certificates, now)
}

// restoring describes the restore that a host records, or "".
func restoring(report Report) string {
	if report.Observation == nil || report.Observation.Restore == nil {
		return ""
	}
	r := report.Observation.Restore
	return fmt.Sprintf("%s, since %s,", r.Source, r.Began.UTC().Format(time.RFC3339))
}
