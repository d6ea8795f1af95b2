package acctest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestRebuildAndLeaveTheLost builds members anew where they are, with a writer on the cluster; has all but one stand
// still while a plan looks, which is no failure; and destroys the cluster when one host is gone for good.
func TestRebuildAndLeaveTheLost(t *testing.T) {
	sample.Leave(t, "TestRebuild and TestDestroyLeavesTheLost are its like in the resources, and TestLifeUnderLoad replaces a member under load")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	v := loadedBesideOthers(t, l, setup{})
	rebuilt := func(texts map[string]string) setup {
		s := setup{member: map[string]string{}}
		for name, text := range texts {
			s.member[name] = fmt.Sprintf("address = %q, host_key = %q, rebuild = %q", l.Host(name).Address(), hostKey(t, l.Host(name)), text)
		}
		return s
	}
	ids := func() map[string]any {
		found := map[string]any{}
		attributes, _ := v.state("etcd_cluster.prod")
		for name, m := range attributes["members"].(map[string]any) {
			found[name] = m.(map[string]any)["id"]
		}
		return found
	}
	for _, step := range []struct {
		name  string
		texts map[string]string
		anew  []string
	}{
		{"rebuild one", map[string]string{"b": "disk of 2026-11"}, []string{"b"}},
		{"rebuild all, the leader too", map[string]string{"a": "1", "b": "2", "c": "3"}, []string{"a", "b", "c"}},
	} {
		before := ids()
		v.change(step.name, rebuilt(step.texts))
		for name, id := range ids() {
			if (id != before[name]) != slices.Contains(step.anew, name) {
				t.Errorf("%s: the ID of %s was %v, and is %v", step.name, name, before[name], id)
			}
		}
		for _, name := range step.anew {
			if aside := inHost(t, l.Host(name), "sh", "-c", "ls -d /var/lib/etcd/prod.aside-*"); !strings.Contains(aside, "prod.aside-") {
				t.Errorf("%s: the old data of %s does not lie aside: %s", step.name, name, aside)
			}
		}
	}
	v.check(besideOthers)

	// Two of three stand still: nobody serves, and a question is answered by nobody in its time.
	for _, name := range []string{"b", "c"} {
		inHost(t, l.Host(name), "systemd-run", "--quiet", "sh", "-c", "systemctl kill --signal=STOP --kill-whom=main etcd@prod; sleep 12; systemctl kill --signal=CONT --kill-whom=main etcd@prod")
	}
	v.mustBeSettled()

	if err := l.Host("c").PowerOff(); err != nil {
		t.Fatal(err)
	}
	key, certificate := v.read("client.key"), v.read("client.crt")
	v.mustFail([]string{"destroy", "-auto-approve", "-no-color"}, fmt.Sprintf("could not be asked: c (%s).", l.Host("c").Address()), `set abandon_on_destroy = ["c"], apply, and destroy then`)
	for _, name := range []string{"a", "b"} {
		if state := inHost(t, l.Host(name), "systemctl", "is-active", "etcd@prod"); strings.TrimSpace(state) != "active" {
			t.Errorf("a destroy that was refused has left the member of %s %s", name, state)
		}
	}
	if key == "" || v.read("client.key") != key || certificate == "" || v.read("client.crt") != certificate {
		t.Error("a destroy that was refused has not left the client's key and certificate as they were")
	}
	if attributes, _ := v.state("etcd_certificate.client"); attributes == nil {
		t.Error("a destroy that was refused has taken the client's certificate out of the state")
	}
	s := v.setup
	s.cluster = `abandon_on_destroy = ["c"]`
	v.write("main.tf", configuration(t, l, s))
	v.apply()
	v.destroy()
	for _, name := range []string{"a", "b"} {
		if left := inHost(t, l.Host(name), "sh", "-c", "ls -d /etc/etcd/prod /etc/systemd/system/etcd@prod.service 2>/dev/null; true"); left != "" {
			t.Errorf("on %s is left %s", name, left)
		}
	}
}
