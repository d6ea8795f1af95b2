package main

import (
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// TestBackupsOnABootedHost has real systemd start backups and rehearsals in their sandboxes.
func TestBackupsOnABootedHost(t *testing.T) {
	sample.Leave(t, "TestBackupsFromTerraform has booted hosts back up, and node/host has its like with every minor version")
	s, c := booted(t, 0)
	kill := s.lock()
	defer kill()
	s.form(c)
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	// Somebody else owns the directories.
	s.shell("install -d -o nobody -m 0700 /srv/backups /var/lib/metrics")
	b := api.Backup{
		Digest: "1", Schedule: "yearly", Directory: "/srv/backups", Recipients: []string{key.Recipient().String()}, MetricsDir: "/var/lib/metrics",
		Keep: api.Keep{Last: 3}, Rehearsal: &api.Rehearsal{Schedule: "yearly", Identity: secret.New(key.String())},
	}
	put := func() { must[api.Done](s, api.OpBackUp, api.BackUpRequest{Owner: formation.Owner, Backup: &b}) }
	put()
	now := api.RunNowRequest{Owner: formation.Owner, Timeout: 2 * time.Minute}
	made := must[api.BackupStatus](s, api.OpRunNow, now)
	if made.Last == nil || made.Last.Error != "" || !made.Enabled || made.Digest != "1" {
		t.Fatalf("after a backup it says %+v", made)
	}
	now.Rehearsal = true
	proved := must[api.BackupStatus](s, api.OpRunNow, now)
	if proved.Rehearsed == nil || proved.Rehearsed.Backup != made.Last.Backup || proved.Rehearsed.ChecksumsOnly {
		t.Errorf("after a rehearsal it says %+v", proved)
	}
	if all := must[api.Backups](s, api.OpBackups, api.BackupsRequest{}); len(all.Backups) != 1 || all.Backups[0].VerifiedAt.IsZero() || !all.Backups[0].Encrypted || len(all.Problems) > 0 {
		t.Errorf("there are %+v", all)
	}
	if o := must[api.Observation](s, api.OpObserve, c.Ask()); !o.Member.Healthy || o.Unit.Restarts != 0 || o.Backup == nil || o.Backup.Last == nil {
		t.Errorf("the live member is %+v, %+v", o.Unit, o.Member)
	}
	said := s.shell("cat /var/lib/metrics/*.prom " + api.BackupStateDir(c.DataDir) + "/*.json; journalctl --no-pager; cat /etc/systemd/system/etcd-*; ls " + api.BackupStateDir(c.DataDir))
	if strings.Contains(said, key.String()) {
		t.Error("the identity is told to everybody")
	}
	if !strings.Contains(said, "etcd_rehearsal_last_run_success{cluster=\"main\"} 1") || strings.Contains(said, "sending-") {
		t.Errorf("it says:\n%s", said)
	}
	// A run that is started by hand after its slot is done does nothing, and does not fail.
	s.shell("systemctl start etcd-backup@main etcd-rehearsal@main")
	// On a terminal the run says so, and makes another backup if told to.
	byHand := api.SelectedStore("main") + "/store "
	for _, command := range []string{"backup main", "rehearse main"} {
		if said := s.shell(byHand + command); !strings.Contains(said, "nothing was done now: member ") || !strings.Contains(said, "store "+command+" --now") {
			t.Errorf("%s says %q", command, said)
		}
	}
	if said := s.shell(byHand + "rehearse main --now"); strings.Contains(said, "nothing was done") || !strings.Contains(said, "restores, and is what its manifest says") {
		t.Errorf("a rehearsal by hand says %q", said)
	}
	for unit, threshold := range map[string]string{"etcd-backup@main.service": "18", "etcd-rehearsal@main.service": "19", "etcd-reach@main.service": "18"} {
		s.shell("systemd-analyze security --threshold=" + threshold + " " + unit) // running as root alone counts 0.8
	}

	s.hangs()

	// A flipped byte is found and reported, and its unit fails.
	stored := "/srv/backups/main/" + made.Last.Backup + ".db.age"
	s.shell("printf '\\377\\376' | dd conv=notrunc status=none bs=1 seek=5000 of=" + stored)
	if failed := s.refused(api.CodeFailed, api.OpRunNow, now); !strings.Contains(failed.Message, "damaged") || !strings.Contains(failed.Detail, "damaged") {
		t.Errorf("a flipped byte: %+v", failed)
	}
	if state := s.shell("systemctl is-failed etcd-rehearsal@main.service || true; ls " + api.BackupStateDir(c.DataDir)); !strings.HasPrefix(state, "failed") || strings.Contains(state, "rehearsal\n") {
		t.Errorf("the unit is %s", state)
	}

	// The timer starts a run by itself.
	b.Digest, b.Schedule = "2", "*:*:0/10"
	put()
	s.shell("for i in $(seq 90); do test $(ls /srv/backups/main/*.json | wc -l) -ge 2 && exit; sleep 1; done; systemctl list-timers --all; journalctl --unit=etcd-backup@main.service; exit 1")
	must[api.Retired](s, api.OpRetire, api.RetireRequest{Owner: formation.Owner, Purge: true})
	if left := s.shell("systemctl list-units --all --no-legend 'etcd-*'; ls -d " + api.BackupStateDir(c.DataDir) + " /var/lib/metrics/*.prom 2>/dev/null || true"); left != "" {
		t.Errorf("these are left:\n%s", left)
	}
	s.mustBeBare()
	s.shell("ls /srv/backups/main/*.json")
}

// hangs mounts a file system whose server does not answer at the directory of backups when a run begins. systemd starts
// the run nevertheless. The run writes to the other destinations, and reports what is wrong with the directory. The
// server ends after some seconds, so that nobody has to wait until a call to it is given up. A sandbox cannot name a
// file system whose server has ended either.
func (s *session) hangs() {
	s.t.Helper()
	said := s.shell(`exec 2>&1; set -e
ls /dev/fuse >/dev/null 2>&1 || mknod /dev/fuse c 10 229
systemd-run --quiet --unit=hung sh -c 'exec 3<>/dev/fuse; mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 hung /srv/backups; sleep 1000'
until grep -q ' /srv/backups ' /proc/self/mountinfo; do sleep 0.1; done
rm /var/lib/metrics/etcd_backup_main.prom; touch /var/lib/etcd/main.backup/backup.asked
systemctl start --no-block etcd-backup@main; sleep 3
echo "reach is $(systemctl is-active etcd-reach@main), links: $(ls /run/etcd-reach/main | grep -v ^writer | tr '\n' ' ')"
systemctl kill --signal=KILL hung
for i in $(seq 100); do case $(systemctl is-active etcd-backup@main) in failed) break;; esac; sleep 0.2; done
echo "links: $(ls /run/etcd-reach/main | grep -v ^writer | tr '\n' ' ')"
systemctl show --property=Result,ExecMainStatus etcd-backup@main
journalctl --no-pager --unit=etcd-reach@main --unit=etcd-backup@main | tail -12
ls /var/lib/metrics/etcd_backup_main.prom
umount -l /srv/backups; systemctl daemon-reload; systemctl reset-failed; systemctl start etcd-backup@main`)
	for _, want := range []string{"reach is activating, links: writable-0 writable-1 \n", "\nlinks: writable-1 \n", "ExecMainStatus=1\n", "the next run writes nothing to /srv/backups", "store backup: directory: ", "\n/var/lib/metrics/etcd_backup_main.prom\n"} {
		if !strings.Contains(said, want) {
			s.t.Errorf("a run that begins where the directory hangs says no %q:\n%s", want, said)
		}
	}
}
