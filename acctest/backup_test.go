package acctest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup/s3test"
)

// TestBackupsFromTerraform has hosts back their cluster up to an S3 server with a certificate of a private authority,
// encrypted, and prove by themselves that it restores; all by one attribute. The newest backup is restored over the
// cluster, which is backed up at once then. A byte that flips in the storage, and credentials that are revoked, show in
// the next plan.
func TestBackupsFromTerraform(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	certificate, key := s3test.SelfSigned(t, "192.0.2.1")
	storage := storageIn(t, l, s3test.Options{CertFile: certificate, KeyFile: key})
	storage.MakeBucket(t, "backups")
	const secret = "swordfish-0123456789abcdef"
	storage.AddUser(t, "saver", secret, "backups")
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	backedUp := func(schedule string) setup {
		return setup{cluster: fmt.Sprintf(`
  backup = {
    schedule   = %q
    recipients = [%q]
    keep       = { last = 5 }
    rehearsal  = { schedule = "*:*:0/10", identity = %q }
    s3 = {
      endpoint          = %q
      region            = %q
      bucket            = "backups"
      prefix            = "etcd"
      path_style        = true
      ca_certificate    = file(%q)
      access_key_id     = "saver"
      secret_access_key = %q
    }
  }`, schedule, identity.Recipient(), identity, storage.Endpoint(), s3test.Region, certificate, secret)}
	}
	const listed = `
data "etcd_backups" "prod" {
  cluster = { name = etcd_cluster.prod.name, owner = etcd_cluster.prod.owner, members = etcd_cluster.prod.members }
}
`
	v := &saved{workspace: newWorkspace(t, l, configuration(t, l, backedUp("*:*:0/10"))+listed)}
	printed := v.apply()
	v.mustBeSettled()
	if !strings.Contains(v.read("progress.log"), "back up: *:*:0/10 to bucket backups at "+storage.Endpoint()) {
		t.Fatalf("the create was\n%s", v.read("progress.log"))
	}
	v.fill("kept", kept)
	written := float64(v.revisionNow())
	proved := v.await(func(status map[string]any, _ string) bool {
		revision, _ := status["revision"].(float64)
		return revision >= written && status["rehearsed"] != nil && status["checksums_only"] == false
	})
	for _, name := range []string{"backup", "taken_at", "revision", "rehearsed_at", "rehearsal_seconds", "behind_revisions", "behind_seconds"} {
		if proved[name] == nil {
			t.Fatalf("once rehearsed, the status says no %s: %v", name, proved)
		}
	}

	v.write("main.tf", configuration(t, l, backedUp("yearly"))+listed)
	printed += v.apply()
	v.mustBeSettled()
	for _, host := range []string{"a", "b", "c"} {
		backupsEnd(t, l.Host(host))
	}
	// Runs that overlapped, or that the apply ended, have left what one by itself removes.
	inHost(t, l.Host("a"), "/usr/local/lib/etcd-store/prod/store", "backup", "prod", "--now")
	newest := v.await(func(map[string]any, string) bool { return true })["backup"].(string)
	found, _ := v.state("data.etcd_backups.prod")
	// The newest that is proved stays beside the five newest.
	tooMany := func(all []any) bool {
		return len(all) > 6 || len(all) == 6 && all[5].(map[string]any)["verified_at"] == nil
	}
	if all, _ := found["backups"].([]any); len(all) == 0 || tooMany(all) || len(found["problems"].([]any)) > 0 || all[0].(map[string]any)["name"] != newest ||
		all[0].(map[string]any)["encrypted"] != true || len(all[0].(map[string]any)["seen_by"].([]any)) != 3 {
		t.Fatalf("the backups are %v, and the newest is %s", found, newest)
	}
	v.id = v.clusterID()
	v.fill("later", later)
	v.seen = v.revisionNow()
	restoring := backedUp("yearly")
	restoring.cluster += fmt.Sprintf("\nrestore = {\n overwrite_cluster_id = %q\n backup = %q\n}\n", v.id, newest)
	v.write("main.tf", configuration(t, l, restoring)+listed)
	printed += v.apply()
	v.mustBeRestored()
	v.await(func(status map[string]any, _ string) bool {
		found, _ = v.state("data.etcd_backups.prod")
		first := found["backups"].([]any)[0].(map[string]any)
		newest = first["name"].(string)
		return first["cluster_id"] == v.clusterID() && status["backup"] == newest
	})

	object := storage.File("backups", "etcd/prod/"+newest+".db.age")
	content, err := os.ReadFile(object)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(object, content, 0o600); err != nil {
		t.Fatal(err)
	}
	v.await(func(status map[string]any, warned string) bool {
		return status["rehearsal_error"] != nil && strings.Contains(warned, "The last rehearsal of a restore of cluster prod failed")
	})

	storage.RevokeUser(t, "saver")
	v.write("main.tf", configuration(t, l, backedUp("*:*:0/10")))
	printed += v.apply()
	v.await(func(status map[string]any, warned string) bool {
		return status["error"] != nil && strings.Contains(warned, "The last backup of cluster prod failed")
	})

	for _, host := range []string{"a", "b", "c"} {
		search := fmt.Sprintf("journalctl | grep -e swordfish -e '%[1]s'; find /etc /var /root /srv /tmp -xdev -type f -perm /044 -size -1000k -exec grep -l -e swordfish -e '%[1]s' {} + 2>/dev/null; true", identity)
		told := inHost(t, l.Host(host), "sh", "-c", search)
		if strings.TrimSpace(told) != "" {
			t.Errorf("%s: the secrets are told to everybody: %s", host, told)
		}
		if kept := inHost(t, l.Host(host), "sh", "-c", "grep -l swordfish /etc/etcd/prod/backup.json; true"); strings.TrimSpace(kept) == "" {
			t.Errorf("%s: the host has not got the secret, and the search finds nothing", host)
		}
	}
	for _, text := range []string{printed, v.read("progress.log"), v.read("terraform.tfstate")} {
		if strings.Contains(text, "swordfish") || strings.Contains(text, identity.String()) {
			t.Error("what was printed, logged or kept in the state has a secret")
		}
	}

	v.write("main.tf", configuration(t, l, setup{}))
	v.apply()
	v.mustBeSettled()
	for _, host := range []string{"a", "b", "c"} {
		if left := inHost(t, l.Host(host), "sh", "-c", "systemctl list-units --all --no-legend 'etcd-backup@*' 'etcd-rehearsal@*'; ls /etc/etcd/prod/backup.json 2>/dev/null; true"); strings.TrimSpace(left) != "" {
			t.Errorf("%s: these are left:\n%s", host, left)
		}
	}
}

// TestRestoreOfABackupOnAHost restores the latest backup from a directory of one host, which sends it to the others.
func TestRestoreOfABackupOnAHost(t *testing.T) {
	sample.Leave(t, "TestRestoreOverARunningCluster restores on booted hosts, and the resources have a test of this name")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	backedUp := setup{cluster: `backup = {
    directory = "/srv/backups"
    schedule  = "yearly"
    rehearsal = { schedule = "yearly" }
  }
`}
	v := &saved{workspace: newWorkspace(t, l, configuration(t, l, backedUp)), setup: backedUp}
	spool := t.TempDir()
	v.env = append(v.env, "TMPDIR="+spool)
	v.apply()
	v.fill("kept", kept)
	backUpNow(t, l.Host("b"))
	v.fill("later", later)
	v.id, v.seen = v.clusterID(), v.revisionNow()
	backedUp.cluster += fmt.Sprintf("restore = {\n backup = \"latest\"\n overwrite_cluster_id = %q\n}\n", v.id)
	v.write("main.tf", configuration(t, l, backedUp))
	v.apply()
	v.mustBeRestored()
	if left, err := filepath.Glob(filepath.Join(spool, "snapshot-*")); err != nil || len(left) > 0 {
		t.Errorf("what was received is still there: %v, %v", left, err)
	}
}

// backUpNow has a host back its cluster up as the provider asks for it: by a file, and a start of the unit, with
// options of systemctl's.
func backUpNow(t testing.TB, h *lab.Host, options ...string) {
	t.Helper()
	inHost(t, h, "sh", "-c", "date -u +%Y-%m-%dT%H:%M:%SZ >/var/lib/etcd/prod.backup/backup.asked && systemctl start etcd-backup@prod "+strings.Join(options, " "))
}

// backupsEnd waits until the runs that a host has begun have ended: a backup that is being made is not in the status
// yet, and may be in the list, beside those that it drops in the end.
func backupsEnd(t testing.TB, h *lab.Host) {
	t.Helper()
	inHost(t, h, "sh", "-c", "while systemctl list-units --no-legend --state=active,activating,deactivating 'etcd-backup@*.service' | grep -q .; do sleep 0.2; done")
}

// await refreshes until the state's backup_status, and what the refresh warned of, are as they are to be.
func (v *saved) await(is func(status map[string]any, warned string) bool) map[string]any {
	v.t.Helper()
	var status map[string]any
	var warned string
	for end := time.Now().Add(4 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) { // it catches a hang
		warned = v.must("apply", "-refresh-only", "-auto-approve", "-no-color")
		attributes, _ := v.state("etcd_cluster.prod")
		status, _ = attributes["backup_status"].(map[string]any)
		if status != nil && is(status, strings.Join(strings.Fields(strings.ReplaceAll(warned, "│", " ")), " ")) {
			return status
		}
	}
	v.t.Fatalf("it stays %v, and warns:\n%s", status, warned)
	return nil
}
