package resources

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// planChange fills in what becomes of a living cluster. Settings of the provider's own, such as
// deletion_protection or a host key, change nothing on the hosts. Everything else that differs is
// refused, and members that are not well are repaired.
func (c *clusterModel) planChange(ctx context.Context, config clusterModel, authority authorityModel, state clusterModel) (diags diag.Diagnostics) {
	before, d := state.memberModels(ctx)
	diags.Append(d...)
	members, d := c.memberModels(ctx)
	diags.Append(d...)
	if diags.HasError() {
		return diags
	}
	observed := healths(before)
	if config.DataDir.IsNull() {
		c.DataDir = state.DataDir
	}
	c.keepObserved(state)
	for name, m := range members {
		m.keepObserved(before[name])
		members[name] = m
	}
	dropStrangers(before)
	own := c.changesOwn(state, members, before)

	diags.Append(c.refuseChanges(authority, state)...)
	diags.Append(refuseMemberChanges(members, before)...)
	if diags.HasError() {
		return diags
	}
	steps, err := repair(state.spec(before), observed)
	switch {
	case err == nil && len(steps) > 0:
		for name, m := range members {
			m.Health = types.StringValue(string(upgrade.Healthy))
			members[name] = m
		}
		c.Rollout, c.Status = stepList(steps), types.StringValue(statusHealthy)
	case err != nil && (own || errors.Is(err, errNotAsked)):
		diags.AddWarning("The members are not repaired by this plan", err.Error())
	case err != nil:
		// Terraform plans like this before a destroy too, unless it is told not to look.
		diags.AddAttributeError(refusedAt(err), "The members cannot be repaired", err.Error()+
			".\n\nTo destroy the cluster in this condition, use terraform destroy -refresh=false.")
		return diags
	}
	diags.Append(c.setMembers(ctx, members)...)
	return diags
}

// keepObserved takes over what was observed, and what was last done.
func (c *clusterModel) keepObserved(state clusterModel) {
	c.EtcdVersion, c.ClusterID, c.Endpoints = state.EtcdVersion, state.ClusterID, state.Endpoints
	c.CACertificate, c.PeerCACertificate = state.CACertificate, state.PeerCACertificate
	c.Status, c.Rollout, c.Owner = state.Status, state.Rollout, state.Owner
}

// keepObserved takes over what was observed.
func (m *memberModel) keepObserved(state memberModel) {
	m.ID, m.Health, m.CertificateExpiry = state.ID, state.Health, state.CertificateExpiry
	m.PeerURL, m.ClientURL = state.PeerURL, state.ClientURL
}

// changesOwn tells whether something changes that is between Terraform and the provider alone.
func (c clusterModel) changesOwn(state clusterModel, members, before map[string]memberModel) bool {
	return !c.DeletionProtection.Equal(state.DeletionProtection) ||
		!c.PurgeData.Equal(state.PurgeData) ||
		!c.Timeouts.Equal(state.Timeouts) ||
		!c.Version.Equal(state.Version) ||
		!c.Settings.Equal(state.Settings) ||
		!maps.Equal(members, before)
}

// refuseChanges refuses what is not possible on a living cluster, the members aside.
func (c clusterModel) refuseChanges(authority authorityModel, state clusterModel) (diags diag.Diagnostics) {
	refuse := func(name, why string) {
		diags.AddAttributeError(path.Root(name), name+" cannot be changed on a living cluster", why+" No host was changed.")
	}
	if !c.Name.Equal(state.Name) {
		refuse("name", fmt.Sprintf("Everything on the hosts is named after the cluster. Put back %s; for a cluster of another name, add another resource.", state.Name))
	}
	refusePort := func(name string, port, before types.Int64) {
		if !port.Equal(before) {
			refuse(name, fmt.Sprintf("This version of the provider does not move a cluster to other ports. Put back %s.", before))
		}
	}
	refusePort("client_port", c.ClientPort, state.ClientPort)
	refusePort("peer_port", c.PeerPort, state.PeerPort)
	refusePort("metrics_port", c.MetricsPort, state.MetricsPort)
	if !c.DataDir.Equal(state.DataDir) {
		refuse("data_dir", fmt.Sprintf("This version of the provider does not move a cluster's data. Put back %s.", state.DataDir))
	}
	if !sameSettings(c.Settings, state.Settings) {
		refuse("settings", fmt.Sprintf("This version of the provider does not roll settings out yet. Put back those that the cluster was formed with: %s.", describeSettings(state.Settings)))
	}
	if running := state.EtcdVersion.ValueString(); !satisfies(running, c.Version) {
		refuse("version", fmt.Sprintf("The cluster runs etcd %s, and this version of the provider neither upgrades nor downgrades. Set %q, or leave it out.", running, running))
	}
	for _, ca := range [][2]types.String{{authority.Client.Certificate, state.CACertificate}, {authority.Peer.Certificate, state.PeerCACertificate}} {
		if !ca[0].IsUnknown() && strings.TrimSpace(ca[0].ValueString()) != strings.TrimSpace(ca[1].ValueString()) {
			refuse("pki", "These are not the authorities that the cluster's certificates were signed by, and this version of the provider does not exchange them. Put back the pki that the cluster was formed with.")
			break
		}
	}
	return diags
}

// refuseMemberChanges refuses another set of members. An address that is not known yet is taken for
// another one: its host may be about to be replaced by this very plan, and the data with it.
func refuseMemberChanges(members, before map[string]memberModel) (diags diag.Diagnostics) {
	var changes []string
	if members == nil {
		changes = append(changes, "which members there are is not known before apply")
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		old, known := before[name]
		switch address := members[name].Address; {
		case !known:
			changes = append(changes, fmt.Sprintf("%s is new", name))
		case address.IsUnknown():
			changes = append(changes, fmt.Sprintf("the address of %s is not known before apply, so that its host (%s) may be about to be replaced", name, old.Address.ValueString()))
		case !address.Equal(old.Address):
			changes = append(changes, fmt.Sprintf("%s moves from %s to %s", name, old.Address.ValueString(), address.ValueString()))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, kept := members[name]; members != nil && !kept {
			changes = append(changes, fmt.Sprintf("%s (%s) is gone", name, before[name].Address.ValueString()))
		}
	}
	if len(changes) > 0 {
		diags.AddAttributeError(path.Root("members"), "The members of a living cluster cannot be changed",
			fmt.Sprintf("In this plan, %s. This version of the provider forms clusters and keeps them healthy; it does not add, remove or move members yet. "+
				"Put them back as they were, and keep their hosts. No host was changed.", strings.Join(changes, "; ")))
	}
	return diags
}

// satisfies tells whether a version is what is wanted: the same, or of the same line. What is not
// known yet is judged when it is.
func satisfies(version string, wanted types.String) bool {
	w := wanted.ValueString()
	return w == "" || version == w || strings.HasPrefix(version, w+".")
}

// describeSettings lists settings by name.
func describeSettings(settings types.Object) string {
	var set []string
	for name, value := range settings.Attributes() {
		if !value.IsNull() {
			set = append(set, name+" = "+value.String())
		}
	}
	if len(set) == 0 {
		return "none"
	}
	slices.Sort(set)
	return strings.Join(set, ", ")
}
