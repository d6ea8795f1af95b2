package backups

import (
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// Kinds of runs, by their names in messages, files, metrics and keys.
const (
	KindBackup    = "backup"
	KindRehearsal = "rehearsal"
)

var Kinds = []string{KindBackup, KindRehearsal}

// Files of a run, beside the data. All may read them: there is nothing secret in them.
func RecordFile(dataDir, kind string) string {
	return path.Join(api.BackupStateDir(dataDir), kind+".json")
}

// AskedFile has the next run do its work even if another member has done the slot.
func AskedFile(dataDir, kind string) string {
	return path.Join(api.BackupStateDir(dataDir), kind+".asked")
}

// LockFile keeps runs of the processes of this host apart while the cluster takes no lock.
func LockFile(dataDir, kind string) string {
	return path.Join(api.BackupStateDir(dataDir), kind+".lock")
}

// MetricsFile is the file of the runs' metrics, with the suffix that node_exporter reads.
func MetricsFile(dir, kind, cluster string) string {
	return path.Join(dir, "etcd_"+kind+"_"+cluster+".prom")
}

// Record is what this host remembers of the runs of one kind that it has done.
type Record struct {
	Last     *api.Run `json:"last"`
	Good     *api.Run `json:"good"`       // the last that succeeded
	Slot     string   `json:"slot"`       // of the schedule, that it was for
	Bytes    int64    `json:"size_bytes"` // of the snapshot of that one, in the clear
	Failures int      `json:"failures"`   // so far

	Known time.Time `json:"known,omitzero"` // when another member's last run ended, as far as this host knows
}

// Record reads the host's record. One that cannot be read counts as none: the next run writes it anew.
func (h Host) Record(marker api.Marker, kind string) Record {
	var record Record
	text, err := inside.ReadFile(h.Files.Path(RecordFile(marker.DataDir, kind)))
	if err != nil || json.Unmarshal(text, &record) != nil {
		return Record{}
	}
	return record
}

// Newest returns when the newest successful run of any member ended, or zero if this host knows of none.
func (r Record) Newest() time.Time {
	if r.Good != nil && r.Good.Ended.After(r.Known) {
		return r.Good.Ended
	}
	return r.Known
}

// remember records when another member's run ended. So every host knows how old the newest backup is, also if the host
// that made the backup cannot be asked.
func (r *run) remember(ended time.Time) error {
	record := r.Record(r.marker, r.kind)
	if !ended.After(record.Known) {
		return nil
	}
	record.Known = ended
	return r.PutRecord(r.marker, r.kind, record)
}

// PutRecord writes the record of runs of a kind.
func (h Host) PutRecord(marker api.Marker, kind string, record Record) error {
	text, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	if _, err := h.Files.Put(files.File{Path: RecordFile(marker.DataDir, kind), Text: append(text, '\n'), Owner: files.RootUser, Mode: files.UnitFile}); err != nil {
		return fmt.Errorf("record the %s: %w", kind, err)
	}
	return nil
}

// record records a run that has ended, and writes its metrics.
func (r *run) record() error {
	record := r.Record(r.marker, r.kind)
	result := r.result
	if record.Last = &result; result.Error == "" {
		record.Good, record.Slot, record.Bytes = &result, r.slot, r.bytes
	} else {
		record.Failures++
	}
	if err := r.PutRecord(r.marker, r.kind, record); err != nil {
		return err
	}
	dir := r.config.MetricsDir
	if dir == "" {
		dir = api.BackupStateDir(r.marker.DataDir)
	}
	path := MetricsFile(dir, r.kind, r.marker.Cluster)
	text := files.File{Path: path, Text: []byte(metrics(r.kind, r.marker.Cluster, record)), Owner: files.RootUser, Mode: files.UnitFile}
	if _, err := backup.UnlessItHangs(r.HangsAfter(), func(func()) (bool, error) { return r.Files.Put(text) }); err != nil {
		return fmt.Errorf("write metrics to %s: %w", filepath.Dir(path), err)
	}
	return nil
}

// metrics returns the metrics of one kind of runs on this host in Prometheus' text format.
func metrics(kind, cluster string, r Record) string {
	var b strings.Builder
	tell := func(name, help, kindOf string, value float64) {
		name = "etcd_" + kind + "_" + name
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n%s{cluster=%q} %s\n", name, help, name, kindOf, name, cluster, strconv.FormatFloat(value, 'f', -1, 64))
	}
	tell("last_run_timestamp_seconds", "When the last "+kind+" that this host has done itself ended.", "gauge", seconds(r.Last.Ended))
	tell("last_run_success", "Whether that one succeeded.", "gauge", map[bool]float64{true: 1}[r.Last.Error == ""])
	tell("last_run_duration_seconds", "How long that one took.", "gauge", r.Last.Ended.Sub(r.Last.Began).Seconds())
	tell("failures_total", "How many have failed on this host.", "counter", float64(r.Failures))
	if r.Good == nil {
		return b.String()
	}
	tell("last_success_timestamp_seconds", "When the last one that succeeded ended.", "gauge", seconds(r.Good.Ended))
	tell("duration_seconds", "How long the last one that succeeded took.", "gauge", r.Good.Ended.Sub(r.Good.Began).Seconds())
	tell("size_bytes", "Size of its snapshot in the clear.", "gauge", float64(r.Bytes))
	tell("revision", "Revision of its snapshot.", "gauge", float64(r.Good.Revision))
	if kind == KindRehearsal {
		tell("behind_revisions", "How many revisions a restore of that backup would have lost.", "gauge", float64(r.Good.BehindRevisions))
		tell("behind_seconds", "How old that backup was.", "gauge", r.Good.BehindTime.Seconds())
	}
	return b.String()
}

// seconds returns a time as Prometheus writes it.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
