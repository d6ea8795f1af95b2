package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// actForming carries out one step of forming a cluster or of taking it off its hosts.
func (r *run) actForming(ctx context.Context, step membership.Step) error {
	if step.Kind == membership.Agree {
		return r.awaitAgreement(ctx)
	}
	if step.Kind == membership.BackUp {
		return r.backUp(ctx, r.Cluster.Members, r.formation.Owner)
	}
	if step.Kind == membership.RenewOnHosts {
		return r.renewOnHosts(ctx, r.Cluster.Members, r.formation.Owner)
	}
	m := step.Subject()
	switch step.Kind {
	case membership.Install:
		return r.install(ctx, m)
	case membership.Configure:
		return r.configureForming(ctx, m)
	case membership.SyncConfiguration:
		return r.syncConfiguration(ctx, m, api.PhaseForming)
	case membership.Start:
		return r.tell(ctx, m, api.OpStart, api.StartRequest{})
	case membership.Stop:
		return r.tell(ctx, m, api.OpStop, api.StopRequest{Owner: r.owner(m)})
	case membership.Retire:
		retired, err := ask[api.Retired](ctx, r, m, api.OpRetire, r.retirement)
		r.sayWhere(m, retired.Path)
		return err
	case membership.SetAside:
		// A store of an earlier release does not know how to look.
		aside, err := ask[api.SetAside](ctx, r, m, api.OpSetAside, api.SetAsideRequest{Owner: r.owner(m), Why: "unfinished", Unwritten: r.Cluster.Carries(r.storeToCall(m))})
		r.sayWhere(m, aside.Path)
		return err
	}
	return fmt.Errorf("this build of the provider cannot carry out a step of kind %q", step.Kind)
}

// sayWhere reports where a member's data was moved. An empty path means that there was none.
func (r *run) sayWhere(m membership.Member, path string) {
	if path != "" {
		r.say(fmt.Sprintf("%s: its data now lies in %s", m, path))
	}
}

// say reports progress from within a step. Steps of one batch may call it concurrently.
func (r *run) say(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Progress(line)
}

// tell makes a call that changes a member's host and returns nothing.
func (r *run) tell(ctx context.Context, m membership.Member, op api.Operation, body any) error {
	_, err := ask[api.Done](ctx, r, m, op, body)
	return err
}

// ask makes a call to a member's host under the run's lock, and returns the result.
func ask[R any](ctx context.Context, r *run, m membership.Member, op api.Operation, body any) (R, error) {
	return askBy[R](ctx, r, m, r.storeToCall(m), op, body)
}

// askBy does the same through a store of the host.
func askBy[R any](ctx context.Context, r *run, m membership.Member, store string, op api.Operation, body any) (R, error) {
	result, err := request[R](ctx, r.host(m), store, api.Request{Operation: op, Cluster: r.Cluster.Name, Holder: r.Holder.ID, Target: r.target(m)}, body)
	if !op.ReadOnly() {
		r.touch(m)
	}
	return result, err
}

// installStore puts a store on a member's host, if it is the machine that was observed there.
func (r *run) installStore(ctx context.Context, m membership.Member, store string) error {
	return r.host(m).Install(ctx, r.Cluster.Name, store, *r.target(m))
}

func (r *run) install(ctx context.Context, m membership.Member) error {
	r.mu.Lock()
	report := r.reports[m]
	r.mu.Unlock()
	store := r.Cluster.Store(report.Contact)
	if err := r.installStore(ctx, m, store); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	report.Contact.Installed = append(report.Contact.Installed, store)
	r.reports[m] = report
	return nil
}

// configureForming configures a new member: the host makes keys, the run signs their certificates, and the host writes
// everything that the member runs by.
func (r *run) configureForming(ctx context.Context, m membership.Member) error {
	marker := r.Cluster.Marker(m, r.formation, api.PhaseForming)
	configuration, err := r.configuration(m, marker, bootstrap.StateNew)
	if err != nil {
		return err
	}
	if configuration.Certificates, err = r.certificates(ctx, m, configuration); err != nil {
		return err
	}
	configuration.PeerCA, configuration.ClientCA = r.Cluster.PeerCA, r.Cluster.ClientCA
	return r.write(ctx, m, configuration)
}

// syncConfiguration rewrites the flags of a member that has been formed: they no longer say that the cluster is new.
func (r *run) syncConfiguration(ctx context.Context, m membership.Member, phase api.Phase) error {
	marker := r.Cluster.Marker(m, r.formation, phase)
	member := r.reports[m].Observation.Member
	marker.ClusterID, marker.MemberID = member.ClusterID, member.MemberID
	configuration, err := r.configuration(m, marker, bootstrap.StateExisting)
	if err != nil {
		return err
	}
	return r.write(ctx, m, configuration)
}

// configuration returns what a member runs by, without certificates.
func (r *run) configuration(m membership.Member, marker api.Marker, state string) (api.ConfigureRequest, error) {
	report := r.reports[m]
	unit, err := r.Cluster.Unit(report.Observation.Facts.MemoryBytes)
	marker.Store = r.Cluster.Store(report.Contact)
	return api.ConfigureRequest{
		Marker: marker,
		Store:  marker.Store,
		Flags:  r.Cluster.Flags(m, r.formation, state),
		Unit:   unit,
	}, err
}

// owner returns the owner that the marker on the member's host names.
func (r *run) owner(m membership.Member) string {
	if marker := r.reports[m].Observation.Marker; marker != nil {
		return marker.Owner
	}
	return r.formation.Owner
}

// awaitAgreement waits on all hosts at once until each member is ready. Its error names those that are not, and what
// they report.
func (r *run) awaitAgreement(ctx context.Context) error {
	_, err := r.allReady(ctx, r.Cluster.Members)
	return err
}

// allReady waits until each of these members is ready and lists as many members as are desired.
func (r *run) allReady(ctx context.Context, members []membership.Member) (bootstrap.Reports, error) {
	request := api.AwaitRequest{ObserveRequest: r.Cluster.Ask(), Members: len(r.Cluster.Members), Timeout: stall}
	ready := func(report bootstrap.Report) string { return notReady(report, request.Members) }
	reports := r.awaitAll(ctx, members, ready, func(m membership.Member) (api.Observation, error) {
		return ask[api.Observation](ctx, r, m, api.OpAwait, request)
	})
	return reports, failures(members, reports, ready)
}

// failures joins an error for each member that is not ready.
func failures(members []membership.Member, reports bootstrap.Reports, ready func(bootstrap.Report) string) error {
	var failures []error
	for _, m := range members {
		if why := ready(reports[m]); why != "" {
			failures = append(failures, fmt.Errorf("%s is not ready: %s", m, why))
		}
	}
	return errors.Join(failures...)
}

// notReady returns why a member is not a healthy part of a cluster of this many members, or "" if it is.
func notReady(report bootstrap.Report, members int) string {
	if report.Err != nil {
		return report.Err.Error()
	}
	unit, member := report.Observation.Unit, report.Observation.Member
	var why []string
	if unit.ActiveState != "active" {
		why = append(why, fmt.Sprintf("its unit is %s (%s, result %s)", unit.ActiveState, unit.SubState, unit.Result))
	}
	switch {
	case !member.Responding:
		why = append(why, "it does not answer: "+member.Error)
	case !member.Healthy && member.Leader == "":
		why = append(why, fmt.Sprintf("a linearizable read fails: %s; it knows no leader: usually the members' peer ports are closed between two hosts, or a clock is wrong", member.HealthError))
	case !member.Healthy:
		why = append(why, "a linearizable read fails: "+member.HealthError)
	case !member.Ready:
		why = append(why, "its /readyz fails")
	case len(member.Members) != members:
		why = append(why, fmt.Sprintf("it knows %d members and there should be %d", len(member.Members), members))
	}
	if len(why) > 0 && len(unit.Journal) > 0 {
		why = append(why, "its journal says\n  "+strings.Join(unit.Journal, "\n  "))
	}
	return strings.Join(why, "; ")
}

// Host is one host. All methods are safe for concurrent use.
type Host interface {
	// Contact reads what can be read before a store is on the host. It changes nothing. api.ErrNotAsked says that the
	// question has not reached the host.
	Contact(ctx context.Context, cluster string, ask api.ObserveRequest) (api.Contact, error)

	// Install puts the store with this hash on the host, unless it is there. An interrupted install leaves nothing
	// behind that would be run.
	Install(ctx context.Context, cluster, store string, target api.Target) error

	// Call makes one call on a store of the host: the one with this hash or, if store is empty, the one that the
	// cluster selects. result may be nil. Errors from the store are of type *api.Error; if there is no store to call,
	// the code is api.CodeNoStore.
	Call(ctx context.Context, store string, request api.Request, result any) error

	// Upload is a Call that sends content after the request. The host may not read all of it.
	Upload(ctx context.Context, store string, request api.Request, content io.Reader, result any) error

	// Download is a Call that returns content, written as it arrives. After an error the written content is of no use
	// but to a call that asks for the rest.
	Download(ctx context.Context, store string, request api.Request, content io.Writer, result any) error

	// Lock takes the cluster's lock on the host without waiting: an *api.Error with api.CodeBusy names the holder if
	// it is taken. The returned context ends when the lock is lost. release frees the lock, and may be called more than
	// once.
	Lock(ctx context.Context, store, cluster string, holder api.Holder) (held context.Context, release func(), err error)
}

// call makes one call and returns its typed result.
func call[R any](ctx context.Context, host Host, store string, op api.Operation, cluster, holder string, body any) (R, error) {
	return request[R](ctx, host, store, api.Request{Operation: op, Cluster: cluster, Holder: holder}, body)
}

// request makes one call in the given envelope and returns its typed result.
func request[R any](ctx context.Context, host Host, store string, envelope api.Request, body any) (R, error) {
	var result R
	encoded, err := json.Marshal(secret.Revealed(body))
	if err != nil {
		return result, fmt.Errorf("encode %s: %w", envelope.Operation, err)
	}
	envelope.Version, envelope.Body = api.Version, encoded
	err = host.Call(ctx, store, envelope, &result)
	return result, err
}

// host returns a member's host, whose calls end once it answers nothing at all any more. A call that changes it may
// still take effect, as with one that a lost connection cuts off.
func (e *Executor) host(m membership.Member) Host { return attended{e.Hosts[m], e, m, nil} }

// host is the same for a run, which asks a host that was seen to hang nothing more.
func (r *run) host(m membership.Member) Host { return attended{r.Hosts[m], r.Executor, m, r} }

type attended struct {
	Host
	e *Executor
	m membership.Member
	r *run // nil: the call is no run's
}

// whileItAnswers makes a call, unless the host was seen to hang.
func (a attended) whileItAnswers(ctx context.Context, patience time.Duration, do func(context.Context) error) error {
	if err := a.hung(); err != nil {
		return err
	}
	return a.noting(a.e.whileItAnswers(ctx, a.m, 0, patience, do))
}

// hung returns the error of the host's call of this run that hung, if any.
func (a attended) hung() error {
	if a.r == nil {
		return nil
	}
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	return a.r.hung[a.m]
}

// noting returns the error of a call, and takes down that the host hangs.
func (a attended) noting(err error) error {
	if Hangs(err) && a.r != nil {
		a.r.mu.Lock()
		defer a.r.mu.Unlock()
		a.r.hung[a.m] = err
	}
	return err
}

func (a attended) Install(ctx context.Context, cluster, store string, target api.Target) error {
	return a.whileItAnswers(ctx, transferPatience, func(ctx context.Context) error {
		return a.Host.Install(ctx, cluster, store, target)
	})
}

func (a attended) Call(ctx context.Context, store string, request api.Request, result any) error {
	return a.whileItAnswers(ctx, answerPatience, func(ctx context.Context) error {
		return a.Host.Call(ctx, store, request, result)
	})
}

func (a attended) Upload(ctx context.Context, store string, request api.Request, content io.Reader, result any) error {
	return a.whileItAnswers(ctx, transferPatience, func(ctx context.Context) error {
		return a.Host.Upload(ctx, store, request, content, result)
	})
}

func (a attended) Download(ctx context.Context, store string, request api.Request, content io.Writer, result any) error {
	return a.whileItAnswers(ctx, transferPatience, func(ctx context.Context) error {
		return a.Host.Download(ctx, store, request, content, result)
	})
}

// Lock attends the host until the lock is taken: the lock ends by itself on a host that hangs.
func (a attended) Lock(ctx context.Context, store, cluster string, holder api.Holder) (context.Context, func(), error) {
	taking, giveUp := context.WithCancelCause(ctx)
	attending, taken := context.WithCancel(ctx)
	defer taken()
	go a.e.attend(attending, a.m, 0, answerPatience, giveUp)
	held, release, err := a.Host.Lock(taking, store, cluster, holder)
	if err != nil {
		err = a.noting(cause(taking, err))
		giveUp(nil)
		return nil, nil, err
	}
	return held, func() { release(); giveUp(nil) }, nil
}
