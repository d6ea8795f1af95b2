package upgrade_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

var _ upgrade.Host = (*nodetest.Host)(nil)
var _ upgrade.Signer = (*signing.Authority)(nil)

// tb is what both *testing.T and *rapid.T are.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// site is a cluster as it is desired, and the world that its hosts are in.
type site struct {
	tb
	world     *nodetest.World
	authority *signing.Authority
	cluster   bootstrap.Cluster
	members   []membership.Member // that the state knows, desired or not; of a cluster that was formed
	runs      int
	progress  []string          // of the last run
	atStep    func(line string) // is told of each step before it is done; nil: nobody
	signer    upgrade.Signer    // of runs
}

// authority is shared by all hosts.
var authority = sync.OnceValues(func() (*signing.Authority, error) { return signing.NewAuthority(nodetest.Start) })

// newSite is a world of n bare hosts for the members a, b, c and so on.
func newSite(t tb, n int) *site {
	t.Helper()
	return newSiteWith(t, n, n)
}

// newSiteWith is a host with more hosts than its first n members need.
func newSiteWith(t tb, n, hosts int) *site {
	t.Helper()
	var members []membership.Member
	var addresses []string
	for i := range hosts {
		m := membership.Member{Name: string(rune('a' + i)), Address: fmt.Sprintf("192.0.2.%d", 11+i)}
		if addresses = append(addresses, m.Address); i < n {
			members = append(members, m)
		}
	}
	world := nodetest.New(t, addresses...)
	authority, err := authority()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return &site{tb: t, world: world, authority: authority, signer: authority, cluster: bootstrap.Cluster{
		Spec:         membership.Spec{Name: "prod", Version: nodetest.EtcdVersion, Members: members},
		DataDir:      api.DefaultDataDir("prod"),
		ClientPort:   2379,
		PeerPort:     2380,
		MetricsPort:  2381,
		KeyAlgorithm: "ecdsa-p256",
		PeerCA:       authority.PeerCA(),
		ClientCA:     authority.ClientCA(),
		Stores:       world.Stores,
		StoresOf:     map[string]map[string]string{nodetest.EtcdVersion: world.Stores},
	}}
}

// executor is a new run, by nobody who ran before.
func (s *site) executor() *upgrade.Executor {
	s.runs++
	s.progress = nil
	hosts := map[membership.Member]upgrade.Host{}
	for _, m := range append(slices.Clone(s.members), s.cluster.Members...) {
		hosts[m] = s.world.Way(m.Address)
	}
	w := &witness{Signer: s.signer}
	return &upgrade.Executor{
		Cluster: s.cluster,
		Hosts:   hosts,
		Signer:  w,
		Holder:  api.Holder{ID: fmt.Sprintf("run-%d", s.runs), Who: fmt.Sprintf("ops@ci-%d, create", s.runs)},
		Now:     s.world.Now,
		Progress: func(line string) {
			s.progress = append(s.progress, line)
			if beginsStep(line) {
				w.step()
			}
			if s.atStep != nil {
				s.atStep(line)
			}
		},
	}
}

// beginsStep tells whether a line of the progress log is that of a step, as it begins.
func beginsStep(line string) bool { return strings.Contains(line, "/") && line[0] <= '9' }

// countSteps is how many steps a run does. Loops over the steps of a run go as far: by what their subtests come to none
// would end where -run leaves these out.
func (s *site) countSteps(run func()) (n int) {
	s.atStep = func(line string) {
		if beginsStep(line) {
			n++
		}
	}
	run()
	s.atStep = nil
	return n
}

// form is one create, with owner and token of its own.
func (s *site) form(ctx context.Context) (upgrade.Formed, error) {
	e := s.executor()
	return e.Form(ctx, bootstrap.Formation{Owner: fmt.Sprintf("owner-%d", s.runs), Token: fmt.Sprintf("token-%d", s.runs)})
}

// mustForm fails the test where the create does not succeed.
func (s *site) mustForm() upgrade.Formed {
	s.Helper()
	formed, err := s.form(context.Background())
	if err != nil {
		s.Fatalf("form: %v\nprogress:\n%s", err, strings.Join(s.progress, "\n"))
	}
	s.mustBeFormed(formed.Owner)
	return formed
}

// mustGoOn fails the test where the create that follows one that ended with err does not finish what
// that one began. One that was cut off after the last host was handed over has nothing left to finish,
// and no state knows its owner: it is refused, with the way on, and nothing is touched.
func (s *site) mustGoOn(err error) {
	s.Helper()
	switch {
	case err == nil:
	case s.handedOver():
		s.mustBeLeftAlone()
	default:
		s.mustForm()
	}
}

// handedOver tells whether no host says any more that a create is under way, and one that it is over.
func (s *site) handedOver() bool {
	phases := map[api.Phase]bool{}
	for _, m := range s.cluster.Members {
		if marker := s.host(m.Name).Marker(s.cluster.Name); marker != nil {
			phases[marker.Phase] = true
		}
	}
	return phases[api.PhaseFormed] && !phases[api.PhaseForming]
}

// mustBeFormed fails the test where the hosts are not one healthy cluster of this owner, handed over.
func (s *site) mustBeFormed(owner string) {
	s.Helper()
	for _, why := range s.world.Unhealthy(s.cluster.Name, s.cluster.Addresses()...) {
		s.Errorf("after form: %s", why)
	}
	ids := map[string]bool{}
	for _, m := range s.cluster.Members {
		marker := s.host(m.Name).Marker(s.cluster.Name)
		if marker != nil {
			ids[marker.ClusterID] = true
		}
		if marker == nil || marker.Phase != api.PhaseFormed || marker.Owner != owner || marker.ClusterID == "" {
			s.Errorf("after form by %s: the marker of %s is %+v", owner, m.Name, marker)
		}
	}
	if len(ids) > 1 {
		s.Errorf("after form: hosts name different clusters: %v", ids)
	}
}

// host is the host of a member.
func (s *site) host(name string) *nodetest.Host {
	for _, m := range s.cluster.Members {
		if m.Name == name {
			return s.world.Host(m.Address)
		}
	}
	panic("there is no member " + name)
}

// plan is the plan of a create on hosts that are bare, as it is shown before anybody looks at them.
func (s *site) plan() []string {
	s.Helper()
	observed := membership.Observed{}
	for _, m := range s.cluster.Members {
		observed[m.Name] = membership.Host{Claim: membership.Bare}
	}
	steps, err := bootstrap.Form(observed, s.cluster.Spec)
	if err != nil {
		s.Fatalf("plan: %v", err)
	}
	var lines []string
	for _, step := range steps {
		lines = append(lines, step.String())
	}
	return lines
}

// sizes runs a test for clusters of each size.
func sizes(t *testing.T, test func(t *testing.T, n int)) {
	for _, n := range []int{1, 3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) { test(t, n) })
	}
}
