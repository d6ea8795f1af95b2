package bootstrap

import (
	"regexp"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// TestUnbacked says what a host is told of its backups, and when nothing.
func TestUnbacked(t *testing.T) {
	desired := &api.Backup{Digest: "1234567890", Schedule: "hourly", Directory: "/srv/b"}
	for name, test := range map[string]struct {
		desired *api.Backup
		has     *api.BackupStatus
		says    string // empty: nothing
	}{
		"none, and none wanted":    {nil, nil, ""},
		"as wanted":                {desired, &api.BackupStatus{Digest: "1234567890", Enabled: true}, ""},
		"none yet":                 {desired, nil, "no backups yet"},
		"others":                   {desired, &api.BackupStatus{Digest: "another", Enabled: true}, "other settings"},
		"a file that was damaged":  {desired, &api.BackupStatus{}, "other settings"},
		"switched off":             {desired, &api.BackupStatus{Digest: "1234567890"}, "switched off"},
		"not wanted any more":      {nil, &api.BackupStatus{Digest: "1", Enabled: true}, "does not ask for"},
		"secrets not known":        {&api.Backup{}, &api.BackupStatus{Digest: "1", Enabled: true}, ""},
		"off, secrets not known":   {&api.Backup{}, &api.BackupStatus{Digest: "1"}, "switched off"},
		"none, secrets not known":  {&api.Backup{}, nil, "no backups yet"},
		"damaged, and not known":   {&api.Backup{}, &api.BackupStatus{Enabled: true}, "other settings"},
		"units that nobody read":   {desired, &api.BackupStatus{Digest: "1234567890", Enabled: true, NeedReload: true}, "systemd has not read the units of its backups"},
		"off, and by another file": {desired, &api.BackupStatus{Digest: "2"}, "other settings"},
	} {
		got := Cluster{}.BackedUp(test.desired).Unbacked(&api.Observation{Backup: test.has})
		if test.says == "" && got != "" || !strings.Contains(got, test.says) {
			t.Errorf("%s: it says %q, want %q", name, got, test.says)
		}
	}
}

// TestOldRuns: units of backups that are not as they would be written are told of, where the host's store would write
// them so.
func TestOldRuns(t *testing.T) {
	c := Cluster{Spec: membership.Spec{Name: "prod", Version: "3.7.0"}, DataDir: "/var/lib/etcd/prod", Stores: map[string]string{"amd64": "5707e"}, StoresOf: map[string]map[string]string{"3.6.0": {"amd64": "before"}}}
	desired := &api.Backup{Digest: "1234567890", Schedule: "hourly", Directory: "/srv/b", Rehearsal: &api.Rehearsal{Schedule: "weekly"}}
	c = c.BackedUp(desired)
	const memory = 8 << 30
	units, err := systemd.RenderRuns(systemd.RunOptions{
		Cluster: "prod", Store: "/usr/local/lib/etcd-store/prod", StateDir: "/var/lib/etcd/prod.backup", Schedule: "hourly", Rehearsals: "weekly", Writable: []string{"/srv/b"}, Hidden: api.RenewalFile("prod"), MemoryBytes: memory})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		store, units string
		memory       int64
		says         string
		old          bool
	}{
		"as they are written":       {"5707e", systemd.Digest(units), memory, "", false},
		"others":                    {"5707e", "others", memory, OtherRuns, true},
		"for less memory":           {"5707e", systemd.Digest(units), memory / 2, OtherRuns, true},
		"of another line":           {"before", "others", memory, OtherRuns, true},
		"of a store that told not":  {"5707e", "", memory, OtherRuns, true},
		"as an older store does it": {"01de5", "others", memory, "", true},
	} {
		o := &api.Observation{Facts: api.Facts{MemoryBytes: test.memory}, Store: api.Store{Selected: test.store}, Backup: &api.BackupStatus{Digest: "1234567890", Enabled: true, Units: test.units}}
		if got, old := c.Unbacked(o), c.hasOldUnits(o); got != test.says || old != test.old {
			t.Errorf("%s: it says %q, and old %v", name, got, old)
		}
	}
}

// TestBackupWords: two backups that differ have different words, but where they differ in secrets alone, which may be
// others in an apply than in its plan.
func TestBackupWords(t *testing.T) {
	of := func(change func(*api.Backup)) string {
		b := api.Backup{
			Digest: "0123456789abcdef", Schedule: "hourly", Directory: "/srv/b", S3: &api.S3{Bucket: "b", Endpoint: "https://s3.example.com", AccessKeyID: "id", SecretAccessKey: secret.New("secret")},
			Rehearsal: &api.Rehearsal{Schedule: "weekly", Identity: secret.New("identity")},
		}
		change(&b)
		return Cluster{}.BackedUp(&b).Backups
	}
	words := of(func(*api.Backup) {})
	if !regexp.MustCompile(`^hourly to directory /srv/b and bucket b at https://s3.example.com, in the clear, rehearsed weekly \(settings [0-9a-f]{8}\)$`).MatchString(words) {
		t.Errorf("it says %q", words)
	}
	for name, test := range map[string]struct {
		change func(*api.Backup)
		same   bool
	}{
		"the secret of the storage": {func(b *api.Backup) {
			b.S3.AccessKeyID, b.S3.SecretAccessKey, b.Digest = "other", secret.New("other"), "1"
		}, true},
		"the identity":      {func(b *api.Backup) { b.Rehearsal.Identity, b.Digest = secret.New("other"), "2" }, true},
		"what is kept":      {func(b *api.Backup) { b.Keep.Last, b.Digest = 3, "3" }, false},
		"who can read them": {func(b *api.Backup) { b.Recipients, b.Digest = []string{"age1"}, "4" }, false},
		"what is not known": {func(b *api.Backup) { b.Digest = "" }, false},
	} {
		if got := of(test.change); (got == words) != test.same {
			t.Errorf("%s: it says %q, and before %q", name, got, words)
		}
	}
	if words := (Cluster{}).BackedUp(nil).Backups; words != "" {
		t.Errorf("none is %q", words)
	}
}
