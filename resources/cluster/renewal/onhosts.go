package renewal

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// CheckOnHosts refuses certificates that hosts are to renew by themselves, and that are due for so short a time that
// their timer may not look at them meanwhile.
func CheckOnHosts(by *api.Renewal) (diags diag.Diagnostics) {
	lasts := cmp.Or(by.Validity, pki.DefaultLeafLifetime)
	if window := by.Window(lasts + cert.Backdate); window < api.RenewalWindow {
		diags.AddAttributeError(path.Root(Name), "Hosts could not renew certificates in time",
			fmt.Sprintf("Hosts renew certificates by themselves (on_hosts), which are valid for %s and would be due on their hosts for %s before their end. A host looks once an hour, up to 50 minutes late, so that needs %s: "+
				"set a longer validity (without a renew_before, 8h is enough), or a longer renew_before.", lasts, window.Round(time.Minute), api.RenewalWindow))
	}
	return diags
}

// missed is how long the last hourly run of a host's timer may be over before the timer counts as not running.
const missed = 3 * 24 * time.Hour

// Watch warns of hosts that were to renew certificates by themselves and have failed, or have not tried though some are
// due.
func Watch(object types.Object, cluster string, reports bootstrap.Reports, now time.Time) (diags diag.Diagnostics) {
	before := Of(object).Before
	var failed, idle []string
	for m, report := range reports {
		o := report.Observation
		if o == nil || o.Renewal == nil {
			continue
		}
		last := o.Renewal.Last
		switch due := firstDue(o.Certificates, before, now); {
		case last != nil && last.Error != "":
			failed = append(failed, fmt.Sprintf("%s, at %s: %s", m, last.Ended.UTC().Format(time.RFC3339), last.Error))
		case due == "" || last != nil && now.Sub(last.Ended) < missed:
		case last == nil:
			idle = append(idle, fmt.Sprintf("%s: %s, and its host has never looked at it", m, due))
		default:
			idle = append(idle, fmt.Sprintf("%s: %s, and its host has looked at it last at %s", m, due, last.Ended.UTC().Format(time.RFC3339)))
		}
	}
	slices.Sort(failed)
	slices.Sort(idle)
	if len(failed) > 0 {
		diags.AddAttributeWarning(path.Root("pki"), fmt.Sprintf("Hosts of cluster %s could not renew certificates", cluster), strings.Join(failed, "\n")+
			fmt.Sprintf("\n\nThe next run is within two hours: %s.timer. An apply renews what is due, too.", api.RenewalUnit(cluster)))
	}
	if len(idle) > 0 {
		diags.AddAttributeWarning(path.Root("pki"), fmt.Sprintf("Hosts of cluster %s do not renew certificates that are due", cluster), strings.Join(idle, "\n")+
			fmt.Sprintf("\n\nSee on the host: systemctl status %s.timer", api.RenewalUnit(cluster)))
	}
	return diags
}

// firstDue returns which of a member's certificates is due first, or "".
func firstDue(held map[string]api.Certificate, before time.Duration, now time.Time) string {
	for _, name := range slices.Sorted(maps.Keys(held)) {
		leaf, err := cert.ParseLeaf([]byte(held[name].PEM))
		if err != nil || leaf.IsCA || !cert.NeedsRenewal(cert.InfoOf(leaf), now, before) {
			continue
		}
		return fmt.Sprintf("its %s certificate expires at %s", name, leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return ""
}
