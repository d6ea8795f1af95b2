package backups

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/unitfiles"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// BackUp has the host back its cluster up by timers, or disables that.
//
// It writes the settings after the units, so that settings mean that there are units, and before it starts the timers,
// so that every run finds its settings.
func (h Host) BackUp(ctx context.Context, cluster string, r api.BackUpRequest) error {
	marker, err := h.Records.Owned(cluster, r.Owner)
	if err != nil {
		return err
	}
	if r.Backup == nil {
		return h.Disable(ctx, cluster, marker.DataDir)
	}
	if err := h.mayBackUp(ctx, *marker, *r.Backup); err != nil {
		return err
	}
	units, err := h.UnitTexts(*marker, *r.Backup)
	if err != nil {
		return err
	}
	if err := h.Files.EnsureDir(api.BackupStateDir(marker.DataDir), files.RootUser, files.PublicDir); err != nil {
		return err
	}
	if err := h.putUnits(ctx, cluster, units); err != nil {
		return err
	}
	if err := h.Put(*marker, *r.Backup); err != nil {
		return err
	}
	for _, name := range timerNames(cluster, *r.Backup) {
		if err := h.Units.Start(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// mayBackUp refuses settings that no run could work with.
func (h Host) mayBackUp(ctx context.Context, marker api.Marker, b api.Backup) error {
	if b.Digest == "" {
		return api.Refuse("the backup has no digest to know it by")
	}
	schedules := []string{b.Schedule}
	if b.Rehearsal != nil {
		schedules = append(schedules, b.Rehearsal.Schedule)
	}
	for _, schedule := range schedules {
		if _, err := h.calendar().Slot(ctx, schedule); err != nil {
			return api.Refuse("%s", err)
		}
	}
	if err := h.mayWriteTo(marker, "backup directory", b.Directory); err != nil {
		return err
	}
	if err := h.mayWriteTo(marker, "metrics directory", b.MetricsDir); err != nil {
		return err
	}
	if b.MetricsDir != "" && !files.IsDir(h.Files.Path(b.MetricsDir)) {
		return api.Refuse("metrics directory %s is not there: name the one that node_exporter reads (--collector.textfile.directory)", b.MetricsDir)
	}
	if _, err := backupKeys(b); err != nil {
		return api.Refuse("%s", err)
	}
	all, err := h.destinations(ctx, b)
	if err != nil {
		return api.Refuse("%s", err)
	}
	for _, d := range all {
		if errors.Is(d.away, backup.ErrStorageHangs) {
			return api.Refuse("%s", d.away) // the directory can be neither made nor found
		}
	}
	return nil
}

// Put records the settings of runs, and makes the directory of backups. Runs do not make it: if it is gone later, the
// disk that belongs there may not be mounted.
func (h Host) Put(marker api.Marker, b api.Backup) error {
	text, err := json.MarshalIndent(secret.Revealed(b), "", "  ")
	if err != nil {
		return errors.New("encode the backup") // without a cause, which might quote a secret
	}
	if old, err := h.backup(marker.Cluster); b.Directory != "" && (err != nil || old == nil || old.Directory != b.Directory) && !files.IsDir(h.Files.Path(b.Directory)) {
		if err := h.Files.EnsureDir(b.Directory, files.RootUser, files.DataMode); err != nil {
			return err
		}
	}
	_, err = h.Files.Put(files.File{Path: api.BackupFile(marker.Cluster), Text: append(text, '\n'), Owner: files.RootUser, Mode: files.KeyFile})
	return err
}

// backup returns the settings of the host's backups, or nil if it makes none.
func (h Host) backup(cluster string) (*api.Backup, error) {
	return records.Settings[api.Backup](h.Files.Path(api.BackupFile(cluster)), errBackupFile)
}

// errBackupFile is the error of a BackupFile that no call of this store can have written.
var errBackupFile = errors.New("the file that says how the cluster is backed up cannot be read: apply again")

// UnitTexts returns the units that a backup needs, by their names.
func (h Host) UnitTexts(marker api.Marker, b api.Backup) (map[string]string, error) {
	memory, err := h.proc().Memory()
	if err != nil {
		return nil, err
	}
	o := systemd.RunOptions{
		Cluster: marker.Cluster, Store: api.SelectedStore(marker.Cluster), StateDir: api.BackupStateDir(marker.DataDir),
		Schedule: b.Schedule, Rehearsals: b.Rehearsals(), Writable: b.Writable(), Hidden: api.RenewalFile(marker.Cluster), MemoryBytes: memory,
	}
	units, err := systemd.RenderRuns(o)
	if err != nil {
		return nil, api.Refuse("%s", err)
	}
	return units, nil
}

// timerNames returns the names of the timers that a backup needs.
func timerNames(cluster string, b api.Backup) []string {
	names := []string{api.BackupUnit(cluster) + ".timer"}
	if b.Rehearsal != nil {
		names = append(names, api.RehearsalUnit(cluster)+".timer")
	}
	return names
}

// AllUnits returns all units that any backup needs, and those that a newer release of the provider has written: they
// call what this store does not have. Units that start others come first.
func (h Host) AllUnits(cluster string) ([]string, error) {
	backup, rehearsal := api.BackupUnit(cluster), api.RehearsalUnit(cluster)
	known := []string{backup + ".timer", rehearsal + ".timer", backup + ".service", rehearsal + ".service", api.ReachUnit(cluster)}
	others, err := h.unitFiles().Others(cluster, api.Units(cluster))
	if err != nil {
		return nil, err
	}
	return append(others, known...), nil
}

// putUnits writes these units, removes all other units of backups, and has systemd read what it has not read yet.
func (h Host) putUnits(ctx context.Context, cluster string, units map[string]string) error {
	all, err := h.AllUnits(cluster)
	if err != nil {
		return err
	}
	return h.unitFiles().Put(ctx, all, units)
}

// Disable removes all units, settings and records of the cluster's backups. The backups stay. The settings, which show
// that there is something to remove, go last.
func (h Host) Disable(ctx context.Context, cluster, dataDir string) error {
	if err := h.putUnits(ctx, cluster, nil); err != nil {
		return err
	}
	if b, err := h.backup(cluster); err == nil && b != nil && b.MetricsDir != "" {
		if err := h.removeMetrics(b.MetricsDir, cluster); err != nil {
			return err
		}
	}
	if err := h.RemoveState(cluster, dataDir); err != nil {
		return err
	}
	file := h.Files.Path(api.BackupFile(cluster))
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(files.Remove(file), files.SyncDir(filepath.Dir(file)))
}

// removeMetrics removes the metrics of runs.
func (h Host) removeMetrics(dir, cluster string) error {
	_, err := backup.UnlessItHangs(h.HangsAfter(), func(func()) (struct{}, error) {
		for _, kind := range Kinds {
			if err := files.Remove(h.Files.Path(MetricsFile(dir, kind, cluster))); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	if errors.Is(err, backup.ErrStorageHangs) {
		return api.Refuse("metrics directory %s: %s: see whether the server of its file system is there, or unmount it (umount -l)", dir, err)
	}
	return err
}

// Status returns what the host knows of its cluster's backups, or nil if it makes none.
func (h Host) Status(ctx context.Context, marker api.Marker) (*api.BackupStatus, error) {
	b, err := h.backup(marker.Cluster)
	switch {
	case errors.Is(err, errBackupFile):
		return &api.BackupStatus{}, nil // the next apply writes the settings anew
	case err != nil || b == nil:
		return nil, err
	}
	run := timerNames(marker.Cluster, *b)
	all, unlisted := h.AllUnits(marker.Cluster)
	if unlisted != nil {
		all = run
	}
	has, err := h.unitFiles().Status(ctx, all, run)
	if err != nil {
		return nil, err
	}
	status := &api.BackupStatus{Digest: b.Digest, Units: has.Units, Enabled: has.Enabled, NeedReload: has.NeedReload}
	if unlisted != nil {
		status.Units = "" // the next apply says why
	}
	ctx, cancel := context.WithTimeout(ctx, units.Timeout)
	defer cancel()
	made, rehearsed := h.Record(marker, KindBackup), h.Record(marker, KindRehearsal)
	status.Last, status.Newest, status.Since = made.Last, made.Newest(), h.since(api.BackupUnit(marker.Cluster))
	status.Every = h.calendar().LongestGap(ctx, b.Schedule)
	status.Rehearsed, status.Proved = rehearsed.Last, rehearsed.Newest()
	if b.Rehearsal != nil {
		status.Rehearsing = h.since(api.RehearsalUnit(marker.Cluster))
	}
	return status, nil
}

// since returns since when a timer has its schedule: only a new one changes its file, and no other setting of the
// backup.
func (h Host) since(unit string) time.Time {
	info, err := os.Stat(h.Files.Path(path.Join(unitfiles.Dir, unit+".timer")))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime().UTC()
}

// RunNow starts a run in its unit and waits for its end. The run does its work even if another member has done the
// slot.
func (h Host) RunNow(ctx context.Context, cluster string, r api.RunNowRequest) (api.BackupStatus, error) {
	marker, err := h.Records.Owned(cluster, r.Owner)
	if err != nil {
		return api.BackupStatus{}, err
	}
	b, err := h.backup(cluster)
	if err != nil {
		return api.BackupStatus{}, err
	}
	kind, unit := KindBackup, api.BackupUnit(cluster)+".service"
	if r.Rehearsal {
		kind, unit = KindRehearsal, api.RehearsalUnit(cluster)+".service"
	}
	if b == nil || r.Rehearsal && b.Rehearsal == nil {
		return api.BackupStatus{}, api.Refuse("this host makes no %s of cluster %s", kind, cluster)
	}
	if r.Timeout <= 0 {
		return api.BackupStatus{}, api.Refuse("%s is no time to wait for a %s", r.Timeout, kind)
	}
	waiting, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	failed := h.runUnit(waiting, *marker, kind, unit)
	status, err := h.Status(ctx, *marker)
	if err != nil {
		return api.BackupStatus{}, errors.Join(failed, err)
	}
	if failed != nil {
		return *status, h.runFailure(ctx, *marker, kind, unit, failed)
	}
	return *status, nil
}

// runUnit starts the unit of a run, and waits for its end. If a run was under way that had begun before the request,
// runUnit waits for that run, and starts another one.
func (h Host) runUnit(ctx context.Context, marker api.Marker, kind, unit string) error {
	asked := AskedFile(marker.DataDir, kind)
	if _, err := h.Files.Put(files.File{Path: asked, Text: []byte(h.Now().UTC().Format(time.RFC3339Nano) + "\n"), Owner: files.RootUser, Mode: files.UnitFile}); err != nil {
		return err
	}
	var failed error
	for range 2 {
		failed = h.Units.Run(ctx, unit)
		if _, err := os.Lstat(h.Files.Path(asked)); errors.Is(err, fs.ErrNotExist) {
			return failed
		}
	}
	if failed == nil {
		failed = errors.New("it has not done what it was asked for")
	}
	return errors.Join(failed, files.Remove(h.Files.Path(asked)))
}

// runFailure returns why a run has failed: the error that the run recorded, if it did, and the end of its journal.
func (h Host) runFailure(ctx context.Context, marker api.Marker, kind, unit string, failed error) error {
	message := fmt.Sprintf("%s of cluster %s: %s", kind, marker.Cluster, failed)
	if last := h.Record(marker, kind).Last; last != nil && last.Error != "" {
		message = fmt.Sprintf("%s of cluster %s at %s: %s", kind, marker.Cluster, last.Ended.Format(time.RFC3339), last.Error)
	}
	e := &api.Error{Code: api.CodeFailed, Message: message}
	for _, line := range h.journal().Failure(ctx, unit) {
		e.Detail += line + "\n"
	}
	return e
}
