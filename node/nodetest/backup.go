package nodetest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// backups holds a host's backup settings for a cluster, and what the host remembers of its runs.
type backups struct {
	api.Backup
	units           string    // api.BackupStatus.Units
	unread          bool      // api.BackupStatus.NeedReload
	stopped         bool      // somebody has stopped its timers
	since           time.Time // its schedule was put in place
	newest          time.Time // when the last run of it ended that succeeded
	rehearsing      time.Time // the schedule of its rehearsals was put in place
	proved          time.Time // when the last rehearsal ended that succeeded
	last, rehearsed *api.Run
}

// stored is a backup at a place.
type stored struct {
	api.StoredBackup
	content string
	owner   string // of the cluster that has made it
}

// places returns where a host keeps the backups of a cluster. A directory belongs to one host.
func (c call) places(b api.Backup) map[string]string {
	places := map[string]string{}
	if b.S3 != nil {
		places["s3"] = b.S3.Endpoint + "/" + b.S3.Bucket + "/" + b.S3.Key + "/" + c.cluster
	}
	if b.Directory != "" {
		places["directory"] = c.MachineID + ":" + b.Directory + "/" + c.cluster
	}
	return places
}

// StopBackups stops the timers of a cluster's backups, as an operator would.
func (h *Host) StopBackups(cluster string) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if part := h.on(cluster); part.backups != nil {
		part.backups.stopped = true
	}
}

// backUp configures the host to back its cluster up, or to stop doing so.
func (c call) backUp(r api.BackUpRequest) (api.Done, error) {
	if err := c.mayChange(r.Owner); err != nil {
		return api.Done{}, err
	}
	part := c.on(c.cluster)
	switch {
	case r.Backup == nil:
		part.backups = nil
		return api.Done{}, nil
	case r.Backup.Digest == "" || r.Backup.Schedule == "" || r.Backup.Directory == "" && r.Backup.S3 == nil:
		return api.Done{}, refuse("it is no backup without a digest, a schedule and a destination")
	}
	for _, dir := range []string{r.Backup.Directory, r.Backup.MetricsDir} {
		for _, of := range c.clusters {
			if of.marker == nil || dir == "" {
				continue
			}
			if own := api.Overlap(dir, of.marker.DataDir); own != "" {
				return api.Done{}, refuse("directory %s lies in %s, or that in it, which is the member's own (cluster %s)", dir, own, of.marker.Cluster)
			}
		}
	}
	units, err := systemd.RenderRuns(systemd.RunOptions{
		Cluster: c.cluster, Store: api.SelectedStore(c.cluster), StateDir: api.BackupStateDir(part.marker.DataDir),
		Schedule: r.Backup.Schedule, Rehearsals: r.Backup.Rehearsals(), Writable: r.Backup.Writable(), Hidden: api.RenewalFile(c.cluster), MemoryBytes: c.MemoryBytes,
	})
	if err != nil {
		return api.Done{}, refuse("%s", err)
	}
	next := &backups{Backup: *r.Backup, units: systemd.Digest(units), since: c.world.Clock}
	if r.Backup.Rehearsal != nil {
		next.rehearsing = c.world.Clock
	}
	if before := part.backups; before != nil {
		next.last, next.rehearsed, next.newest, next.proved = before.last, before.rehearsed, before.newest, before.proved
		if before.Schedule == r.Backup.Schedule {
			next.since = before.since
		}
		if next.Rehearsal != nil && before.Rehearsal != nil && before.Rehearsal.Schedule == next.Rehearsal.Schedule {
			next.rehearsing = before.rehearsing
		}
	}
	part.backups = next
	return api.Done{}, nil
}

// RunsByOldUnits has the units of an older store make a cluster's backups.
func (h *Host) RunsByOldUnits(cluster string) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if part := h.on(cluster); part.backups != nil {
		part.backups.units = "older"
	}
}

// runNow makes a backup or a rehearsal.
func (c call) runNow(r api.RunNowRequest) (api.BackupStatus, error) {
	if err := c.mayChange(r.Owner); err != nil {
		return api.BackupStatus{}, err
	}
	part := c.on(c.cluster)
	b := part.backups
	switch {
	case b == nil || r.Rehearsal && b.Rehearsal == nil:
		return api.BackupStatus{}, refuse("this host does not do that for cluster %s", c.cluster)
	case r.Timeout <= 0:
		return api.BackupStatus{}, refuse("%s is no time to wait", r.Timeout)
	}
	run := &api.Run{Began: c.world.Clock, Ended: c.world.Clock}
	err := c.doRun(part, r.Rehearsal, run)
	if err != nil {
		run.Error = err.Error()
	}
	last, newest := &b.last, &b.newest
	if r.Rehearsal {
		last, newest = &b.rehearsed, &b.proved
	}
	if *last = run; err == nil {
		*newest = run.Ended
	}
	return *b.status(), err
}

// doRun carries out a run, and fills in its result.
func (c call) doRun(part *installation, rehearsal bool, run *api.Run) error {
	p := part.unit.Process
	switch {
	case p == nil || !p.Answers() || p.Leader == "":
		return failed("the local member is not well")
	case !p.Member.State().Votes(p.Member.ID):
		return failed("the local member is a learner")
	case rehearsal:
		return c.rehearse(part.backups, p.Member.State(), run)
	case c.BackupFails != "":
		return failed("%s", c.BackupFails)
	}
	taken := c.take(part, p)
	run.Backup, run.Revision = taken.Name, taken.Revision
	return nil
}

// take stores a backup wherever the host keeps any.
func (c call) take(part *installation, p *model.Process) api.StoredBackup {
	s := p.Member.State()
	content := snapshotOf(s)
	sum := sha256.Sum256([]byte(content))
	taken := api.StoredBackup{
		Name: fmt.Sprintf("%s-r%d-%s", c.world.Clock.UTC().Format("20060102T150405Z"), s.Stored(), part.marker.Member), TakenAt: c.world.Clock,
		Revision: s.Stored(), Keys: s.Keys(), SHA256: hex.EncodeToString(sum[:]), SizeBytes: snapshotSize, StoredBytes: snapshotSize,
		EtcdVersion: p.Version, ClusterID: p.Member.Cluster, Member: part.marker.Member, Encrypted: len(part.backups.Recipients) > 0,
	}
	for kind, place := range c.places(part.backups.Backup) {
		taken.Destination = kind
		c.world.stored[place] = append(c.world.stored[place], stored{taken, content, part.marker.Owner})
	}
	return taken
}

// rehearse proves the newest backup.
func (c call) rehearse(b *backups, live model.State, run *api.Run) error {
	newest := c.newestBackup(b.Backup, c.on(c.cluster).marker.Owner)
	if newest == nil {
		return failed("there is no backup to rehearse")
	}
	run.Backup, run.Revision = newest.Name, newest.Revision
	run.BehindRevisions, run.BehindTime = max(0, live.Revision-newest.Revision), c.world.Clock.Sub(newest.TakenAt)
	run.ChecksumsOnly = newest.Encrypted && b.Rehearsal.Identity.IsEmpty()
	if c.RehearsalFails != "" {
		return failed("%s", c.RehearsalFails)
	}
	if !run.ChecksumsOnly {
		newest.VerifiedAt = c.world.Clock
	}
	return nil
}

// newestBackup returns an owner's newest backup that a host knows of, with where to fetch it, or nil.
func (c call) newestBackup(b api.Backup, owner string) *stored {
	places := c.places(b)
	for _, kind := range []string{"s3", "directory"} {
		if place, there := places[kind]; there {
			all := c.world.stored[place]
			for i := range slices.Backward(all) {
				if all[i].owner == owner {
					return &all[i]
				}
			}
			return nil
		}
	}
	return nil
}

// listBackups lists the backups that the host knows of.
func (c call) listBackups(api.BackupsRequest) (api.Backups, error) {
	b := c.on(c.cluster).backups
	if b == nil {
		return api.Backups{}, refuse("this host does not back up cluster %s", c.cluster)
	}
	found := api.Backups{Backups: []api.StoredBackup{}, Problems: []string{}}
	for _, place := range c.places(b.Backup) {
		for _, s := range c.world.stored[place] {
			listed := s.StoredBackup
			listed.Foreign = s.owner != c.on(c.cluster).marker.Owner
			found.Backups = append(found.Backups, listed)
		}
	}
	slices.SortFunc(found.Backups, func(a, b api.StoredBackup) int { return strings.Compare(b.Destination, a.Destination) })
	api.SortNewestFirst(found.Backups, api.StoredBackup.Taken)
	return found, nil
}

// backupContent returns the content of an owner's backup that is at the given place, or that the host knows of. Another
// owner's backup is returned only to a host that carries no cluster, or carried none before the restore that is under
// way.
func (c call) backupContent(from api.Source, owner string) (string, error) {
	part, places := c.on(c.cluster), map[string]string{}
	if b := part.backups; from.In != nil {
		places = c.places(api.Backup{S3: from.In})
	} else if b != nil {
		places = c.places(b.Backup)
	}
	fresh := part.marker == nil || part.restore != nil && part.restore.Marker == nil
	var others []stored
	for _, place := range places {
		for _, s := range slices.Backward(c.world.stored[place]) {
			switch {
			case s.Name != from.Backup && from.Backup != api.LatestBackup:
			case s.owner == owner:
				return s.content, nil
			default:
				others = append(others, s)
			}
		}
	}
	switch {
	case len(others) == 0:
		return "", refuse("there is no backup %q of cluster %s there", from.Backup, c.cluster)
	case fresh && !slices.ContainsFunc(others, func(s stored) bool { return s.owner != others[0].owner }):
		return others[0].content, nil
	}
	return "", refuse("backup %s of cluster %s: another cluster of this name has made it", others[0].Name, c.cluster)
}

// sendBackup sends the content of a backup at a destination of the host.
func (c call) sendBackup(r api.SendBackupRequest) (api.Sent, error) {
	marker := c.on(c.cluster).marker
	if marker == nil {
		return api.Sent{}, refuse("this host carries no cluster %s", c.cluster)
	}
	content, err := c.backupContent(api.Source{Backup: r.Name}, marker.Owner)
	if err == nil && (r.From < 0 || r.From > int64(len(content))) {
		err = refuse("backup %s has %d bytes, and cannot be sent from byte %d on", r.Name, len(content), r.From)
	}
	if err == nil {
		_, err = io.WriteString(c.out, content[r.From:])
	}
	return api.Sent{From: r.From}, err
}

// status returns what the host reports of its backups, or nil if it makes none.
func (b *backups) status() *api.BackupStatus {
	if b == nil {
		return nil
	}
	return &api.BackupStatus{Digest: b.Digest, Units: b.units, Enabled: !b.stopped, NeedReload: b.unread, Last: b.last, Rehearsed: b.rehearsed,
		Newest: b.newest, Since: b.since, Proved: b.proved, Rehearsing: b.rehearsing, Every: map[string]time.Duration{"hourly": time.Hour, "daily": 24 * time.Hour}[b.Schedule]}
}

// renewals are how a host renews certificates by itself.
type renewals struct {
	api.Renewal
	units   string // api.RenewalStatus.Units
	unread  bool   // api.RenewalStatus.NeedReload
	stopped bool   // somebody has stopped its timer
	damaged bool   // what it renews by cannot be read
	last    *api.RenewalRun
}

// Renews returns what a host renews certificates of a cluster by; nil: it does not.
func (h *Host) Renews(cluster string) *api.Renewal {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if r := h.on(cluster).renewals; r != nil {
		return &r.Renewal
	}
	return nil
}

// StopRenewals stops the timer of a cluster's renewals, as an operator would.
func (h *Host) StopRenewals(cluster string) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if r := h.on(cluster).renewals; r != nil {
		r.stopped = true
	}
}

// RenewsByOldUnits has the units of an older store renew a cluster's certificates.
func (h *Host) RenewsByOldUnits(cluster string) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if r := h.on(cluster).renewals; r != nil {
		r.units = "older"
	}
}

// HasUnreadUnits has the files of the units of a cluster's backups and renewals written, which systemd does not reread.
func (h *Host) HasUnreadUnits(cluster string) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	part := h.on(cluster)
	if part.renewals != nil {
		part.renewals.unread = true
	}
	if part.backups != nil {
		part.backups.unread = true
	}
}

// RemoveRenewals removes what a host renews certificates of a cluster by, and stops their timer.
func (h *Host) RemoveRenewals(cluster string) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	h.on(cluster).renewals = nil
}

// DamageRenewals damages what a host renews certificates of a cluster by.
func (h *Host) DamageRenewals(cluster string) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if r := h.on(cluster).renewals; r != nil {
		r.damaged = true
	}
}

// RanRenewal has a run of the host's timer end so.
func (h *Host) RanRenewal(cluster string, run api.RenewalRun) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if r := h.on(cluster).renewals; r != nil {
		r.last = &run
	}
}

// renewOnHost configures the host to renew certificates by itself, or to stop doing so.
func (c call) renewOnHost(r api.RenewOnHostRequest) (api.Done, error) {
	if err := c.mayChange(r.Owner); err != nil {
		return api.Done{}, err
	}
	part := c.on(c.cluster)
	var has *api.Renewal
	over := func() (*api.Renewal, error) { return r.Over(has) }
	switch renews := part.renewals; {
	case renews != nil && renews.damaged:
		over = func() (*api.Renewal, error) { return r.OverDamaged(c.cluster) }
	case renews != nil:
		has = &renews.Renewal
	}
	by, err := over()
	switch {
	case err != nil:
		return api.Done{}, err
	case by == nil:
		part.renewals = nil
		return api.Done{}, nil
	}
	if err := c.trySigners(part, *by, has); err != nil {
		return api.Done{}, err
	}
	units, err := systemd.RenderRenewal(systemd.RenewOptions{
		Cluster: c.cluster, Store: api.SelectedStore(c.cluster), ConfigDir: api.ConfigDir(c.cluster), Metrics: api.MetricsDir, RunDir: api.RunDir,
		Reaches: by.Reaches(part.marker.PeerURL()),
	})
	if err != nil {
		return api.Done{}, refuse("%s", err)
	}
	next := &renewals{Renewal: *by, units: systemd.Digest(units)}
	if part.renewals != nil {
		next.last = part.renewals.last
	}
	part.renewals = next
	return api.Done{}, nil
}

// trySigners has servers sign that the host has not asked so before.
func (c call) trySigners(part *installation, by api.Renewal, has *api.Renewal) error {
	for _, name := range api.KeyNames {
		place := by.For(name)
		if place == nil || has != nil && has.For(name) != nil && has.For(name).Digest == place.Digest || !part.keys[name].Belongs(part.certificates[name]) {
			continue
		}
		if c.SignerFails != "" {
			return failed("the host cannot renew certificate %s by on_hosts: %s", name, c.SignerFails)
		}
	}
	return nil
}

// status returns what the host reports of its renewals, or nil if it makes none.
func (r *renewals) status() *api.RenewalStatus {
	if r == nil {
		return nil
	}
	if r.damaged {
		return &api.RenewalStatus{Damaged: true}
	}
	peers, clients := r.Digests()
	return &api.RenewalStatus{Peers: peers, Clients: clients, Units: r.units, Enabled: !r.stopped, NeedReload: r.unread, Last: r.last}
}
