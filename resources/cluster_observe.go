package resources

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// observe writes what was seen of the members into the model. A host that could not be asked keeps
// what was last known of it, and is named in a warning: unreachable is not absent.
func (c *clusterModel) observe(ctx context.Context, members map[string]memberModel, reports map[string]bootstrap.Report) (diags diag.Diagnostics) {
	listed := listedMembers(reports, c.Owner.ValueString())
	for _, name := range slices.Sorted(maps.Keys(members)) {
		m, report := members[name], reports[name]
		health := upgrade.HealthOf(report, c.Owner.ValueString())
		if report.Err != nil {
			diags.AddAttributeWarning(path.Root("members").AtMapKey(name), fmt.Sprintf("Member %s of cluster %s could not be asked", name, c.Name.ValueString()),
				fmt.Sprintf("%s (%s): %s\n\nIt stays in the state as it was last seen, and nothing is changed on its account.", name, m.Address.ValueString(), report.Err))
		}
		if health == upgrade.Stopped && listed != nil && !isListed(listed, name) {
			health = healthRemoved
		}
		m.Health = types.StringValue(string(health))
		if health != upgrade.Missing && health != upgrade.Foreign {
			m.observe(report.Observation)
		}
		members[name] = m
	}
	addStrangers(members, listed)
	c.Status = types.StringValue(statusOf(healths(members)))
	diags.Append(c.setMembers(ctx, members)...)
	return diags
}

// observe takes over the member's ID and the expiry of its certificates, where they were seen.
func (m *memberModel) observe(o *api.Observation) {
	if o == nil {
		return
	}
	if o.Member.MemberID != "" {
		m.ID = types.StringValue(o.Member.MemberID)
	}
	if expiry, ok := firstExpiry(o.Certificates); ok {
		m.CertificateExpiry = types.StringValue(expiry.UTC().Format(time.RFC3339))
	}
}

// firstExpiry is when the first of a member's own certificates expires.
func firstExpiry(certificates map[string]api.Certificate) (first time.Time, found bool) {
	for _, key := range []string{api.KeyPeer, api.KeyServer, api.KeyAdmin} {
		block, _ := pem.Decode([]byte(certificates[key].PEM))
		if block == nil {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err == nil && (!found || cert.NotAfter.Before(first)) {
			first, found = cert.NotAfter, true
		}
	}
	return first, found
}

// listedMembers is etcd's member list as a healthy member of owner's cluster has it; nil where there
// is no such member to believe.
func listedMembers(reports map[string]bootstrap.Report, owner string) []api.ListedMember {
	for _, name := range slices.Sorted(maps.Keys(reports)) {
		if upgrade.HealthOf(reports[name], owner) == upgrade.Healthy {
			return reports[name].Observation.Member.Members
		}
	}
	return nil
}

func isListed(listed []api.ListedMember, name string) bool {
	return slices.ContainsFunc(listed, func(l api.ListedMember) bool { return l.Name == name })
}

// addStrangers adds the members that etcd has and we do not, so that a plan shows them.
func addStrangers(members map[string]memberModel, listed []api.ListedMember) {
	for _, l := range listed {
		name := l.Name
		if name == "" { // it has been added, and has never started
			name = l.ID
		}
		if _, known := members[name]; known {
			continue
		}
		stranger := memberModel{Address: types.StringValue(""), ID: types.StringValue(l.ID), Health: types.StringValue(healthStranger)}
		if len(l.PeerURLs) > 0 {
			stranger.PeerURL = types.StringValue(l.PeerURLs[0])
			if u, err := url.Parse(l.PeerURLs[0]); err == nil {
				stranger.Address = types.StringValue(u.Hostname())
			}
		}
		if len(l.ClientURLs) > 0 {
			stranger.ClientURL = types.StringValue(l.ClientURLs[0])
		}
		members[name] = stranger
	}
}

// formed writes what a create has made into the model: what its plan left unknown. Rollout stays
// as planned; where addresses were not known then, it is what would have been planned with them.
func (c *clusterModel) formed(ctx context.Context, members map[string]memberModel, formed upgrade.Formed) (diags diag.Diagnostics) {
	c.Owner = types.StringValue(formed.Owner)
	for name, m := range members {
		report := formed.Reports[name]
		m.observe(report.Observation)
		members[name] = m
		c.ClusterID = types.StringValue(report.Observation.Member.ClusterID)
	}
	diags.Append(c.setMembers(ctx, members)...)
	return diags
}
