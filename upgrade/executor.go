package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// stepTimeout bounds one step. The longest, forming, waits for elections: on a busy disk one was
// seen to take 18 s. Uploading a store of 9 MB at 1 Mbit/s takes 72 s.
const stepTimeout = 5 * time.Minute

// Executor carries out plans on the hosts of one cluster. It knows no policy: it observes, has the
// plan made from what it just saw, does the head of it, and looks again, until the plan is empty.
type Executor struct {
	Cluster  bootstrap.Cluster
	Hosts    map[string]Host   // by member name
	Signer   Signer            // signs what hosts request; nil for plans that configure nothing
	Holder   api.Holder        // who we are, for the lock
	Progress func(line string) // a line a step, before it is done
	Now      func() time.Time
}

// Signer signs a certificate request that a host made for one of its keys. It refuses one that asks
// for anything but what is wanted.
type Signer interface {
	Sign(ctx context.Context, want api.KeyRequest, request string) (certificate string, err error)
}

// work is the state of one run over all of its steps.
type work struct {
	*Executor
	formation  bootstrap.Formation
	decided    bool // which formation it is
	locked     bool
	release    []func()
	done       int                         // steps begun, for the progress log
	retirement api.RetireRequest           // what a step of kind Retire asks for
	finish     func(context.Context) error // what is done under the lock when no step is left; nil: nothing

	mu      sync.Mutex // steps of one batch report at the same time
	reports map[string]bootstrap.Report
}

// run looks, plans and does the head of the plan, until the plan is empty.
func (w *work) run(ctx context.Context, look func(context.Context), plan func() ([]membership.Step, error)) error {
	defer w.unlock()
	var done [][]membership.Step
	next := "anything was done"
	for {
		look(ctx)
		// A look that was cut short says nothing of the hosts.
		if ctx.Err() != nil {
			return fmt.Errorf("stopped before %s: %w", next, context.Cause(ctx))
		}
		steps, err := plan()
		if err != nil || len(steps) == 0 && w.finish == nil {
			return err
		}
		batch := membership.Batch(steps)
		// A store has to be there before it can hold a lock; to put one there disturbs nobody. All else
		// waits for the lock, and is decided anew under it.
		if !w.locked && (len(batch) == 0 || batch[0].Kind != membership.Install) {
			if ctx, err = w.lock(ctx); err != nil {
				return err
			}
			continue
		}
		if len(batch) == 0 {
			return w.finish(ctx)
		}
		// What was done before in this run would be done for ever.
		if slices.ContainsFunc(done, func(before []membership.Step) bool { return slices.Equal(before, batch) }) {
			return fmt.Errorf("%s: it was done, and has to be done again%s", batch[0], w.evidence())
		}
		if err := w.do(ctx, batch, len(steps)); err != nil {
			return err
		}
		done = append(done, batch)
		next = "it was seen that nothing is left to do"
		if left := steps[len(batch):]; len(left) > 0 {
			next = strconv.Quote(left[0].String())
		}
	}
}

// evidence is what is the matter with the members that are set up.
func (w *work) evidence() string {
	var b strings.Builder
	for _, m := range w.Cluster.Members {
		report := w.reports[m.Name]
		if report.Observation == nil || report.Observation.Unit.Text == "" {
			continue
		}
		if why := notReady(report, len(w.Cluster.Members)); why != "" {
			fmt.Fprintf(&b, "\n%s (%s) is not ready: %s", m.Name, m.Address, why)
		}
	}
	return b.String()
}

// do carries out the steps of a batch together. It is not cut short when ctx ends: a step that has
// begun is finished or runs into its own time limit, and the run stops before the next one.
func (w *work) do(ctx context.Context, batch []membership.Step, left int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	total := w.done + left
	for _, step := range batch {
		w.done++
		w.Progress(fmt.Sprintf("%d/%d %s", w.done, total, step))
	}
	return together(batch, func(step membership.Step) error {
		if err := w.act(ctx, step); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
		return nil
	})
}

// together does the same to all at once, and joins what fails.
func together[T any](all []T, do func(T) error) error {
	failures := make([]error, len(all))
	var group sync.WaitGroup
	for i, one := range all {
		group.Go(func() { failures[i] = do(one) })
	}
	group.Wait()
	return errors.Join(failures...)
}

// lock takes the cluster's lock on all hosts, in the order of their addresses, so that of two runs
// one gets them all. The context that it returns ends when any is lost.
func (w *work) lock(ctx context.Context) (context.Context, error) {
	members := slices.Clone(w.Cluster.Members)
	slices.SortFunc(members, func(a, b membership.Member) int { return strings.Compare(a.Address, b.Address) })
	ctx, cancel := context.WithCancelCause(ctx)
	w.release = append(w.release, func() { cancel(nil) })
	for _, m := range members {
		if !w.callable(m) {
			continue
		}
		held, release, err := w.Hosts[m.Name].Lock(ctx, w.storeToCall(m), w.Cluster.Name, w.Holder)
		if err != nil {
			w.unlock()
			return nil, fmt.Errorf("lock cluster %s on %s (%s): %w", w.Cluster.Name, m.Name, m.Address, err)
		}
		w.release = append(w.release, release)
		context.AfterFunc(held, func() {
			cancel(fmt.Errorf("the lock on %s (%s) was lost: %w", m.Name, m.Address, context.Cause(held)))
		})
	}
	w.locked = true
	return ctx, nil
}

// unlock frees what lock took, in reverse order.
func (w *work) unlock() {
	for _, release := range slices.Backward(w.release) {
		release()
	}
	w.release, w.locked = nil, false
}

// callable tells whether a store that can be called is on the member's host.
func (w *work) callable(m membership.Member) bool {
	return w.reports[m.Name].Observation != nil
}

// storeToCall is the store that calls to the member's host go to.
func (w *work) storeToCall(m membership.Member) string {
	if o := w.reports[m.Name].Observation; o != nil {
		return o.Store.SHA256
	}
	return ""
}

// each asks all members' hosts at once.
func (e *Executor) each(ask func(membership.Member) bootstrap.Report) map[string]bootstrap.Report {
	var mu sync.Mutex
	var group sync.WaitGroup
	reports := map[string]bootstrap.Report{}
	for _, m := range e.Cluster.Members {
		group.Go(func() {
			report := ask(m)
			mu.Lock()
			defer mu.Unlock()
			reports[m.Name] = report
		})
	}
	group.Wait()
	return reports
}

// Observe reads all hosts through the stores that are on them. It changes nothing. A host that has
// none, or none for this cluster, has a report with neither observation nor error.
func (e *Executor) Observe(ctx context.Context) map[string]bootstrap.Report {
	return e.each(func(m membership.Member) bootstrap.Report { return e.observe(ctx, m, "") })
}

// observe reads one host through one of its stores.
func (e *Executor) observe(ctx context.Context, m membership.Member, store string) bootstrap.Report {
	o, err := call[api.Observation](ctx, e.Hosts[m.Name], store, api.OpObserve, e.Cluster.Name, "", e.Cluster.Ask())
	var refusal *api.Error
	switch {
	case errors.As(err, &refusal) && refusal.Code == api.CodeNoStore:
		return bootstrap.Report{}
	case err != nil:
		return bootstrap.Report{Err: err}
	}
	return bootstrap.Report{Observation: &o}
}

// member is the wanted member of this name.
func (e *Executor) member(name string) membership.Member {
	i := slices.IndexFunc(e.Cluster.Members, func(m membership.Member) bool { return m.Name == name })
	return e.Cluster.Members[i]
}
