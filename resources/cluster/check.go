package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/exchange"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/renewal"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/settings"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
)

// check refuses a configuration that can never become a cluster, as far as its values are known. It runs when the
// configuration is validated, and again when it is planned and more values are known.
func (c clusterModel) check(ctx context.Context) diag.Diagnostics {
	var diags diag.Diagnostics
	members, d := c.memberModels(ctx)
	diags.Append(d...)
	var err error
	switch {
	case diags.HasError() || c.Members.IsUnknown():
	case members == nil:
		err = membership.CheckSize(len(c.Members.Elements()))
	default:
		err = checkMembers(members)
	}
	if err != nil {
		diags.AddAttributeError(refusedAt(err), "These members cannot be a cluster", err.Error())
	}
	if attribute, err := settings.Check(c.Settings); err != nil {
		diags.AddAttributeError(path.Root("settings").AtName(attribute), "These settings do not fit together", err.Error())
	}
	diags.Append(settings.CheckExtraFlags(c.ExtraFlags, c.minorVersion())...)
	diags.Append(renewal.Check(c.Certificates)...)
	if _, is := c.Members.Elements()[c.PeerCommonName.ValueString()]; is {
		diags.AddAttributeError(path.Root("peer_common_name"), "This is a member's name", fmt.Sprintf("%s is the name of a member, and of its certificate until all members have the common name: choose another one.", c.PeerCommonName))
	}
	diags.Append(c.checkPorts()...)
	return diags
}

// checkMembers checks the members by the rules of package membership. An unknown address counts as a member, at an
// address that no other member has.
func checkMembers(members map[string]memberModel) error {
	var spec membership.Spec
	for _, name := range slices.Sorted(maps.Keys(members)) {
		address := members[name].Address.ValueString()
		if members[name].Address.IsUnknown() {
			address = fmt.Sprintf("(%s: known after apply)", name)
		}
		spec.Members = append(spec.Members, membership.Member{Name: name, Address: address})
	}
	return spec.Check()
}

// checkPorts refuses equal ports. A port that is not set has its default, which is unknown while the configuration is
// only validated.
func (c clusterModel) checkPorts() (diags diag.Diagnostics) {
	taken := map[int64]string{}
	for _, port := range []struct {
		name     string
		value    types.Int64
		fallback int64
	}{
		{"client_port", c.ClientPort, defaultClientPort},
		{"peer_port", c.PeerPort, defaultPeerPort},
		{"metrics_port", c.MetricsPort, defaultMetricsPort},
	} {
		number := port.value.ValueInt64()
		if port.value.IsUnknown() {
			continue
		}
		if port.value.IsNull() {
			number = port.fallback
		}
		if other, is := taken[number]; is {
			diags.AddAttributeError(path.Root(port.name), "Two ports are the same",
				fmt.Sprintf("%s and %s are both %d: give each a port of its own.", other, port.name, number))
		}
		taken[number] = port.name
	}
	return diags
}

// refusedAt returns the attribute that a refusal is about.
func refusedAt(err error) path.Path {
	var refusal *membership.Refusal
	switch {
	case !errors.As(err, &refusal):
	case refusal.Attribute != "":
		return path.Root(refusal.Attribute)
	case refusal.Member != "":
		return path.Root("members").AtMapKey(refusal.Member)
	}
	return path.Root("members")
}

// refusePlan reports why a plan is refused, at the attribute that the refusal is about.
func refusePlan(diags *diag.Diagnostics, err error) {
	summaries, of := bySummary(err, "This plan is refused")
	for _, summary := range summaries {
		diags.AddAttributeError(refusedAt(of[summary]), summary, of[summary].Error()+".\n\nNo host was changed.")
	}
}

// asking returns the refusal of a step that has to wait, at the attribute that asks for it. The planner knows what
// members run by and are to run by, and not which attributes say so.
func (c clusterModel) asking(deferred *membership.Refusal, state clusterModel) *membership.Refusal {
	refusal := *deferred
	for _, of := range []struct {
		name    string
		is, was attr.Value
		by      []string // summaries of the steps that it asks for
	}{
		{"peer_port", c.PeerPort, state.PeerPort, []string{membership.NotReaddressed}},
		{"version", c.Version, state.Version, restarts},
		{"settings", c.Settings, state.Settings, restarts},
		{"extra_flags", c.ExtraFlags, state.ExtraFlags, restarts},
		{"client_port", c.ClientPort, state.ClientPort, restarts},
		{"metrics_port", c.MetricsPort, state.MetricsPort, restarts},
		{"peer_common_name", c.PeerCommonName, state.PeerCommonName, restarts},
		{"client_crl", c.ClientCRL, state.ClientCRL, restarts},
		{"pki", c.PeerCACertificate, state.PeerCACertificate, restarts},
		{"pki", c.CACertificate, state.CACertificate, restarts},
	} {
		if refusal.Attribute == "" && slices.Contains(of.by, refusal.Summary) && !of.is.Equal(of.was) {
			refusal.Attribute = of.name
		}
	}
	return &refusal
}

// restarts are the summaries of restarts that have to wait.
var restarts = []string{membership.NotRestarted}

// refusals returns refusals that were joined, one by one. What is none of the planner's is one of its own.
func refusals(err error) []error {
	if joined, is := err.(interface{ Unwrap() []error }); is {
		var all []error
		for _, one := range joined.Unwrap() {
			all = append(all, refusals(one)...)
		}
		return all
	}
	return []error{err}
}

// bySummary groups refusals that were joined by their summaries, in the order of the first of each. Those without one
// get the given summary.
func bySummary(err error, otherwise string) (summaries []string, of map[string]error) {
	of = map[string]error{}
	for _, one := range refusals(err) {
		summary := otherwise
		if refusal := (*membership.Refusal)(nil); errors.As(one, &refusal) && refusal.Summary != "" {
			summary = refusal.Summary
		}
		if !slices.Contains(summaries, summary) {
			summaries = append(summaries, summary)
		}
		of[summary] = errors.Join(of[summary], one)
	}
	return summaries, of
}

// refuseUnfollowed refuses what an etcd_pki goes on to in this run, if members have not followed what it did before.
// The last look at the hosts tells, in the plan and in the apply alike.
func (r *clusterResource) refuseUnfollowed(state clusterModel, from startingPoint) (diags diag.Diagnostics) {
	planned := r.providerData.Rotations.Planned()
	if len(planned) == 0 {
		return nil
	}
	status := state.clusterWith(from.before, r.providerData.Stores).Status(state.Owner.ValueString(), from.last.Reports(), from.last.At)
	var open []string
	for i := range status.Members {
		m, stays := from.members[status.Members[i].Name]
		status.Members[i].Desired = from.members == nil || stays && (m.Address.IsUnknown() || m.Address.ValueString() == status.Members[i].Address)
		if stays && m.Address.IsUnknown() {
			open = append(open, status.Members[i].Name)
		}
	}
	concerned := exchange.Concerned(planned, from.authority, status)
	if len(concerned) > 0 && !from.found {
		diags.AddError("The hosts have not been looked at", "Whether the members are ready for this rotation, they have to tell, and this state does not know it yet. Plan without -refresh=false.")
		return diags
	}
	return exchange.RefuseUnfollowed(state.Name.ValueString(), concerned, status, open)
}

// refuseChanges refuses changes that a running cluster does not support, apart from those of members.
func (c clusterModel) refuseChanges(state clusterModel) (diags diag.Diagnostics) {
	refuse := func(name, why string) {
		diags.AddAttributeError(path.Root(name), name+" cannot be changed on a running cluster", why+" No host was changed.")
	}
	if !c.Name.Equal(state.Name) {
		refuse("name", fmt.Sprintf("Everything on the hosts is named after the cluster. Put back %s; for a cluster of another name, add another resource.", state.Name))
	}
	if !c.DataDir.Equal(state.DataDir) {
		refuse("data_dir", fmt.Sprintf("A member is told by the directory and the file system that its data is on, and another one looks like a member that has lost it. Put back %s. To have the data on another disk, mount that at this directory of a spare host, "+
			"and give one member after another that host's address, with an apply in between: the host that it has left is the spare one for the next.", state.DataDir))
	}

	return diags
}

// mustShow refuses a plan that gives up data of a running cluster without being able to show what is given up: the
// apply would then do what nobody has approved.
func (c clusterModel) mustShow(ctx context.Context) (diags diag.Diagnostics) {
	hidden := func(name string, of attr.Value) {
		if !value.Known(ctx, of) {
			diags.AddAttributeError(path.Root(name), "This value has to be known at plan time",
				fmt.Sprintf("%s is known after apply, and says what a running cluster gives up: whoever approves the plan has to see it. Write it out, or apply what it comes from first (terraform apply -target=...). No host was changed.", name))
		}
	}
	hidden("recover_from", c.RecoverFrom)
	overwrites := attr.Value(c.Restore)
	if id, known := c.Restore.Attributes()["overwrite_cluster_id"]; known {
		overwrites = id // what it is restored from may be made in the same apply
	}
	hidden("restore", overwrites)
	return diags
}

// checkNames refuses members whose names an authority, or one above it, may not certify, as far as they are known.
func (c clusterModel) checkNames(by authority.Model, members map[string]memberModel) (diags diag.Diagnostics) {
	cluster := c.cluster(members).Located().Peered()
	for _, m := range cluster.Members {
		if err := by.Permits(cluster.Keys(m)); err != nil {
			diags.AddAttributeError(path.Root("members").AtMapKey(m.Name), "The authority may not certify this member", fmt.Sprintf("%s: %s.\n\nNo host was changed.", m, err))
		}
	}
	return diags
}
