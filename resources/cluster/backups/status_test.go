package backups

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestRehearsalsThatAreMissed holds that a plan warns where none has succeeded for longer than it may be, also where no
// run has left a record, and that a host which cannot be asked makes nothing stale that others know of.
func TestRehearsalsThatAreMissed(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	days := func(n int) time.Time { return now.Add(-time.Duration(n) * 24 * time.Hour) }
	run := func(ago int, failure string) *api.Run { return &api.Run{Ended: days(ago), Error: failure} }
	unreachable := (*api.BackupStatus)(nil)
	for name, test := range map[string]struct {
		hosts []*api.BackupStatus
		says  string
	}{
		"set up just now":                          {[]*api.BackupStatus{{Rehearsing: days(1)}, {Rehearsing: days(1)}}, ""},
		"never, though set up long ago":            {[]*api.BackupStatus{{Rehearsing: days(30)}, {Rehearsing: days(1)}}, "None has succeeded since rehearsals were set up at 2026-02-02"},
		"all have failed":                          {[]*api.BackupStatus{{Rehearsing: days(30), Rehearsed: run(2, "no")}}, "None has succeeded since"},
		"one of before, set up anew":               {[]*api.BackupStatus{{Rehearsing: days(1), Rehearsed: run(30, ""), Proved: days(30)}}, "It was at 2026-02-02"},
		"lately":                                   {[]*api.BackupStatus{{Rehearsing: days(30), Rehearsed: run(2, ""), Proved: days(2)}}, ""},
		"lately, by one that cannot be asked":      {[]*api.BackupStatus{unreachable, {Rehearsing: days(30), Rehearsed: run(10, ""), Proved: days(2)}}, ""},
		"lately, and a failure since":              {[]*api.BackupStatus{{Rehearsing: days(30), Rehearsed: run(1, "no"), Proved: days(7)}}, ""},
		"long ago, and a failure since":            {[]*api.BackupStatus{{Rehearsing: days(30), Rehearsed: run(1, "no"), Proved: days(9)}}, "It was at 2026-02-23"},
		"long ago, by an older store":              {[]*api.BackupStatus{{Rehearsed: run(9, "")}}, "It was at 2026-02-23"},
		"never, by an older store":                 {[]*api.BackupStatus{{}}, ""},
		"its only host cannot be asked, nor since": {[]*api.BackupStatus{unreachable}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			reports, runs := bootstrap.Reports{}, []api.Run(nil)
			for i, status := range test.hosts {
				report := bootstrap.Report{}
				if status != nil {
					report.Observation = &api.Observation{Backup: status}
					runs = withRun(runs, status.Rehearsed)
				}
				reports[membership.Member{Name: fmt.Sprint(i)}] = report
			}
			said := ""
			for _, d := range missRehearsals("prod", reports, runs, 8*24*time.Hour, now) {
				said += d.Summary() + ": " + d.Detail()
			}
			if !strings.Contains(said, test.says) || (test.says == "") != (said == "") {
				t.Errorf("it says %q, want %q", said, test.says)
			}
		})
	}
}
