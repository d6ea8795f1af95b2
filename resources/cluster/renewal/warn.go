package renewal

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// lastWeek is how long before their end certificates that a plan does not renew are about to take the cluster down.
const lastWeek = 7 * 24 * time.Hour

// InLastWeek tells whether something that expires at a time is in its last week at another.
func InLastWeek(expires, at time.Time) bool { return expires.Sub(at) <= lastWeek }

// Left is a member whose certificates a plan does not renew.
type Left struct {
	Name     string
	Expires  time.Time
	Lifetime time.Duration // of the certificate that expires first; 0: not known
	Why      string        // why the plan does not renew them
	Due      bool          // the planner has found that they are due
}

// Warn warns of certificates that are due and not renewed by this plan, with another summary in the last week before
// their end. It leaves out certificates that end with their authority, which a renewal does not change. why says why no
// certificate of this cluster is signed now; empty: some are.
func Warn(object types.Object, left []Left, why string, authorityEnds, now time.Time) (diags diag.Diagnostics) {
	says := Of(object)
	var due, last []string
	for _, m := range left {
		remains := m.Expires.Sub(now)
		// A signer may give certificates another lifetime than was asked for, and validity may have changed since.
		window := cert.DueFor(cmp.Or(m.Lifetime, says.Validity, pki.DefaultLeafLifetime), says.Before)
		text := fmt.Sprintf("%s: its first certificate expires at %s; %s", m.Name, m.Expires.UTC().Format(time.RFC3339), m.Why)
		switch {
		case remains <= min(lastWeek, window):
			last = append(last, text)
		case m.Due || remains <= window && m.Expires.Before(authorityEnds):
			due = append(due, text)
		}
	}
	if why != "" {
		why = "\n\n" + why
	}
	if len(last) > 0 {
		diags.AddAttributeWarning(path.Root(Name), "Certificates expire within a week, or have expired", "This plan does not renew them:\n\n  "+strings.Join(last, "\n  ")+why+
			"\n\nOnce they have expired, clients and other members refuse these members, and without a quorum of members the cluster serves nobody.")
	}
	if len(due) > 0 {
		diags.AddAttributeWarning(path.Root(Name), "Certificates are due, and this plan does not renew them", "It leaves them as they are:\n\n  "+strings.Join(due, "\n  ")+why)
	}
	return diags
}
