package upgrade_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// mishaps are events at hosts between one create and the next.
var mishaps = map[string]func(*site, *nodetest.Host){
	"wipe":        func(_ *site, h *nodetest.Host) { h.Wipe() },
	"lose data":   func(s *site, h *nodetest.Host) { h.LoseData(s.cluster.DataDir) },
	"power cut":   func(_ *site, h *nodetest.Host) { h.PowerCut() },
	"power on":    func(_ *site, h *nodetest.Host) { h.PowerOn() },
	"unreachable": func(_ *site, h *nodetest.Host) { h.Unreachable = errors.New("no route to host") },
	"reachable":   func(_ *site, h *nodetest.Host) { h.Unreachable = nil },
	"stop":        func(s *site, h *nodetest.Host) { h.StopUnit(s.cluster.Name) },
	"time passes": func(s *site, _ *nodetest.Host) { s.world.Tick() },
}

// TestFormConverges cuts creates short at any call to any host, breaks hosts in between, and changes what is desired.
// Once all hosts are back, repeated creates end with one healthy cluster.
func TestFormConverges(t *testing.T) {
	sample.Check(t, 100, func(t *rapid.T) {
		s := newSite(t, rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "members"))
		s.world.Instant = rapid.Bool().Draw(t, "instant")
		for range rapid.IntRange(0, 8).Draw(t, "events") {
			if rapid.Bool().Draw(t, "create") {
				s.createCutShort(t)
				continue
			}
			mishap := rapid.SampledFrom([]string{"wipe", "lose data", "power cut", "power on", "unreachable", "reachable", "stop", "time passes"}).Draw(t, "mishap")
			m := rapid.SampledFrom(s.cluster.Members).Draw(t, "to")
			mishaps[mishap](s, s.host(m.Name))
		}
		for _, m := range s.cluster.Members {
			s.host(m.Name).Unreachable = nil
			s.host(m.Name).PowerOn()
		}
		s.mustConverge()
	})
}

// createCutShort runs a create during which each host stops answering at some call. It may be for another peer port or
// other settings than are desired in the end.
func (s *site) createCutShort(t *rapid.T) {
	desired := s.cluster
	defer func() { s.cluster = desired }()
	if rapid.IntRange(0, 4).Draw(t, "port") == 4 {
		s.cluster.PeerPort = 12380
	}
	if quota := rapid.SampledFrom([]string{"", "", "8589934592"}).Draw(t, "quota"); quota != "" {
		s.cluster.Settings = map[string]string{"quota-backend-bytes": quota}
	}
	for _, m := range s.cluster.Members {
		if nth := rapid.IntRange(0, 16).Draw(t, "cut "+m.Name); nth > 0 {
			s.world.Inject(nodetest.Fault{Address: m.Address, Nth: nth, After: rapid.Bool().Draw(t, "after"), Extent: nodetest.Session})
		}
	}
	finished := s.finished()
	s.world.Forget()
	_, err := s.form(context.Background())
	t.Logf("create, port %d: %v\n%s", s.cluster.PeerPort, err, strings.Join(s.progress, "\n"))
	s.world.Heal()
	if changes := s.world.Changes(); finished && len(changes) > 0 {
		t.Errorf("a finished cluster was changed: %v", changes)
	}
}

// mustConverge repeats the create until it succeeds. A cluster that any create has handed over is refused from then on,
// and never changed.
func (s *site) mustConverge() {
	s.Helper()
	const patience = 4
	var last error
	for range patience {
		if s.finished() {
			s.mustBeLeftAlone()
			return
		}
		formed, err := s.form(context.Background())
		if err == nil {
			s.mustBeFormed(formed.Owner)
			s.mustBeLeftAlone()
			return
		}
		last = err
	}
	s.Errorf("%d creates have not formed the cluster: %v\n%s", patience, last, strings.Join(s.progress, "\n"))
}

// finished tells whether the hosts carry a cluster that no create may continue: at least one host records it as formed,
// and either no host records a create under way, or the cluster is another one than is desired.
func (s *site) finished() bool {
	other := false
	for _, m := range s.cluster.Members {
		marker := s.host(m.Name).Marker(s.cluster.Name)
		other = other || marker != nil && marker.Phase == api.PhaseFormed && marker.InitialCluster != s.cluster.InitialCluster()
	}
	return other || s.handedOver()
}

// mustBeLeftAlone fails the test if a create is not refused, or changes anything.
func (s *site) mustBeLeftAlone() {
	s.Helper()
	s.world.Forget()
	if _, err := s.form(context.Background()); err == nil || !strings.Contains(err.Error(), "to = etcd_cluster.prod") {
		s.Errorf("create on a finished cluster: %v", err)
	}
	if changes := s.world.Changes(); len(changes) > 0 {
		s.Errorf("a finished cluster was changed: %v", changes)
	}
}
