package acctest

import (
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// TestPlanIsFrugal plans an unchanged cluster: one SSH connection and at most two calls a host, none of
// which changes anything there.
func TestPlanIsFrugal(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c", "d", "e")})
	w := newWorkspace(t, l, configuration(t, l, setup{}))
	w.apply()

	before, since := map[string]string{}, map[string]string{}
	for _, h := range l.Hosts {
		before[h.Config.Name] = traces(t, h)
		since[h.Config.Name] = cursor(t, h)
	}
	w.mustBeSettled()
	for _, h := range l.Hosts {
		log := inHost(t, h, "journalctl", "--no-pager", "--output=cat", "--unit=ssh", "--after-cursor="+since[h.Config.Name])
		if n := strings.Count(log, "Accepted publickey"); n != 1 {
			t.Errorf("%s: a plan made %d connections, want 1:\n%s", h.Config.Name, n, log)
		}
		if n := strings.Count(log, "Starting session: command"); n < 1 || n > 2 {
			t.Errorf("%s: a plan made %d calls, want 1 or 2:\n%s", h.Config.Name, n, log)
		}
		if after := traces(t, h); after != before[h.Config.Name] {
			t.Errorf("%s: a plan changed something:\n%s\n%s", h.Config.Name, before[h.Config.Name], after)
		}
	}
}

// cursor is the end of a host's journal.
func cursor(t *testing.T, h *lab.Host) string {
	t.Helper()
	_, after, found := strings.Cut(inHost(t, h, "journalctl", "--lines=0", "--show-cursor"), "-- cursor: ")
	if !found {
		t.Fatalf("%s: the journal has no cursor", h.Config.Name)
	}
	return strings.TrimSpace(after)
}

// traces are what a change would leave on a host: times and inodes of all that is configured there, and
// the process that the member runs as.
func traces(t *testing.T, h *lab.Host) string {
	t.Helper()
	return inHost(t, h, "sh", "-c", "find /etc /usr/local -xdev -printf '%p %T@ %i\\n' | sort; systemctl show -p MainPID -p ExecMainStartTimestamp etcd@prod")
}
