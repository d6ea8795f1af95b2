package bootstrap_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// TestARestoreByWaysThatMislead holds that a restore touches no host to which an address leads by mistake, says whose
// machine that is, and what to do. No member is re-addressed by a restore.
func TestARestoreByWaysThatMislead(t *testing.T) {
	second := membership.Member{Name: "c", Address: "192.0.2.33"}
	for name, test := range map[string]struct {
		arrange func(c *bootstrap.Cluster, reports bootstrap.Reports)
		refused []string // the members whose hosts must not be touched, and why
	}{
		"as it ought to be": {func(*bootstrap.Cluster, bootstrap.Reports) {}, nil},
		"routes swapped": {func(c *bootstrap.Cluster, reports bootstrap.Reports) { swap(reports, c.Members[0], c.Members[1]) },
			[]string{"a (192.0.2.11): its address leads to the machine of member b, which its cluster knows at https://192.0.2.12:2380; check address, ssh_address and ssh_port of a and b, which may have been swapped",
				"b (192.0.2.12): its address leads to the machine of member a"}},
		"a second address of c": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			old := c.Members[2]
			c.Members[2], reports[second] = second, reports[old]
		}, []string{"c (192.0.2.33): this is another address of the machine that carries c already, and its cluster knows it at https://192.0.2.13:2380; put the address back: a member is not re-addressed before it has joined, or while a snapshot is restored"}},
		"a second address of c, given up": {func(c *bootstrap.Cluster, reports bootstrap.Reports) { reports[second] = reports[c.Members[2]] }, nil},
		"a clone of c": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			reports[second] = cloned(reports[c.Members[2]])
			c.Members[2] = second
		}, []string{"c (192.0.2.33): its machine reports that it carries member c, as does c (192.0.2.13): one is a clone of the other"}},
		"two members on one machine": {func(c *bootstrap.Cluster, reports bootstrap.Reports) {
			d := membership.Member{Name: "d", Address: "192.0.2.14"}
			e := membership.Member{Name: "e", Address: "192.0.2.15"}
			c.Members = append(c.Members, d, e)
			reports[d], reports[e] = bare(d), bare(d)
		}, []string{"e (192.0.2.15): its address leads to the same machine as that of d (192.0.2.14)"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := three()
			reports := alive(t, c)
			test.arrange(&c, reports)
			var refused []string
			for _, s := range c.Restoring("us", false, reports, time.Time{}).Members {
				if s.Refused != "" {
					refused = append(refused, s.Member.String()+": "+s.Refused)
				}
			}
			if !slices.EqualFunc(refused, test.refused, strings.HasPrefix) {
				t.Errorf("refused:\n%s\nwant\n%s", strings.Join(refused, "\n"), strings.Join(test.refused, "\n"))
			}
		})
	}
}
