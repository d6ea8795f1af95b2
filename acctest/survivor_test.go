package acctest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// TestTheRightSurvivor has one of five be stopped, forty writes be acknowledged without it, and then all others lose
// power, of whom one comes back. That one waits for its quorum, and has all that was written; the one that was stopped
// has not. To recover from the latter is refused, and nothing is lost by recovering from the former.
func TestTheRightSurvivor(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c", "d", "e")})
	w := newWorkspace(t, l, configuration(t, l, setup{}))
	w.apply()
	client := w.client()
	endpoint := func(name string) string { return fmt.Sprintf("https://%s:2379", l.Host(name).Address()) }
	client.must(endpoint("b"), "put", "before", "value")
	if _, err := l.Host("a").Run(t.Context(), "systemctl", "stop", "etcd@prod"); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		client.must(endpoint("b"), "put", fmt.Sprintf("kept/%02d", i), "value")
	}
	for _, name := range []string{"c", "d", "e", "b"} {
		if err := l.Host(name).PowerOff(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Host("b").PowerOn(t.Context()); err != nil {
		t.Fatal(err)
	}

	before := traces(t, l.Host("a")) + traces(t, l.Host("b"))
	from := func(survivor, abandons string) {
		w.write("main.tf", configuration(t, l, setup{cluster: fmt.Sprintf("recover_from = { member = %q, abandons = [%s], cluster_id = %q }", survivor, abandons, w.clusterID())}))
	}
	from("a", `"b", "c", "d", "e"`)
	w.mustFail([]string{"plan", "-no-color"}, "b (192.0.2.12) has come further", `set recover_from.member to "b"`)
	if after := traces(t, l.Host("a")) + traces(t, l.Host("b")); after != before {
		t.Errorf("a plan that was refused has changed a host:\n%s\n%s", before, after)
	}
	from("b", `"a", "c", "d", "e"`)
	output := flatten(w.apply())
	for _, says := range []string{"recover b (192.0.2.12): it alone is the cluster, up to term ", "c (not seen), d (not seen), e (not seen) are given up"} {
		if !strings.Contains(output, says) {
			t.Errorf("the plan does not say %q:\n%s", says, output)
		}
	}
	for _, name := range []string{"a", "b"} {
		if got := client.must(endpoint(name), "get", "kept/", "--prefix", "--count-only", "-w", "fields"); !strings.Contains(got, `"Count" : 40`) {
			t.Errorf("%s has not all that was acknowledged: %s", name, got)
		}
	}
}
