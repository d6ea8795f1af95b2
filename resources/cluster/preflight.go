package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/preflight"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/timeout"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// ahead is what a plan has observed of hosts that are new to the cluster, or are reached by other settings than before.
// It never becomes a value of the plan, except where that is left to the apply: Terraform plans again during the apply,
// and compares the results.
type ahead struct {
	reports bootstrap.Reports
	moved   bootstrap.Reports // those of other addresses of machines that members are on already
	back    bootstrap.Reports // those of hosts that carry what an earlier member of this cluster has left
	skipped []string          // what is to be said of hosts that nobody could look at
	// open: the apply may look at hosts of a running cluster that this plan could not look at, and find either result.
	open bool
}

// lookAhead observes the hosts that are new to a plan, all at once and without changing them. During the apply it gives
// a host as long to answer as the apply would. state is the zero model if there is none.
func (r *clusterResource) lookAhead(ctx context.Context, plan, state clusterModel, from startingPoint) (a ahead, diags diag.Diagnostics) {
	plan = plan.lookedBy(state, r.providerData.Stores)
	seen := from.last.Reports()
	look, skipped, open := plan.toLookAt(from, seen)
	a = ahead{skipped: skipped, open: open}
	if len(look) == 0 {
		return a, diags
	}
	var err error
	a.reports, err = r.lookAt(ctx, plan, state, look, &diags)
	switch {
	case errors.Is(err, providerdata.ErrNotKnown):
		a.skipped = append(a.skipped, fmt.Sprintf("%s: %s", names(look), err))
		a.open = a.open || slices.ContainsFunc(look.Members(), func(m membership.Member) bool { return from.mayFind(m, seen) })
	case err != nil:
		diags.AddError("The hosts could not be checked", err.Error())
	case ctx.Err() != nil:
		diags.AddError("Interrupted", "The hosts were not all looked at. No host was changed.")
	default:
		a.moved = plan.foundMoved(from, state, a.reports, r.providerData.Stores)
		a.back = foundBack(state, seen, a.reports)
	}
	return a, diags
}

// preflight refuses a plan that the observed hosts do not allow. During the apply it refuses nothing that the apply
// would not refuse right afterwards, since it applies the same rule. signs tells whether the plan has certificates
// signed.
func (r *clusterResource) preflight(ctx context.Context, plan, state clusterModel, from startingPoint, a ahead, signs bool) (diags diag.Diagnostics) {
	if len(a.reports) > 0 {
		plan = plan.lookedBy(state, r.providerData.Stores)
		diags.Append(plan.refuseHosts(ctx, state, from, a.reports, r.providerData, signs)...)
		if !diags.HasError() {
			diags.Append(plan.warnOfClocks(a.reports, slices.Collect(maps.Keys(a.reports)))...)
			diags.Append(plan.warnOfHosts(a.reports)...)
		}
	}
	if len(a.skipped) > 0 {
		text := "The plan has not looked at hosts that may be new to the cluster:\n\n  " + strings.Join(a.skipped, "\n  ") +
			"\n\nThe apply looks at them before it changes anything on a host, and refuses then what could not carry a member."
		if a.open {
			text += " Whether a member moves to another host, or is given another address on its own, and whether a host carries what an earlier member has left, it finds out too: so what becomes of the members, and by which steps, is known after apply."
		}
		diags.AddAttributeWarning(path.Root("members"), "This plan has not checked all hosts", text)
	}
	return diags
}

// preflightAttribute describes preflight.
func preflightAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "What new hosts are checked for, beside what a member cannot run without. The plan looks at the disk and file system below `data_dir`, CPUs, memory, clock, swap and more. " +
			"The apply also has the hosts try, once the store is on them and before anything else is: appends to the disk of `data_dir`, the peer port between all members in both directions, and the names by which members reach each other. " +
			"The guide \"Sizing\" lists all findings. An error refuses the plan, or the apply before anything is given up (it starts members that are down, and renews certificates, first), for all hosts at once; a warning is shown.",
		Attributes: map[string]schema.Attribute{
			"max_fsync_p99": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: fmt.Sprintf("How long 99 of 100 appends of etcd to the disk of `data_dir` may take until they are synced, at most, as in `10ms`. A new host with a slower disk is refused. "+
					"Without this, the apply warns of a disk that takes more than %s.", preflight.FsyncP99),
				Validators: []validator.String{validate.Text("a duration above zero, like 10ms", func(text string) error {
					limit, err := time.ParseDuration(text)
					if err == nil && limit <= 0 {
						err = errors.New("it is not above zero")
					}
					return err
				})},
			},
			"waive": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Findings that refuse no host and that nobody is warned of: `" + strings.Join(preflight.Waivable(), "`, `") + "`.",
				Validators:          []validator.Set{setvalidator.NoNullValues(), setvalidator.ValueStringsAre(stringvalidator.OneOf(preflight.Waivable()...))},
			},
		},
	}
}

// waived returns the findings that the value of preflight waives, as far as they are known.
func waived(object types.Object) []string {
	waive, _ := object.Attributes()["waive"].(types.Set)
	return value.Texts(waive)
}

// maxFsyncP99 returns the limit that the value of preflight sets; 0: none, or it is not known.
func maxFsyncP99(object types.Object) time.Duration {
	text, _ := object.Attributes()["max_fsync_p99"].(types.String)
	limit, _ := time.ParseDuration(text.ValueString()) // its validator has parsed it
	return limit
}

// warnOfHosts warns of what speaks against new hosts and keeps no member from running there.
func (c clusterModel) warnOfHosts(reports bootstrap.Reports) (diags diag.Diagnostics) {
	doubts := c.cluster(nil).Doubts(reports)
	if len(doubts) == 0 {
		return nil
	}
	diags.AddAttributeWarning(path.Root("members"), "Members may be slow or fail on some of the new hosts",
		"What was found there:\n\n  "+strings.Join(doubts, "\n  ")+"\n\nThe apply uses the hosts all the same. The guide \"Sizing\" says where the thresholds come from; preflight.waive turns a warning off by its name.")
	return diags
}

// warnOfSeen warns of what an apply has found out about new hosts: by what they have tried, and by their inventories if
// the plan did not look at them.
func (c clusterModel) warnOfSeen(seen upgrade.Seen) (diags diag.Diagnostics) {
	if !c.PreflightAtPlan.IsNull() && !c.PreflightAtPlan.ValueBool() {
		diags.Append(c.warnOfHosts(seen.Inspected)...)
	}
	if len(seen.Doubts) > 0 {
		diags.AddAttributeWarning(path.Root("members"), "Members may be slow on some of the new hosts",
			"What the hosts have tried:\n\n  "+strings.Join(seen.Doubts, "\n  ")+"\n\nThe members run there all the same. The guide \"Sizing\" says where the thresholds come from; preflight.waive turns a warning off by its name.")
	}
	return diags
}

// lookedBy returns the model by which hosts are observed: values that the change of a running cluster leaves open are
// those of the state.
func (c clusterModel) lookedBy(state clusterModel, stores providerdata.Stores) clusterModel {
	if state.Owner.IsNull() {
		return c
	}
	if c.DataDir.IsUnknown() {
		c.DataDir = state.DataDir
	}
	if c.chooseVersion(state, stores); c.EtcdVersion.IsUnknown() { // what is wrong with a version, the plan itself says
		c.EtcdVersion = state.EtcdVersion
	}
	return c
}

// toLookAt returns how to reach the hosts that are new to the cluster or are reached by other settings than before,
// what to report of those that cannot be observed yet, and whether the apply may find that one of these is more than a
// bare host.
func (c clusterModel) toLookAt(from startingPoint, seen bootstrap.Reports) (look providerdata.Routes, skipped []string, open bool) {
	if from.members == nil {
		return nil, []string{"which members there are is known after apply"}, false
	}
	look = providerdata.Routes{}
	for _, name := range slices.Sorted(maps.Keys(from.members)) {
		m, old := from.members[name], from.before[name]
		if m.sameWay(old) {
			continue
		}
		switch {
		case m.Address.IsUnknown():
			skipped = append(skipped, name+": its address is known after apply")
		case !m.wayKnown():
			skipped = append(skipped, name+": how its host is reached is known after apply")
			open = open || from.mayFind(m.member(name), seen)
		default:
			look[m.member(name)] = m.sshTarget()
		}
	}
	why := ""
	switch {
	case len(look) == 0:
	case c.PreflightAtPlan.IsUnknown():
		why = "preflight_at_plan is known after apply"
	case !c.PreflightAtPlan.IsNull() && !c.PreflightAtPlan.ValueBool():
		// The apply's own plan does not look either.
		return nil, append(skipped, names(look)+": preflight_at_plan is off"), false
	case !value.Known(context.Background(), c.Preflight):
		why = "preflight is known after apply"
	case slices.ContainsFunc([]attr.Value{c.Name, c.EtcdVersion, c.DataDir, c.ClientPort, c.PeerPort, c.MetricsPort}, attr.Value.IsUnknown):
		why = "name, version, ports or data_dir of the cluster are known after apply"
	}
	if why == "" {
		return look, skipped, open
	}
	for m := range look {
		open = open || from.mayFind(m, seen)
	}
	return nil, append(skipped, names(look)+": "+why), open
}

// mayFind tells whether the host of a running cluster's member, which the last refresh did not observe, may turn out to
// be another address of the member's machine, or to carry the remains of an earlier member.
func (from startingPoint) mayFind(m membership.Member, seen bootstrap.Reports) bool {
	_, looked := seen[m]
	return from.before != nil && !looked
}

// mayMove tells whether a member's new address may belong to the machine that the member is already on. Only an
// observation can tell.
func mayMove(m membership.Member, before map[string]memberModel, seen bootstrap.Reports) bool {
	old, there := before[m.Name]
	_, looked := seen[m]
	return there && !looked && old.Address.ValueString() != m.Address
}

// sameWay tells whether a host is the one in the state, and is reached by the same settings.
func (m memberModel) sameWay(old memberModel) bool {
	return m.Address.Equal(old.Address) && m.wayKnown() && m.sshTarget() == old.sshTarget()
}

// wayKnown tells whether it is known how to reach a host.
func (m memberModel) wayKnown() bool {
	return !slices.ContainsFunc([]attr.Value{m.SSHAddress, m.SSHPort, m.SSHUser, m.HostKey, m.HostCA}, attr.Value.IsUnknown)
}

// names returns the names of the members.
func names(hosts providerdata.Routes) string {
	var all []string
	for _, m := range hosts.Members() {
		all = append(all, m.Name)
	}
	return strings.Join(all, ", ")
}

// lookAt observes hosts without changing them.
func (r *clusterResource) lookAt(ctx context.Context, plan, state clusterModel, hosts providerdata.Routes, diags *diag.Diagnostics) (bootstrap.Reports, error) {
	// The time is as long as the apply would wait for hosts: ssh.connect_timeout gives up each host earlier.
	looking, cancel := timeout.Bound(ctx, plan.Timeouts.Create, createTimeout, diags)
	defer cancel()
	cluster := plan.clusterWith(nil, r.providerData.Stores)
	cluster.Members, cluster.Inspects = hosts.Members(), hosts.Members()
	executor, err := r.executor(ctx, cluster, "plan", hosts, nobody)
	if err != nil {
		return nil, err
	}
	if state.Owner.IsNull() && plan.Restore.IsNull() {
		return executor.LookToForm(looking, hosts.Members()), nil
	}
	return executor.Observe(looking, hosts.Members()), nil
}

// maySign tells whether a change of a running cluster has certificates signed. If its steps are known after apply, it
// does where the plan has looked at a host of a new member, or of a member at another address.
func (c clusterModel) maySign(ch change, from startingPoint, looked ahead) bool {
	if !c.Rollout.IsUnknown() {
		return slices.ContainsFunc(ch.plan.Steps, membership.Step.Signs)
	}
	for m := range looked.reports {
		if from.before[m.Name].Address.ValueString() != m.Address {
			return true
		}
	}
	return false
}

// refuseHosts refuses hosts because of what was observed on them, and because of clocks if the plan has certificates
// signed.
func (c clusterModel) refuseHosts(ctx context.Context, state clusterModel, from startingPoint, seen bootstrap.Reports, providerData *providerdata.Data, signs bool) (diags diag.Diagnostics) {
	if from.wrongRestoration.HasError() {
		return from.wrongRestoration
	}
	restoration := from.restoration
	cluster := c.clusterWith(from.members, providerData.Stores)
	known := cluster.Located()
	var refusals []error
	switch owner := state.Owner.ValueString(); {
	case restoration.Source != "" && !restoration.RollBack && !c.restoredBefore(state, desired{members: from.members, stores: providerData.Stores}, nil, from.last, restoration):
		known.Restore = restoration
		refusals = append(refusals, known.PreflightRestore(owner, seen, providerData.Now()))
	case state.Owner.IsNull():
		reports := map[string]bootstrap.Report{}
		for m, report := range seen {
			reports[m.Name] = report
		}
		refusals = append(refusals, cluster.PreflightForm(reports, providerData.Now()))
	default:
		refusals = append(refusals, known.PreflightChange(owner, from.last.Reports(), seen))
	}
	for _, report := range seen {
		// Terraform plans the second half of a replacement as a create, even before a destroy. The apply refuses the
		// replacement, and a destroy has none.
		if marker := report.Marker(); state.Owner.IsNull() && marker != nil && providerData.Holds(marker.Owner) {
			diags.AddWarning(fmt.Sprintf("Cluster %s is there already", c.Name.ValueString()), "Its hosts carry it, and a resource of this state holds it. The apply refuses to create it once more. "+
				"Where it was to be replaced: "+refusedReplacement+" Where this is another resource, give it other hosts, or another name.")
			return diags
		}
	}
	if signs {
		told := from.last.Reports()
		maps.Copy(told, seen)
		refusals = append(refusals, told.Clocks().MaySign(known.Members))
	}
	refused := errors.Join(refusals...)
	if refused == nil {
		return nil
	}
	text := ".\n\nNo host was changed."
	if slices.ContainsFunc(slices.Collect(maps.Values(seen)), func(report bootstrap.Report) bool { return errors.Is(report.Err, ssh.ErrUnreachable) }) {
		text += " Where this very plan is to make the machine, take the address from the resource that makes it, so that it is known after apply, or set preflight_at_plan = false."
	}
	summaries, of := bySummary(refused, "The hosts do not allow this plan")
	for _, summary := range summaries {
		diags.AddAttributeError(refusedAt(of[summary]), summary, of[summary].Error()+text)
	}
	return diags
}

// warnBegun warns that a create continues an interrupted one, and names the steps that are left on its hosts. rollout
// shows the steps of a create on bare hosts, since no value of a plan comes from an observation.
func (c clusterModel) warnBegun(ctx context.Context, from startingPoint, seen bootstrap.Reports, providerData *providerdata.Data) (diags diag.Diagnostics) {
	if len(seen) < len(from.members) || from.restoration.Source != "" || !c.plannable(ctx, from.members) || c.CACertificate.IsUnknown() || c.PeerCACertificate.IsUnknown() || from.authority.OpenOnHosts() {
		return nil
	}
	reports := map[string]bootstrap.Report{}
	for m, report := range seen {
		reports[m.Name] = report
	}
	cluster := c.givenBy(c.clusterWith(from.members, providerData.Stores), nil, from.backup, from.authority)
	formation := cluster.Resume(reports, bootstrap.Formation{})
	if formation == (bootstrap.Formation{}) {
		return nil
	}
	now := providerData.Now()
	observed := cluster.Assess(reports, formation, now)
	steps, err := bootstrap.Form(observed, cluster.Spec)
	if err != nil {
		return nil // the preflight has its own say
	}
	if last, needed := bootstrap.FormRenewals(observed, cluster.Spec); needed {
		steps = append(steps, last)
	}
	diags.AddWarning(fmt.Sprintf("The apply continues an unfinished create of cluster %s", c.Name.ValueString()),
		"Its hosts carry what an earlier apply has begun, which is kept. rollout shows the steps of a create on bare hosts. "+willDo(steps))
	return diags
}
