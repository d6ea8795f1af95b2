package api

import (
	"regexp"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// TestRenewalWindow: the timer looks twice in the time for which a certificate has to be due at least.
func TestRenewalWindow(t *testing.T) {
	units, err := systemd.RenderRenewal(systemd.RenewOptions{Cluster: "main", Store: "/usr/local/bin/x", ConfigDir: "/etc/etcd/main", Metrics: MetricsDir, RunDir: RunDir})
	if err != nil {
		t.Fatal(err)
	}
	timer := units[RenewalUnit("main")+".timer"]
	late := regexp.MustCompile(`(?m)^RandomizedDelaySec=(\d+)min$`).FindStringSubmatch(timer)
	if late == nil || !regexp.MustCompile(`(?m)^OnCalendar=hourly$`).MatchString(timer) {
		t.Fatalf("the timer is\n%s", timer)
	}
	delay, err := time.ParseDuration(late[1] + "m")
	if err != nil {
		t.Fatal(err)
	}
	if looks := 2*time.Hour + delay; looks > RenewalWindow {
		t.Errorf("it looks twice in %s, and certificates are due for %s", looks, RenewalWindow)
	}
}

// TestIsDue: a host renews before a plan would, and for as long before a certificate's end as its window says.
func TestIsDue(t *testing.T) {
	end := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	for name, c := range map[string]struct {
		lifetime, before, window time.Duration
	}{
		"a year":              {8760 * time.Hour, 0, (2920 + 48) * time.Hour},
		"a day":               {24 * time.Hour, 0, 10 * time.Hour},
		"a day, early":        {24 * time.Hour, 12 * time.Hour, 14 * time.Hour},
		"never for that long": {24 * time.Hour, 48 * time.Hour, 10 * time.Hour},
		"a year, in the end":  {8760 * time.Hour, time.Hour, 49 * time.Hour},
	} {
		r, info := Renewal{Before: c.before}, cert.Info{NotBefore: end.Add(-c.lifetime), NotAfter: end}
		if got := r.Window(c.lifetime); got != c.window {
			t.Errorf("%s: the window is %s, and not %s", name, got, c.window)
		}
		if r.IsDue(info, end.Add(-c.window-time.Second)) || !r.IsDue(info, end.Add(-c.window)) {
			t.Errorf("%s: it is not due from %s before its end on", name, c.window)
		}
		if cert.NeedsRenewal(info, end.Add(-c.window), c.before) {
			t.Errorf("%s: a plan would find it due as early", name)
		}
	}
}
