package upgrade_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// TestMemberThatGoesOnServingItsOldCertificate has a member not take up its new certificates: the run ends with the member, the
// port and the way on, and no other member gets new ones. The next plan says what is served, and restarts the member.
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
