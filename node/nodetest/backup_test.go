package nodetest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestBackupsOfAHost makes, rehearses, lists and fetches backups as the provider does.
func TestBackupsOfAHost(t *testing.T) {
	d := drive(t, 3)
	d.form()
	first, second := d.addresses[0], d.addresses[1]
	b := api.Backup{Digest: "1", Schedule: "hourly", S3: &api.S3{Endpoint: "https://s3.example.com", Bucket: "b"}, Rehearsal: &api.Rehearsal{Schedule: "daily"}}
	d.must(first, api.OpBackUp, api.BackUpRequest{Owner: "us", Backup: &b}, nil)
	d.must(second, api.OpBackUp, api.BackUpRequest{Owner: "us", Backup: &b}, nil)
	var status api.BackupStatus
	run := api.RunNowRequest{Owner: "us", Timeout: time.Minute}
	if err := d.callAs("", first, api.OpRunNow, run, &status); err != nil || status.Last == nil || status.Last.Backup == "" || status.Digest != "1" || !status.Enabled {
		t.Fatalf("a run is %+v, %v", status, err)
	}
	made := status.Last.Backup
	run.Rehearsal = true
	d.must(second, api.OpRunNow, run, &status)
	if status.Rehearsed == nil || status.Rehearsed.Backup != made || status.Last != nil {
		t.Errorf("a rehearsal is %+v", status)
	}
	var all api.Backups
	d.must(first, api.OpBackups, api.BackupsRequest{}, &all)
	if len(all.Backups) != 1 || all.Backups[0].Name != made || all.Backups[0].VerifiedAt.IsZero() || all.Backups[0].Destination != "s3" {
		t.Errorf("there are %+v", all)
	}
	var fetched api.Snapshot
	d.must(second, api.OpFetch, api.FetchRequest{Owner: "us", DataDir: dataDir, Source: api.Source{Backup: made}, SHA256: all.Backups[0].SHA256, MinorVersion: "3.7"}, &fetched)
	if fetched.SHA256 != all.Backups[0].SHA256 || fetched.Revision != all.Backups[0].Revision {
		t.Errorf("fetched is %+v", fetched)
	}
	d.world.Host(second).RehearsalFails = "it is damaged"
	if err := d.call(second, api.OpRunNow, run, nil); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a rehearsal that fails: %v", err)
	}
	d.world.Host(first).StopBackups("prod")
	if o := d.observe(0); o.Backup == nil || o.Backup.Enabled {
		t.Errorf("stopped, it says %+v", o.Backup)
	}
	if o := d.observe(1); o.Backup.Rehearsed == nil || o.Backup.Rehearsed.Error == "" {
		t.Errorf("failed, it says %+v", o.Backup)
	}
	d.must(first, api.OpBackUp, api.BackUpRequest{Owner: "us"}, nil)
	if o := d.observe(0); o.Backup != nil {
		t.Errorf("disabled, it says %+v", o.Backup)
	}
}

// must makes a call that has to succeed.
func (d *driver) must(address string, op api.Operation, body, result any) {
	d.Helper()
	if err := d.call(address, op, body, result); err != nil {
		d.Fatalf("%s: %v", op, err)
	}
}
