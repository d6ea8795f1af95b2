package resources

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
)

// unprivilegedPort is a port that a user who is not root may bind.
type unprivilegedPort struct{}

func (unprivilegedPort) Description(context.Context) string { return "a port from 1024 to 65535" }

func (p unprivilegedPort) MarkdownDescription(ctx context.Context) string { return p.Description(ctx) }

func (unprivilegedPort) ValidateInt64(_ context.Context, req validator.Int64Request, resp *validator.Int64Response) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if port := req.ConfigValue.ValueInt64(); port < 1024 || port > 65535 {
		resp.Diagnostics.AddAttributeError(req.Path, "This port cannot be bound",
			fmt.Sprintf("%s is %d. Members run as the user etcd, who may bind the ports from 1024 to 65535 alone: set one of these. For clients that expect another one, put a load balancer or a rule of the firewall in front.", req.Path, port))
	}
}
