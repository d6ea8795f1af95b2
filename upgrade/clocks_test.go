package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// TestClockThatJumpsAfterThePlan has the clock of a host jump after a plan was made: a run that has certificates signed
// changes nothing, and a run that signs none continues.
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

// TestClockOfANewHost runs a create with a host whose clock is far ahead: no host is changed.
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

// away is a signer that does not answer.
type away struct{}

var errAway = errors.New("the signer does not answer")

func (away) Sign(context.Context, string, api.KeyRequest, string) (string, error) { return "", errAway }
func (away) Probe(context.Context, string, api.KeyRequest) error                  { return errAway }

// chain has an intermediate follow what the authorities sign. No certificate on any host has it yet.
func (l *life) chain() {
	l.Helper()
	above, err := pki.NewAuthority("company middle", pki.DefaultAlgorithm, 10*365*24*time.Hour, l.world.Now())
	if err != nil {
		l.Fatalf("%v", err)
	}
	l.cluster.Chains = map[string]string{}
	for _, bundle := range []string{l.cluster.PeerCA, l.cluster.ClientCA} {
		authorities, err := cert.Parse([]byte(bundle))
		if err != nil {
			l.Fatalf("%v", err)
		}
		l.cluster.Chains[cert.Name(authorities[0])] = string(above.CertificatePEM())
	}
}

// TestRenewalsThatCannotBeSigned has all certificates be due, and after the plan a clock jump or the signer be away.
// The run leaves the certificates, which are still valid, and does all the rest. It ends with an error that names them
// if the plan showed their renewal.
func TestRenewalsThatCannotBeSigned(t *testing.T) {
	const due = 300 * 24 * time.Hour
	rechained := []string{"renew the chain on a (192.0.2.11)", "renew the chain on b (192.0.2.12)", "renew the chain on c (192.0.2.13)"}
	for name, test := range map[string]struct {
		happen func(*life)
		fails  func(*life)
		says   string
		does   []string // with each of the rest
	}{
		"clock, roll": {func(l *life) { l.set("quota-backend-bytes", "8589934592") }, func(l *life) { l.host("c").Skew = -20 * time.Minute },
			"c (192.0.2.13): its clock is at least 20m behind this machine's", []string{"roll a (192.0.2.11)", "roll b (192.0.2.12)", "roll c (192.0.2.13)"}},
		"signer, roll": {func(l *life) { l.set("quota-backend-bytes", "8589934592") }, func(l *life) { l.signer = away{} },
			errAway.Error(), []string{"roll a (192.0.2.11)", "roll b (192.0.2.12)", "roll c (192.0.2.13)"}},
		"signer, start": {func(l *life) { l.host("c").StopUnit(cluster) }, func(l *life) { l.signer = away{} }, errAway.Error(), []string{"start c (192.0.2.13)"}},
		"signer, asked first": {func(l *life) {
			l.host("c").StopUnit(cluster)
			l.host("c").LoseStore(cluster, l.world.AddStores("3.6.15")["amd64"])
		}, func(l *life) { l.signer = away{} }, errAway.Error(), []string{"stage c (192.0.2.13)"}},
		"clock, chain":  {func(l *life) { l.chain() }, func(l *life) { l.host("c").Skew = -20 * time.Minute }, "c (192.0.2.13): its clock is at least 20m behind this machine's", rechained},
		"signer, chain": {func(l *life) { l.chain() }, func(l *life) { l.signer = away{} }, errAway.Error(), rechained},
		"signer, chain and roll": {func(l *life) {
			l.chain()
			l.set("quota-backend-bytes", "8589934592")
		}, func(l *life) { l.signer = away{} }, errAway.Error(), append([]string{"roll a (192.0.2.11)", "roll b (192.0.2.12)", "roll c (192.0.2.13)"}, rechained...)},
		"clock, nothing else": {func(*life) {}, func(l *life) { l.host("c").Skew = -20 * time.Minute }, "c (192.0.2.13): its clock is at least 20m behind this machine's", nil},
	} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, known %t", name, known), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					l := serving(t, 3, nodetest.EtcdVersion)
					l.world.Clock = l.world.Clock.Add(due)
					test.happen(l)
					shown := l.planned().Steps
					if !known {
						shown = nil
					}
					test.fails(l)
					l.progress = nil
					_, err := l.change(t.Context(), shown)
					for _, member := range []string{"a (192.0.2.11)", "b (192.0.2.12)", "c (192.0.2.13)"} {
						if known && (err == nil || !strings.Contains(err.Error(), member+": its certificates were not renewed (its peer certificate expires at ")) {
							t.Errorf("the run ends with %v, without %s", err, member)
						}
					}
					if known != (err != nil) || known && !strings.Contains(err.Error(), test.says) {
						t.Errorf("the run ends with %v", err)
					}
					begun := strings.Join(l.progress, "\n")
					for _, does := range test.does {
						if !strings.Contains(begun, does) {
							t.Errorf("without %q it has done this:\n%s", does, begun)
						}
					}
					left := l.planned().Steps
					if text := fmt.Sprint(left); len(left) != 3 || strings.Count(text, ": its peer certificate expires at ") != 3 {
						t.Errorf("the next plan is %s", text)
					}
				})
			})
		}
	}
}

// skews are wrong clocks on some of three hosts: by less and by more than certificates are backdated, so far behind
// that certificates are not valid there yet, and so far ahead that they have expired there.
func skews() map[string]map[string]time.Duration {
	by := map[string]time.Duration{"slightly behind": time.Second - cert.Backdate, "slightly ahead": cert.Backdate - time.Second, "behind": -20 * time.Minute, "ahead": 20 * time.Minute, "years behind": -3 * 365 * 24 * time.Hour, "years ahead": 3 * 365 * 24 * time.Hour}
	all := map[string]map[string]time.Duration{"two against each other": {"a": -4 * time.Minute, "c": 4 * time.Minute}}
	for name, skew := range by {
		for _, host := range []string{"a", "b", "c"} {
			all[host+" "+name] = map[string]time.Duration{host: skew}
		}
		all["operator, seen from hosts "+name] = map[string]time.Duration{"a": skew, "b": skew, "c": skew}
	}
	return all
}

// skew sets the clocks of hosts, and tells whether certificates may still be signed for them.
func (s *site) skew(by map[string]time.Duration) (maySign bool) {
	var least, most time.Duration // the operator's clock is right
	for _, name := range []string{"a", "b", "c"} {
		s.host(name).Skew = by[name]
		least, most = min(least, by[name]), max(most, by[name])
	}
	return most-least <= cert.Backdate
}

// TestRestoreBesideWrongClocks restores over a running cluster and onto new hosts while clocks are wrong. The run
// refuses before it changes any host, or restores with certificates that are valid on every host. Once the clocks are
// right, the restore succeeds.
func TestRestoreBesideWrongClocks(t *testing.T) {
	for name, by := range skews() {
		t.Run("over a cluster/"+name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := outdone(t, 3)
				if !r.skew(by) {
					r.mustRefuseSkewed(func() error { _, err := r.restore(context.Background(), r.plannedRestore().Steps); return err })
					r.skew(nil)
				}
				r.mustRestore()
			})
		})
		t.Run("onto new hosts/"+name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := unborn(t, 3)
				if !r.skew(by) {
					r.mustRefuseSkewed(func() error { _, err := r.create(context.Background()); return err })
					r.skew(nil)
				}
				r.mustCreate()
			})
		})
	}
}

// mustRefuseSkewed fails the test if a run continues although clocks differ, or changes a host.
func (r *restoreCase) mustRefuseSkewed(run func() error) {
	r.Helper()
	r.world.Forget()
	if err := run(); err == nil || !strings.Contains(err.Error(), "no certificate is signed then") {
		r.Errorf("with wrong clocks the run says %v", err)
	}
	if changes := r.world.Changes(); len(changes) > 0 {
		r.Errorf("hosts were changed: %v", changes)
	}
}

// TestClockJumpsDuringARestore has a clock jump before each step of a restore. The run ends at the next step that
// signs, or continues if there is none. The unfinished restore is rolled back beside the wrong clock, unless clients
// were let in, or finished once the clock is right.
func TestClockJumpsDuringARestore(t *testing.T) {
	for _, back := range []bool{false, true} {
		for step := range stepsOfRestore(t, "healthy") {
			t.Run(fmt.Sprint("rolled back: ", back, "/", step+1), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := outdone(t, 3)
					// The clock may jump after the observation before the very step that issues certificates.
					r.world.Waive(nodetest.HoldsThere)
					before := r.carried()
					steps, refused := 0, false
					r.atStep = func(line string) {
						if beginsStep(line) {
							if steps++; steps == step+1 {
								r.host("b").Skew = -time.Hour
							}
						}
					}
					_, err := r.restore(context.Background(), nil)
					refused = err != nil
					r.atStep = nil
					if refused && !strings.Contains(err.Error(), "no certificate is signed then") {
						t.Fatal(err)
					}
					if refused && back {
						r.cluster.Restore.RollBack = true
						if _, err := r.restore(context.Background(), nil); err != nil {
							t.Fatalf("roll back: %v", err)
						}
						if after := r.carried(); fmt.Sprint(after) != fmt.Sprint(before) {
							t.Errorf("hosts carry %v, and carried %v", after, before)
						}
						r.cluster.Restore, r.cluster.Members = membership.Restoration{}, r.old
						if _, err := r.change(context.Background(), nil); err != nil {
							t.Errorf("change: %v", err)
						}
						r.mustBeAsDesired()
						return
					}
					r.host("b").Skew = 0
					if refused {
						r.mustFinish()
						return
					}
					r.mustBeRestored()
				})
			})
		}
	}
}

// TestRepairsBesideAMemberThatLacksCertificates has a clock jump after a plan that starts one member and replaces the
// expired certificates of another. The run does the former and names the latter; the next run does that once the clock
// is right.
func TestRepairsBesideAMemberThatLacksCertificates(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		l.host("b").ExpireCertificates(cluster, l.authority)
		l.host("c").StopUnit(cluster)
		shown := l.planned().Steps
		l.host("a").Skew = -20 * time.Minute
		for _, mends := range []bool{false, true} {
			l.progress = nil
			_, err := l.executor().Change(t.Context(), upgrade.Order{Owner: l.owner, Members: l.members, Approved: shown, Mends: mends})
			if err == nil || !strings.Contains(err.Error(), "a (192.0.2.11): its clock is at least 20m behind this machine's") || strings.Contains(err.Error(), "renew certificates of b (192.0.2.12): its peer certificate has expired; with new keys, loaded without a restart: this was not done") != mends {
				t.Errorf("the run ends with %v", err)
			}
			if begun := strings.Join(l.progress, "\n"); strings.Contains(begun, "start c (192.0.2.13)") != mends || strings.Contains(begun, "/") && strings.Contains(begun, " renew certificates") {
				t.Errorf("it has done this:\n%s", begun)
			} else if said := strings.Count(begun, "b (192.0.2.12): it is left alone: a (192.0.2.11): its clock is at least 20m behind this machine's"); mends && said != 1 || !mends && said != 0 {
				t.Errorf("it says %d times that b is left alone:\n%s", said, begun)
			}
		}
		l.host("a").Skew = 0
		if _, err := l.change(t.Context(), l.planned().Steps); err != nil {
			t.Error(err)
		}
		l.mustBeAsDesired()
	})
}

// TestDownClusterIsBroughtUpUnsigned has a cluster be down whose members are to be configured before their start, and
// no signer answer after the plan, or from the middle of the run on. All members come up with their present
// certificates, which are valid, whatever the run is for. The next run renews what is due then.
func TestDownClusterIsBroughtUpUnsigned(t *testing.T) {
	for name, fails := range map[string]func(*life){
		"clock":                   func(l *life) { l.host("c").Skew = -20 * time.Minute },
		"signer":                  func(l *life) { l.signer = away{} },
		"signer, another list":    func(l *life) { l.signer = away{} },
		"signer, in the meantime": func(l *life) { l.signer = &tiring{Signer: l.signer, left: 1} },
		"clock, before the plan":  nil,
	} {
		for _, mends := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, mends %t", name, mends), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					l := serving(t, 3, nodetest.EtcdVersion)
					if strings.HasSuffix(name, "another list") {
						l.revoke(1)
						l.mustConverge(1)
						l.revoke(2)
					}
					l.set("quota-backend-bytes", "8589934592")
					signer := l.signer
					for _, m := range l.cluster.Members {
						l.host(m.Name).StopUnit(cluster)
					}
					shown := l.planned().Steps
					if fails == nil {
						shown = l.plannedUnsigned().Steps
					} else {
						fails(l)
					}
					if _, err := l.executor().Change(t.Context(), upgrade.Order{Owner: l.owner, Members: l.members, Approved: shown, Mends: mends}); err != nil {
						t.Fatalf("%v\n%s", err, strings.Join(l.progress, "\n"))
					}
					l.host("c").Skew, l.signer = 0, signer
					l.mustBeAsDesired()
				})
			})
		}
	}
}

// plannedUnsigned returns what a plan does while nothing can be signed.
func (l *life) plannedUnsigned() plan.Plan {
	l.Helper()
	planned, err := plan.ChangeSigning(l.look(), l.cluster.Spec, plan.Signing{Refuse: func(steps []membership.Step) error {
		if slices.ContainsFunc(steps, membership.Step.Signs) {
			return errAway
		}
		return nil
	}})
	if err != nil {
		l.Fatalf("%v", err)
	}
	return planned
}

// tiring is a signer that stops answering after it has signed for some keys.
type tiring struct {
	upgrade.Signer
	mu   sync.Mutex
	left int
}

func (s *tiring) Sign(ctx context.Context, by string, want api.KeyRequest, csr string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left--; s.left < 0 {
		return "", errAway
	}
	return s.Signer.Sign(ctx, by, want, csr)
}
