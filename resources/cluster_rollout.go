package resources

import (
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// plansSteps is a plan of these steps: what the apply does, and what for.
func (c *clusterModel) plansSteps(asked upgrade.Asked, steps []membership.Step) {
	c.Rollout, c.PlannedChange = stepList(steps), types.StringValue(string(asked.For(steps)))
}

// plansUnknownSteps is a plan whose steps are left to the apply.
func (c *clusterModel) plansUnknownSteps() {
	c.Rollout, c.PlannedChange = types.ListUnknown(types.StringType), types.StringUnknown()
}

// closeRollout moves what an apply has done out of rollout: a plan shows the difference to the state, and steps that
// are still in the state would show as removed, or, where the same step is to be done again, not at all.
func (c *clusterModel) closeRollout() {
	if len(c.Rollout.Elements()) > 0 {
		c.LastRollout = c.Rollout
	}
	c.plansSteps(upgrade.Asked{}, nil)
}

// asked is what the configuration asks for beyond what was applied last.
func (c clusterModel) asked(ch change, state clusterModel) upgrade.Asked {
	return upgrade.Asked{
		Change:  ch.asksForChange(state) || c.changesOwn(state, ch.members, ch.before),
		Restore: ch.cluster.Restore.Source != "",
	}
}

// pends tells whether a plan leaves anything of the members to the apply, as where a host could not be asked.
func (ch change) pends() bool {
	for _, m := range ch.members {
		if m.Health.IsUnknown() {
			return true
		}
	}
	return false
}
