package cluster

import (
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/settings"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
)

// chooseVersion is the version that the members are to run: an exact one, or the newest patch that this provider
// carries of the minor version that is desired. Without a version the cluster stays on its own. A cluster whose patch
// is newer than what is carried keeps it, and so does one whose restarts are held back.
func (c *clusterModel) chooseVersion(state clusterModel, stores providerdata.Stores) (diags diag.Diagnostics) {
	running := state.EtcdVersion.ValueString()
	if c.Version.IsUnknown() {
		c.EtcdVersion = types.StringUnknown()
		return nil
	}
	desired := c.Version.ValueString()
	if desired == "" {
		desired = membership.Minor(running)
	}
	version, err := stores.Newest(desired)
	switch kept := running == desired || membership.Minor(running) == desired; {
	case kept && (err != nil || c.HoldRestarts.ValueBool() || membership.CompareVersions(running, version) > 0):
		version = running
	case err != nil:
		diags.AddAttributeError(path.Root("version"), "The provider does not carry this version of etcd", err.Error())
	}
	c.EtcdVersion = types.StringValue(version)
	if !diags.HasError() {
		diags.Append(settings.CheckExtraFlags(c.ExtraFlags, version)...)
	}
	return diags
}

// aboutCarried says which versions of etcd are carried.
func aboutCarried(versions []string) string {
	if len(versions) == 0 {
		return ""
	}
	return " This release of the provider carries `" + strings.Join(versions, "`, `") + "`."
}

// minorVersion is the minor version of etcd that a configuration names; empty: it names none, or that is not known yet.
func (c clusterModel) minorVersion() string { return membership.Minor(c.Version.ValueString()) }
