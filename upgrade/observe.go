package upgrade

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/clocks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/preflight"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Observe reads the hosts of these members, each through the store that the cluster selects there. If none is
// selected, the first contact tells what the host is, and any installed store is used: an interrupted create or join
// may have left a marker, or somebody has removed the selected store. Observe changes nothing.
func (e *Executor) Observe(ctx context.Context, members []membership.Member) bootstrap.Reports {
	return e.observeAll(ctx, members, func(membership.Member) time.Duration { return e.Patience })
}

// observeAll is Observe with a patience for each member. Where ctx has a deadline, its last third is for the comparison
// of those who have answered: a host that hangs would take all of the time.
func (e *Executor) observeAll(ctx context.Context, members []membership.Member, patience func(membership.Member) time.Duration) bootstrap.Reports {
	begun, looking, cancel := time.Now(), ctx, context.CancelFunc(func() {})
	if deadline, has := ctx.Deadline(); has {
		looking, cancel = context.WithTimeout(ctx, time.Until(deadline)*2/3)
	}
	defer cancel()
	reports := askEach(members, func(m membership.Member) bootstrap.Report {
		report := e.observeBy(looking, m, patience(m))
		if report.Err != nil && looking.Err() != nil && ctx.Err() == nil {
			report.Err = noAnswerError(time.Since(begun).Round(time.Second))
		}
		return report
	})
	e.compare(ctx, reports)
	return reports
}

// observeBy observes a host through the store that the cluster selects there, or through any other.
func (e *Executor) observeBy(ctx context.Context, m membership.Member, patience time.Duration) bootstrap.Report {
	report := e.observe(ctx, m, "", patience)
	if report.Err != nil || report.Observation != nil {
		return report
	}
	found := e.contact(ctx, m)
	if found.Err == nil && len(found.Contact.Installed) > 0 {
		report = e.observe(ctx, m, found.Contact.Installed[0], patience)
		found.Observation, found.Err = report.Observation, report.Err
		if report.Clock.Known {
			found.Clock = report.Clock
		}
	}
	return found
}

// answerPatience is how long a host may take to answer its first contact, which reads next to nothing: a file system
// that hangs holds it for as long as it hangs, and the host counts as away. While something is sent to the host or from
// it, the answer waits behind what the connection has in its buffers, some MiB on a connection that may be slow.
const (
	answerPatience   = 2 * time.Minute
	transferPatience = 10 * time.Minute
)

// noAnswerError is the error of a host that has not answered its first contact for so long.
type noAnswerError time.Duration

func (e noAnswerError) Error() string {
	return fmt.Sprintf("it takes connections, and has not answered within %s: a file system may hang there (dmesg tells), or it is too busy", time.Duration(e))
}

// Hangs tells whether an error is that of a host which takes connections and answers nothing.
func Hangs(err error) bool {
	var silent noAnswerError
	return errors.As(err, &silent)
}

// giveUpHung counts hosts that hung in a call of this run as ones that cannot be observed, and returns the members
// whose hosts can be asked. It is called between steps.
func (r *run) giveUpHung() []membership.Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	for m, err := range r.hung {
		r.reports[m] = bootstrap.Report{Err: err}
	}
	return slices.DeleteFunc(slices.Clone(r.members), func(m membership.Member) bool { return r.reports[m].Err != nil })
}

// askContact asks for the first contact, for a limited time.
func (e *Executor) askContact(ctx context.Context, m membership.Member, patience time.Duration) (api.Contact, error) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	contact, err := e.Hosts[m].Contact(limited, e.Cluster.Name, e.Cluster.AskOf(m))
	if err != nil && limited.Err() != nil && ctx.Err() == nil && !errors.Is(err, api.ErrNotAsked) {
		return contact, noAnswerError(patience)
	}
	return contact, err
}

// whileItAnswers makes a call on a host. The call may take long, as to read a large database does: it is given up only
// once the host does not answer another question either. Nobody asks before wait is over.
func (e *Executor) whileItAnswers(ctx context.Context, m membership.Member, wait, patience time.Duration, do func(context.Context) error) error {
	calling, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	go e.attend(calling, m, wait, patience, giveUp)
	return cause(calling, do(calling))
}

// attend asks a host for its first contact every two minutes, until ctx ends or the host does not answer.
func (e *Executor) attend(ctx context.Context, m membership.Member, wait, patience time.Duration, giveUp context.CancelCauseFunc) {
	for wait += answerPatience; pause(ctx, wait) == nil; wait = answerPatience {
		var silent noAnswerError
		if _, err := e.askContact(ctx, m, patience); errors.As(err, &silent) {
			giveUp(silent)
			return
		}
	}
}

// cause returns why a call failed: that its host does not answer, if the call was given up for that.
func cause(calling context.Context, err error) error {
	var silent noAnswerError
	if err != nil && errors.As(context.Cause(calling), &silent) {
		return silent
	}
	return err
}

// contact reads what one host tells before a store is called on it.
func (e *Executor) contact(ctx context.Context, m membership.Member) bootstrap.Report {
	asked := e.clock()
	contact, err := e.askContact(ctx, m, answerPatience)
	return bootstrap.Report{Contact: contact, Err: err, Clock: clocks.Of(asked, e.clock(), contact.Time, time.Second)}
}

// clock returns the operator's time; zero: nobody asks for it.
func (e *Executor) clock() time.Time {
	if e.Now == nil {
		return time.Time{}
	}
	return e.Now()
}

// observe reads one host through one of its stores. Without a store the report has neither an observation nor an
// error.
func (e *Executor) observe(ctx context.Context, m membership.Member, store string, patience time.Duration) bootstrap.Report {
	ask := e.Cluster.AskOf(m)
	ask.Patience = patience
	asked := e.clock()
	var o api.Observation
	err := e.whileItAnswers(ctx, m, patience, answerPatience, func(ctx context.Context) (err error) {
		o, err = call[api.Observation](ctx, e.Hosts[m], store, api.OpObserve, e.Cluster.Name, "", ask)
		return err
	})
	var refusal *api.Error
	switch {
	case errors.As(err, &refusal) && refusal.Code == api.CodeNoStore:
		return bootstrap.Report{}
	case err != nil:
		return bootstrap.Report{Err: err}
	}
	return bootstrap.Report{Observation: &o, Clock: clocks.Of(asked, e.clock(), o.Facts.Time, 0)}
}

// target names whom calls to a member's host are meant for: the machine and the member that were observed there. The
// host compares it with its own identity.
func (r *run) target(m membership.Member) *api.Target {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := r.reports[m]
	t := &api.Target{MachineID: report.Machine(), BootID: report.Boot(), For: m.Name, Seen: !r.touched[m]}
	if marker := report.Marker(); marker != nil {
		t.Member, t.MemberID, t.Owner = marker.Member, marker.MemberID, marker.Owner
	}
	return t
}

// touch records that a call of this run has changed a host since it was observed, so that its member may differ by
// now.
func (r *run) touch(m membership.Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.touched[m] = true
}

// untried are the kinds of steps before which hosts try nothing: those that install the stores that hosts try with, and
// those that bring service back, or keep it, without giving up anything. A host that is unfit for a new member keeps no
// other one down. And firewalls let new members in before those are tried.
var untried = []membership.Kind{membership.Install, membership.Stage, membership.Firewall, membership.Start, membership.Agree, membership.Disarm, membership.Recover, membership.RenewCertificates, membership.Promote}

// try has hosts try together what a member needs: the disk, the peer ports in both directions, and names. It calls the
// hosts to which the steps bring members, and those that these members will work with. It returns one error with the
// findings of all hosts. A host is not called again for what it has found out in this run: a newcomer is tried again if
// members serve by now that did not before.
func (r *run) try(ctx context.Context, batch, steps []membership.Step) error {
	if !slices.ContainsFunc(batch, func(s membership.Step) bool { return !slices.Contains(untried, s.Kind) }) {
		return nil
	}
	token := sha256.Sum256([]byte("preflight of " + r.Holder.ID))
	trial := func(newcomers []membership.Member) map[membership.Member]api.PreflightRequest {
		return r.Cluster.Trial(newcomers, r.reports, hex.EncodeToString(token[:16]))
	}
	newcomers := r.Cluster.Newcomers(steps, r.reports)
	all := trial(newcomers)
	newcomers = slices.DeleteFunc(newcomers, func(m membership.Member) bool {
		met, tried := r.tried[m]
		return tried && !slices.ContainsFunc(all[m].Dial, func(peer api.PreflightPeer) bool { return !slices.Contains(met, peer.At) })
	})
	if len(newcomers) == 0 {
		return nil
	}
	ctx, cancel := r.step(ctx)
	defer cancel()
	requests := trial(newcomers)
	for m, request := range requests {
		if _, tried := r.tried[m]; tried {
			request.DataDir = "" // it was measured
			requests[m] = request
		}
	}
	results := map[membership.Member]api.Preflight{}
	var mu sync.Mutex
	err := inParallel(inOrder(requests), func(m membership.Member) error {
		found, err := ask[api.Preflight](ctx, r, m, api.OpPreflight, requests[m])
		if err != nil {
			return fmt.Errorf("preflight on %s: %w", m, err)
		}
		mu.Lock()
		defer mu.Unlock()
		results[m] = found
		return nil
	})
	doubts, refused := r.Cluster.AssessTrial(newcomers, requests, results)
	if err := errors.Join(err, refused); err != nil {
		return err
	}
	for _, m := range inOrder(requests) {
		if appends := results[m].Appends; appends != nil {
			r.Progress(fmt.Sprintf("%s: %s", m, preflight.Took(requests[m].DataDir, *appends)))
		}
	}
	r.doubts = append(r.doubts, doubts...)
	for _, m := range newcomers {
		r.tried[m] = nil
		for _, peer := range requests[m].Dial {
			r.tried[m] = append(r.tried[m], peer.At)
		}
	}
	return nil
}

// inOrder returns the members that are called, in the order of their names.
func inOrder(requests map[membership.Member]api.PreflightRequest) []membership.Member {
	return slices.SortedFunc(maps.Keys(requests), func(a, b membership.Member) int { return strings.Compare(a.Name+" "+a.Address, b.Name+" "+b.Address) })
}

// noteInspected keeps the reports of hosts whose first contact took an inventory: a host that carries a member takes
// none.
func (r *run) noteInspected(seen bootstrap.Reports) {
	for m, report := range seen {
		if report.Contact.Inventory != nil {
			r.inspected[m] = report
		}
	}
}
