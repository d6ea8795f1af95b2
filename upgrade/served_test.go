package upgrade_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// TestMemberThatGoesOnServingItsOldCertificate has a member not read its new certificates: the run ends with the
// member, the port and the remedy, and no other member gets new certificates. The next plan says what is served, and
// restarts the member.
func TestMemberThatGoesOnServingItsOldCertificate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := serving(t, 3, nodetest.EtcdVersion)
		for _, name := range []string{"a", "b", "c"} {
			l.host(name).ExpireCertificates(cluster, l.authority)
		}
		l.host("b").KeepServing(cluster)
		_, err := l.change(t.Context(), l.planned().Steps)
		for _, says := range []string{"renew certificates of b (192.0.2.12)", "its peer port 2380 goes on serving the certificate with serial 03", "its client port 2379", "journalctl -u etcd@", "plan again"} {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("the run ends with %v, without %q", err, says)
			}
		}
		if begun := strings.Join(l.progress, "\n"); !strings.Contains(begun, "renew certificates of a") || strings.Contains(begun, "renew certificates of c") {
			t.Errorf("the run has done this:\n%s", begun)
		}
		planned := l.planned().Steps
		for _, want := range []string{"renew certificates of c (192.0.2.13): its peer certificate has expired", "roll b (192.0.2.12): it serves the certificate with serial "} {
			if !slices.ContainsFunc(planned, func(step membership.Step) bool { return strings.HasPrefix(step.String(), want) }) {
				t.Errorf("the next plan is %s, without %q", fmt.Sprint(planned), want)
			}
		}
		if _, err := l.change(t.Context(), planned); err != nil {
			t.Error(err)
		}
		l.mustBeAsDesired()
	})
}

// TestPortsOfABusyHost has a member's ports show no certificate for longer than the run would wait for an old one: the
// run continues once they show the new one, and ends if they never do.
func TestPortsOfABusyHost(t *testing.T) {
	for silent, ends := range map[int]string{10: "", 1000: "its peer port 2380 shows no certificate"} {
		bubble(t, func(t *testing.T) {
			l := serving(t, 3, nodetest.EtcdVersion)
			for _, name := range []string{"a", "b", "c"} {
				l.host(name).ExpireCertificates(cluster, l.authority)
			}
			steps := l.planned().Steps
			l.atStep = func(line string) {
				if strings.Contains(line, " renew certificates of b ") {
					l.host("b").Silent = silent
				}
			}
			_, err := l.change(t.Context(), steps)
			if ends == "" && err != nil || ends != "" && (err == nil || !strings.Contains(err.Error(), ends)) {
				t.Errorf("silent for %d: %v, want %q", silent, err, ends)
			}
			if ends == "" {
				l.mustBeAsDesired()
			}
		})
	}
}

// TestOldCertificateKeepsItsTrust has members not read the certificates of a new authority: the old authority is not
// removed before they were restarted, so that no member loses the trust of its peers, whatever a run observes (the
// rules of nodetest check that).
func TestOldCertificateKeepsItsTrust(t *testing.T) {
	for _, kept := range [][]string{{"a"}, {"b"}, {"c"}, {"b", "c"}, {"a", "b", "c"}} {
		t.Run(fmt.Sprint(kept), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				l.exchange(false)
				l.atStep = func(line string) {
					if strings.Contains(line, " renew certificates of ") {
						for _, name := range kept {
							l.host(name).KeepServing(cluster)
						}
						l.atStep = nil
					}
				}
				for runs := 0; ; runs++ {
					if _, err := l.change(t.Context(), l.planned().Steps); err == nil {
						break
					} else if runs > len(kept) {
						t.Fatal(err)
					}
				}
				l.mustBeAsDesired()
			})
		})
	}
}
