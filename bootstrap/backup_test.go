package bootstrap

import (
	"regexp"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
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
		"off, and by another file": {desired, &api.BackupStatus{Digest: "2"}, "other settings"},
	} {
		got := Cluster{}.BackedUp(test.desired).Unbacked(&api.Observation{Backup: test.has})
		if test.says == "" && got != "" || !strings.Contains(got, test.says) {
			t.Errorf("%s: it says %q, want %q", name, got, test.says)
		}
	}
}

// TestBackupWords: two backups that differ have different words, but where they differ in secrets alone, which may be others
// in an apply than in its plan.
func TestBackupWords(t *testing.T) {
	of := func(change func(*api.Backup)) string {
		b := api.Backup{
			Digest: "0123456789abcdef", Schedule: "hourly", Directory: "/srv/b", S3: &api.S3{Bucket: "b", Endpoint: "https://s3.example.com", AccessKeyID: "id", SecretAccessKey: "secret"},
			Rehearsal: &api.Rehearsal{Schedule: "weekly", Identity: "identity"},
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
		"the secret of the storage": {func(b *api.Backup) { b.S3.AccessKeyID, b.S3.SecretAccessKey, b.Digest = "other", "other", "1" }, true},
		"the identity":              {func(b *api.Backup) { b.Rehearsal.Identity, b.Digest = "other", "2" }, true},
		"what is kept":              {func(b *api.Backup) { b.Keep.Last, b.Digest = 3, "3" }, false},
		"who can read them":         {func(b *api.Backup) { b.Recipients, b.Digest = []string{"age1"}, "4" }, false},
		"what is not known":         {func(b *api.Backup) { b.Digest = "" }, false},
	} {
		if got := of(test.change); (got == words) != test.same {
			t.Errorf("%s: it says %q, and before %q", name, got, words)
		}
	}
	if words := (Cluster{}).BackedUp(nil).Backups; words != "" {
		t.Errorf("none is %q", words)
	}
}
