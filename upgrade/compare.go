package upgrade

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/hashes"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// compareTries is how often members are compared before it counts that one of them cannot be: they compact, and receive
// the alarm, at different times. A run that changes the cluster would end there, so it tries more often, and a
// difference has to be seen again so often.
const (
	compareTries   = 5
	runTries       = 10
	differsConfirm = 2
)

// comparePatience is for how long a comparison waits for members that have served and do not at the moment, or do not
// show the alarm yet.
const (
	comparePatience = 2 * time.Second
	runPatience     = 30 * time.Second // an election on a busy disk was seen to take 18 s
)

// asker asks members by the stores that their hosts selected when they were observed.
type asker struct {
	*Executor
	reports bootstrap.Reports
	host    func(membership.Member) Host
}

func (a asker) Probe(ctx context.Context, m membership.Member, waited time.Duration) (api.Member, error) {
	return call[api.Member](ctx, a.host(m), storeOn(a.reports[m]), api.OpProbe, a.Cluster.Name, "", api.ProbeRequest{Waited: waited})
}

func (a asker) Hash(ctx context.Context, m membership.Member, revision int64) (api.Hash, error) {
	return call[api.Hash](ctx, a.host(m), storeOn(a.reports[m]), api.OpHash, a.Cluster.Name, "", api.HashRequest{Revision: revision})
}

// compare asks the voters that answer for the hash of their data if the CORRUPT alarm is raised or a member does not
// start because of different data. It records in the reports which members hold the same. A member that could not be
// compared gets no record.
func (e *Executor) compare(ctx context.Context, reports bootstrap.Reports) {
	var members, unstarted []membership.Member
	corruptAlarm := false
	for m, report := range reports {
		o := report.Observation
		if o == nil || o.Marker == nil {
			continue
		}
		if o.Data.Differs {
			unstarted = append(unstarted, m)
		}
		if o.Member.Responding && !o.Member.Learner {
			members = append(members, m)
			corruptAlarm = corruptAlarm || hasCorruptAlarm(o.Member)
		}
	}
	if !corruptAlarm && len(unstarted) == 0 {
		return
	}
	members = membership.Sort(members)
	noteHolders(reports, members, e.dataOf(ctx, reports, members, corruptAlarm))
	for _, m := range unstarted {
		if own := reports[m].Observation.Data.Own; own != nil {
			report := reports[m]
			report.Data = e.holdersOf(ctx, reports, members, *own)
			reports[m] = report
		}
	}
}

// hasCorruptAlarm tells whether a member has applied the alarm CORRUPT.
func hasCorruptAlarm(view api.Member) bool {
	return slices.ContainsFunc(view.Alarms, func(alarm string) bool { return strings.HasPrefix(alarm, bootstrap.AlarmCorrupt) })
}

// dataOf returns for each member a text that identifies its data. A member that does not serve is asked with the
// others but not waited for.
func (e *Executor) dataOf(ctx context.Context, reports bootstrap.Reports, members []membership.Member, corruptAlarm bool) map[membership.Member]string {
	q := hashes.Question{Members: members, Tries: compareTries, Patience: comparePatience,
		Waits: func(m membership.Member) bool { return reports[m].Observation.Member.Healthy }}
	if corruptAlarm {
		q.Alarmed = hasCorruptAlarm
	}
	return hashes.Compare(ctx, asker{e, reports, e.host}, q).Data
}

// holdersOf returns the record of the members that hold what a member that does not start holds, as far as its data
// goes. It is empty if nobody does, or if members do that differ after that.
func (e *Executor) holdersOf(ctx context.Context, reports bootstrap.Reports, members []membership.Member, own api.Hash) string {
	var notes []string
	for _, m := range hashes.Holders(ctx, asker{e, reports, e.host}, members, own) {
		notes = append(notes, reports[m].Data)
	}
	slices.Sort(notes)
	if notes = slices.Compact(notes); len(notes) != 1 {
		return ""
	}
	return notes[0]
}

// noteHolders records in the reports what each member holds, as A, B and so on in the order of the members' names, so
// that the same cluster is always recorded alike.
func noteHolders(reports bootstrap.Reports, members []membership.Member, data map[membership.Member]string) {
	names := map[string]string{}
	for _, m := range members {
		if data[m] == "" {
			continue
		}
		if names[data[m]] == "" {
			names[data[m]] = string(rune('A' + len(names)))
		}
		report := reports[m]
		report.Data = names[data[m]]
		reports[m] = report
	}
}

// clearCorruptAlarm compares the data of all healthy voters again, and clears the alarm if it is the same.
func (r *changeRun) clearCorruptAlarm(ctx context.Context) error {
	var members []membership.Member
	for _, s := range r.status.Healthy() {
		members = append(members, s.Member)
	}
	data := r.dataOf(ctx, r.reports, members, true)
	for _, m := range members {
		if data[m] == "" || data[m] != data[members[0]] {
			return fmt.Errorf("the members do not show the same data: %s holds %q, and %s holds %q; the alarm stays: plan again", members[0], data[members[0]], m, data[m])
		}
	}
	return r.throughLeader(ctx, api.OpDisarm, api.DisarmRequest{Owner: r.order.Owner, Corrupt: true})
}

// needsSameData tells whether a step stops a voter that serves, removes one, or leads to another, or to that: if the
// data of voters that serve has diverged unseen, one with the right data may not start again beside one with other
// data, or those with other data may be left as the quorum. A voter that does not serve may be the one by which those
// with the right data are the more.
func (r *changeRun) needsSameData(step membership.Step) bool {
	s := r.member(step.Subject())
	switch step.Kind {
	case membership.AddLearner, membership.Promote, membership.Roll, membership.Downgrade:
		return true
	case membership.Readdress:
		return s.State == membership.Healthy && !s.There // otherwise it is not stopped
	case membership.Remove:
		return s.Role == membership.Voter
	}
	return false
}

// nextOnSameData returns the step that needs voters to hold the same data, if it comes next, or after what is only done
// for it. Of snapshots a host keeps few: ones of data that nobody can rely on would drive older ones out. The
// leadership might move to a member with other data. A store for a voter that is down is no such step: it may be the
// one that tells whose data is right.
func (r *changeRun) nextOnSameData(steps []membership.Step) membership.Step {
	for _, step := range steps {
		s := r.member(step.Subject())
		switch {
		case r.needsSameData(step):
			return step
		case step.Kind == membership.Stage && (s.Role == membership.Absent || s.State == membership.Healthy):
		case step.Kind != membership.Snapshot && step.Kind != membership.MoveLeader:
			return membership.Step{}
		}
	}
	return membership.Step{}
}

// sameData compares all voters that serve before the first step of a run that needs it, and refuses the step if they
// differ or cannot be compared. It tells whether it has asked them, which may take minutes: then the hosts are observed
// again before anything is done. What was found alike is not compared again in this run. What the plan knows to
// differ, it mends by itself; and it removes members with other data than a quorum.
func (r *changeRun) sameData(ctx context.Context, steps []membership.Step) (asked bool, err error) {
	step := r.nextOnSameData(steps)
	if step == (membership.Step{}) || r.status.Corrupt || slices.ContainsFunc(r.status.Members, func(s membership.MemberStatus) bool { return s.Diverged }) {
		return false, nil
	}
	var members []membership.Member
	known := true
	for _, s := range r.status.Healthy() {
		members = append(members, s.Member)
		known = known && r.alike[s.ID]
	}
	if known || len(members) < 2 || r.leaves[step] {
		return false, nil
	}
	r.say(fmt.Sprintf("the data of %s is compared, one after another, before any member is stopped or removed, or comes", names(members)))
	found := hashes.Compare(ctx, asker{r.Executor, r.reports, r.host}, hashes.Question{Members: members, Tries: runTries, Patience: runPatience, Confirm: differsConfirm})
	if ctx.Err() != nil {
		return true, nil
	}
	rest := members
	same := found.Same(members, r.status.Size())
	if m := step.Subject(); step.Kind == membership.Remove && !found.Alike(members) && len(same) > 0 && slices.Contains(members, m) && !slices.Contains(same, m) {
		rest = slices.DeleteFunc(slices.Clone(members), func(other membership.Member) bool { return other == m })
		r.leaves[step] = true
	}
	alike := found.Alike(rest)
	for _, m := range rest {
		r.alike[r.member(m).ID] = alike
	}
	switch {
	case alike && len(rest) == len(members):
		r.say("they hold the same data: " + found.String())
		return true, nil
	case r.leaves[step]:
		r.say(fmt.Sprintf("%s hold the same data, as a quorum, and %s leaves: %s", names(same), step.Subject(), found))
		return true, nil
	case found.Alike(slices.DeleteFunc(slices.Clone(members), func(m membership.Member) bool { return found.Data[m] == "" })):
		return true, &membership.Refusal{Summary: "Members could not be compared", Rule: fmt.Sprintf("before this step all voters that serve have to be seen to hold the same data (%s): %s", step, found), Remedy: r.wayOn(found)}
	}
	return true, &membership.Refusal{Summary: "Members hold different data", Rule: fmt.Sprintf("voters that serve hold different data, so that this step is not done (%s): %s", step, found), Remedy: r.wayOn(found)}
}

// names returns the names of members.
func names(members []membership.Member) string {
	var texts []string
	for _, m := range membership.Sort(members) {
		texts = append(texts, m.Name)
	}
	return strings.Join(texts, ", ")
}

// sameHash checks that members have the same hash at a revision that all of them have.
func (r *changeRun) sameHash(ctx context.Context, members []membership.Member) error {
	found := hashes.Compare(ctx, asker{r.Executor, r.reports, r.host}, hashes.Question{Members: members, Tries: runTries, Patience: runPatience, Confirm: differsConfirm, All: true})
	compared := slices.DeleteFunc(slices.Clone(members), func(m membership.Member) bool { return found.Data[m] == "" })
	switch {
	case len(compared) == len(members) && found.Alike(members):
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("the data of the members could not be compared: %s: %w", found, context.Cause(ctx))
	case found.Alike(compared):
		return fmt.Errorf("the data of the members could not be compared: %s; apply again, which goes on with what is left, and if it stays so, see to the members that are said not to be compared", found)
	}
	for _, s := range r.status.Voters() {
		if !slices.Contains(members, s.Member) {
			members = append(slices.Clone(members), s.Member)
		}
	}
	all := hashes.Compare(ctx, asker{r.Executor, r.reports, r.host}, hashes.Question{Members: membership.Sort(members), Tries: compareTries, Patience: comparePatience})
	return fmt.Errorf("the data of the members differs: %s; the run stops here: %s", found, r.wayOn(all))
}

// wayOn says what to do about members that differ or could not be compared: a quorum of the voters is right, if one
// holds the same.
func (r *changeRun) wayOn(found hashes.Comparison) string {
	var voters []membership.Member
	var down []string
	for _, s := range r.status.Voters() {
		voters = append(voters, s.Member)
		if s.State != membership.Healthy {
			down = append(down, fmt.Sprintf("%s is %s", s, s.State))
		}
	}
	rebuild := func(m membership.Member) string {
		return fmt.Sprintf("stop %s (systemctl stop etcd@%s on its host), and give it another rebuild if the configuration has it, so that it is not started first", m, r.Cluster.Name)
	}
	const anew = "plan again, and apply: it is built anew from the others"
	same := found.Same(voters, r.status.Size())
	var wrong, apart []string
	for _, m := range membership.Sort(slices.Collect(maps.Keys(found.Views))) {
		switch {
		case slices.Contains(same, m), slices.Contains(found.Older, m):
		case found.Data[m] == "":
			apart = append(apart, rebuild(m))
		case found.Views[m].Learner:
			wrong = append(wrong, fmt.Sprintf("remove %s on the host of another (etcdctl member remove %s)", m, found.Views[m].MemberID))
		default:
			wrong = append(wrong, rebuild(m))
		}
	}
	quorum := fmt.Sprintf("a quorum of the voters holds the same (%s)", names(same))
	switch {
	case len(same) > 0 && len(wrong) > 0:
		return fmt.Sprintf("%s; %s; %s", quorum, strings.Join(wrong, "; "), anew)
	case len(same) > 0 && len(apart) > 0:
		return fmt.Sprintf("%s; apply again, and if it stays so, %s; %s", quorum, strings.Join(apart, "; "), anew)
	case len(same) > 0:
		return quorum + "; apply again: a voter whose host does not answer, or that does not serve, is not compared"
	case len(found.Apart) > 0 || len(down) > 0:
		return strings.TrimSuffix("no quorum of the voters is seen to hold the same, and not all could be compared: bring them up, or have them answer, and apply again before you change anything else; "+strings.Join(down, "; "), "; ") +
			"; if they are gone for good, only you can say whose data is right: " + plan.LastResort
	}
	return "no quorum of the voters is seen to hold the same: find out which member is wrong before you change anything else; only you can say whose data is right: " + plan.LastResort
}
