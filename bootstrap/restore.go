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

// RestoreToken is etcd's initial-cluster-token of a cluster that a restore makes. By what it begins with, a later run
// knows that the configuration was fulfilled; unique tells apart two restores of one snapshot.
func RestoreToken(desired membership.Restoration, unique string) string {
	return restoreTokens(desired) + unique
}

func restoreTokens(desired membership.Restoration) string {
	sum := sha256.Sum256([]byte(desired.Source + "\n" + desired.SHA256 + "\n" + desired.Trigger))
	return "restore-" + hex.EncodeToString(sum[:8]) + "-"
}

// Isolated are a member's flags while clients are not to reach it: it listens to them on loopback alone, where
// the store asks it.
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

// Restoring measures what was seen of a cluster's hosts for a restore of it. creating: it is one that no state holds
// yet, so hosts may carry what an earlier create has left; the owner is the one that Resume says. now decides which
// certificates hold.
func (c Cluster) Restoring(owner string, creating bool, reports Reports, now time.Time) membership.Restoring {
	p := membership.Restoring{}
	ways := c.waysTo(c.AllMembers(reports), c.memberList(owner, reports), owner, reports)
	ways.fixed = true
	mistakes := map[membership.Member]string{}
	for _, mistake := range ways.mistakes() {
		mistakes[membership.Member{Name: mistake.Member, Address: mistake.At}] = mistake.Rule + "; " + mistake.Remedy
	}
	for _, m := range c.AllMembers(reports) {
		report := reports[m]
		if ways.detour(m) {
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
			c.site(&s, report, owner, now)
		case o != nil && o.GuardCheck == api.GuardMount && s.Refused == o.Guard && o.Restore != nil: // its record is not on that disk
			recordedOf(&s, *o.Restore)
		}
		p.Members = append(p.Members, s)
	}
	return p
}

// backless tells whether a host that was looked at knows no backups of the cluster.
func backless(report Report) bool {
	if o := report.Observation; o != nil {
		return o.Backup == nil
	}
	return report.Contact.Machine != "" && report.Marker() == nil
}

// untouchable says why a restore must not touch a host; empty: it may.
func (c Cluster) untouchable(m membership.Member, report Report, owner string, creating bool) string {
	o, marker := report.Observation, report.Marker()
	switch {
	case report.Contact.MarkerError != "":
		return report.Contact.MarkerError
	case o == nil && marker == nil && report.Contact.Machine == "":
		return "" // nobody has looked at it: a plan of what is new
	case o != nil && o.Restore != nil && marker == nil: // cut short before it had written the marker
		return c.unfitToKnow(report)
	case marker == nil || creating && marker.Owner != owner, creating && marker.Phase != api.PhaseFormed:
		_, refused := c.claim(m, report, Formation{Owner: owner})
		return cmp.Or(refused, c.written(report), c.unfitToKnow(report))
	case marker.Owner != owner:
		return fmt.Sprintf("its host carries member %s of a cluster %s that another state manages", marker.Member, marker.Cluster)
	case o != nil && o.GuardCheck == api.GuardMount:
		return o.Guard
	}
	return c.unfitToKnow(report)
}

// unfitToKnow is why a host cannot carry a member, where the first contact was had that tells.
func (c Cluster) unfitToKnow(report Report) string {
	if report.Contact.Machine == "" {
		return ""
	}
	return c.unfit(report.Contact)
}

// written refuses what an unfinished create has left, where somebody has written to it since.
func (c Cluster) written(report Report) string {
	o := report.Observation
	if o == nil || o.Restore != nil || o.Marker == nil || strings.HasPrefix(o.Marker.Token, restoreTokens(c.Restore)) || o.Member.Revision <= 1 {
		return ""
	}
	return fmt.Sprintf("an unfinished create left a member on it, and somebody has written to that since (revision %d): save what you need of it, then stop %s and move %s away",
		o.Member.Revision, api.Unit(c.Name), o.Data.Path)
}

// site measures a host that may be touched.
func (c Cluster) site(s *membership.RestoreStatus, report Report, owner string, now time.Time) {
	o, marker := report.Observation, report.Marker()
	s.Marked = marker != nil
	s.StoreMissing = o == nil && s.Marked
	if o == nil {
		s.Installed = slices.Contains(report.Contact.Installed, c.Store(report.Contact))
		if s.StoreMissing && marker.Phase == api.PhaseFormed { // its member runs on, as far as anybody knows
			s.ServingID = marker.ClusterID
		}
		return
	}
	s.Installed = slices.Contains(o.Store.Installed, c.Stores[o.Facts.Architecture])
	s.Running = o.Unit.ActiveState == "active" || o.Unit.ActiveState == "activating"
	if r := o.Restore; r != nil {
		recordedOf(s, *r)
		s.Configured = marker != nil && !s.Stage.Before(membership.Restored) && c.revived(s.Member, report, Formation{Owner: owner, Token: r.Token}, s.Stage, now)
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

// recordedOf is what a host records of the restore that is under way on it.
func recordedOf(s *membership.RestoreStatus, r api.Restoration) {
	s.Stage, s.Source, s.Snapshot, s.Since = membership.RestoreStage(r.Stage), r.Source, r.Snapshot, r.Began.UTC().Format(time.RFC3339)
	s.Token, s.Seen = r.Token, r.Revision
}

// revived tells whether a host holds all that its restored member is to run by, where it has come to, and whether
// its process was started with that.
func (c Cluster) revived(m membership.Member, report Report, f Formation, reach membership.RestoreStage, now time.Time) bool {
	o := report.Observation
	flags := c.Isolated(m, f)
	if reach == membership.Opened {
		flags = c.Flags(m, f, StateExisting)
	}
	unit, err := c.Unit(o.Facts.MemoryBytes)
	marker := c.Marker(m, f, o.Marker.Phase)
	return err == nil && slices.Equal(o.Flags, flags) && o.Unit.Text == unit &&
		(o.Unit.Process == nil || slices.Equal(o.Unit.Process.Flags, flags)) &&
		o.Store.Selected == c.Stores[o.Facts.Architecture] && o.Marker.Store == o.Store.Selected &&
		o.Marker.Owner == f.Owner && o.Marker.Token == marker.Token && o.Marker.InitialCluster == marker.InitialCluster && len(o.Marker.Added) == 0 &&
		c.certified(m, o.Certificates, now)
}

// restoring names the restore that a host records; empty: none.
func restoring(report Report) string {
	if report.Observation == nil || report.Observation.Restore == nil {
		return ""
	}
	r := report.Observation.Restore
	return fmt.Sprintf("%s, since %s,", r.Source, r.Began.UTC().Format(time.RFC3339))
}
