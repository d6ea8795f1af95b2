// Package firewall has the attribute by which a configuration says who may reach the members.
package firewall

import (
	"slices"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
)

// Name is the name of the attribute.
const Name = "firewall"

// clientCIDRs is its own attribute.
const clientCIDRs = "client_cidrs"

// Attribute is the attribute.
func Attribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Has every member's host drop what nobody asked for: the peer port takes connections from the members' addresses alone, and the client port from `client_cidrs`, the members and the host itself. " +
			"Each host has a table of nftables of its own for the cluster (`inet etcd-NAME`), which filters these two TCP ports and nothing else, so that SSH cannot be affected; the tables of firewalld, ufw, Docker and others stay, and what one of them drops stays dropped. " +
			"It follows every change of members, is laid down again before each start of the member, and shows in a plan when somebody has changed or flushed it. No change of it restarts a member, but for members with a store of another release of the provider, which are given this one's first. " +
			"Members that are known by names are let in at the addresses that each host resolves them to; if these change, the next plan shows it. A host whose kernel has no nftables is refused. " +
			"Default: none; taking it out removes the tables.",
		Attributes: map[string]schema.Attribute{
			clientCIDRs: schema.SetAttribute{
				Required: true, ElementType: types.StringType,
				MarkdownDescription: "Networks that may reach the client port, IPv4 and IPv6, like `10.0.1.0/24` or `2001:db8:1::/64`; a single address is `192.0.2.8/32`. Empty: the members alone.",
				Validators:          []validator.Set{setvalidator.SizeAtMost(256), setvalidator.NoNullValues(), setvalidator.ValueStringsAre(validate.CIDR)},
			},
		},
	}
}

// kinds are the types of its own attributes.
var kinds = map[string]attr.Type{clientCIDRs: types.SetType{ElemType: types.StringType}}

// Of reads what the attribute says, networks sorted; nil: it is not set, or not known yet.
func Of(object types.Object) *bootstrap.Firewall {
	networks, is := object.Attributes()[clientCIDRs].(types.Set)
	if !is || object.IsNull() || object.IsUnknown() {
		return nil
	}
	clients := value.Texts(networks)
	slices.Sort(clients)
	return &bootstrap.Firewall{Clients: clients}
}

// From is the attribute by which a host filters as it does; null: it does not.
func From(has *api.FirewallStatus) types.Object {
	if has == nil || has.Damaged {
		return types.ObjectNull(kinds)
	}
	return types.ObjectValueMust(kinds, map[string]attr.Value{clientCIDRs: types.SetValueMust(types.StringType, value.List(has.Clients).Elements())})
}
