// Package resources is Terraform's face of the provider: what a configuration may say, what a plan shows, and how both
// are passed to the packages that know etcd. Only the packages below this one and package provider use types of the
// framework. This package lists all resources; each package below has those that it manages.
package resources

import (
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/certificates"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/functions"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/hosts"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/snapshots"
)

// Managed returns the resources, for a provider that carries these versions of etcd.
func Managed(carried ...string) []func() resource.Resource {
	return []func() resource.Resource{certificates.NewPKI, cluster.New(carried...), certificates.NewCertificate, snapshots.New}
}

// Ephemeral returns the ephemeral resources.
func Ephemeral() []func() ephemeral.EphemeralResource {
	return []func() ephemeral.EphemeralResource{certificates.NewEphemeralCertificate, certificates.NewEphemeralPKI}
}

// Data returns the data sources.
func Data() []func() datasource.DataSource {
	return []func() datasource.DataSource{snapshots.NewBackups, hosts.New}
}

// Functions are the arithmetic of clusters.
func Functions() []func() function.Function {
	return []func() function.Function{functions.NewQuorum, functions.NewFaultTolerance}
}
