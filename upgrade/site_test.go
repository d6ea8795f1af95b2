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

// tb is the common part of *testing.T and *rapid.T.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// site is a desired cluster, and the world of its hosts.
type site struct {
	tb
	world     *nodetest.World
	authority *signing.Authority
	cluster   bootstrap.Cluster
	members   []membership.Member // members that the state knows, desired or not, once the cluster was formed
	runs      int
	progress  []string                             // of the last run
	atStep    func(line string)                    // called before each step; nil: not called
	signer    upgrade.Signer                       // of runs
	overhear  func(membership.Member, api.Request) // called before each call to a member's host; nil: not called
}

// authority is shared by all hosts.
var authority = sync.OnceValues(func() (*signing.Authority, error) { return signing.NewAuthority(nodetest.Start) })

// newSite returns a site with n bare hosts for the members a, b, c and so on.
func newSite(t tb, n int) *site {
	t.Helper()
	return newSiteWith(t, n, n)
}

// newSiteWith returns a site with more hosts than its first n members need.
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

// executor returns a new run, as of a new process.
func (s *site) executor() *upgrade.Executor {
	s.runs++
	s.progress = nil
	hosts := map[membership.Member]upgrade.Host{}
	for _, m := range append(slices.Clone(s.members), s.cluster.Members...) {
		hosts[m] = s.world.Way(m.Address)
		if s.overhear != nil {
			hosts[m] = overheard{hosts[m], func(r api.Request) { s.overhear(m, r) }}
		}
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

// beginsStep tells whether a line of the progress log announces a step.
func beginsStep(line string) bool { return strings.Contains(line, "/") && line[0] <= '9' }

// countSteps returns how many steps a run takes. Loops over the steps of a run end there: a loop that ended by the
// results of its subtests would end early if -run leaves some out.
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

// form is one create, with its own owner and token.
func (s *site) form(ctx context.Context) (upgrade.Formed, error) {
	e := s.executor()
	return e.Form(ctx, bootstrap.Formation{Owner: fmt.Sprintf("owner-%d", s.runs), Token: fmt.Sprintf("token-%d", s.runs)})
}

// mustForm fails the test if the create does not succeed.
func (s *site) mustForm() upgrade.Formed {
	s.Helper()
	formed, err := s.form(context.Background())
	if err != nil {
		s.Fatalf("form: %v\nprogress:\n%s", err, strings.Join(s.progress, "\n"))
	}
	s.mustBeFormed(formed.Owner)
	return formed
}

// mustGoOn fails the test if the next create does not finish a create that ended with err. If the last host was handed
// over before the create was cut off, nothing is left to finish, and no state knows the owner: then the next create is
// refused with a remedy, and changes nothing.
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

// handedOver tells whether no host records a create under way, and at least one records a finished one.
func (s *site) handedOver() bool {
	phases := map[api.Phase]bool{}
	for _, m := range s.cluster.Members {
		if marker := s.host(m.Name).Marker(s.cluster.Name); marker != nil {
			phases[marker.Phase] = true
		}
	}
	return phases[api.PhaseFormed] && !phases[api.PhaseForming]
}

// mustBeFormed fails the test if the hosts are not one healthy cluster of this owner, handed over.
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

// host returns the host of a member.
func (s *site) host(name string) *nodetest.Host {
	for _, m := range s.cluster.Members {
		if m.Name == name {
			return s.world.Host(m.Address)
		}
	}
	panic("there is no member " + name)
}

// plan returns the plan of a create on bare hosts, as it is shown before anybody observes them.
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
