package upgrade_test

import (
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// TestClockThatJumpsAfterThePlan has the clock of a host jump after a plan was made: a run that has certificates signed changes
// nothing, whatever it is for, and one that signs none goes on.
func TestClockThatJumpsAfterThePlan(t *testing.T) {
	for name, test := range map[string]struct {
		happen  func(*life)
		refused bool
	}{
		"renewal": {func(l *life) { l.host("b").ExpireCertificates(cluster, l.authority) }, true},
		"roll":    {func(l *life) { l.set("quota-backend-bytes", "8589934592") }, false},
		"start":   {func(l *life) { l.host("b").StopUnit(cluster) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				test.happen(l)
				shown := l.planned().Steps
				l.host("c").Skew = -20 * time.Minute
				begun := len(l.progress)
				_, err := l.change(t.Context(), shown)
				if !test.refused {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), "c (192.0.2.13): its clock is at least 20m behind this machine's, and no certificate is signed then") {
					t.Errorf("the run says %v", err)
				}
				if len(l.progress) != begun {
					t.Errorf("it did something: %s", strings.Join(l.progress[begun:], "\n"))
				}
				l.host("c").Skew = 0
				if _, err := l.change(t.Context(), l.planned().Steps); err != nil {
					t.Error(err)
				}
				l.mustBeAsDesired()
			})
		})
	}
}

// TestClockOfANewHost has a create meet a host whose clock is far ahead: no host is changed.
func TestClockOfANewHost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, 3)
		s.host("b").Skew = time.Hour
		if _, err := s.form(t.Context()); err == nil || !strings.Contains(err.Error(), "b (192.0.2.12): its clock is at least 1h ahead of this machine's") {
			t.Errorf("the create says %v", err)
		}
		if changes := s.world.Changes(); len(changes) > 0 {
			t.Errorf("hosts were changed: %v", changes)
		}
	})
}
