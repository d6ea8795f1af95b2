package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// clusterFor returns the cluster as the member's configuration names it: the current voters and the member itself.
func (r *changeRun) clusterFor(m membership.Member, version string) bootstrap.Cluster {
	c := r.Cluster.As(r.status).With(m).At(m)
	if version != c.Version {
		c.Version, c.Stores = version, c.StoresOf[version]
	}
	return c
}

// formation returns what the cluster was formed with, as its hosts have recorded it.
func (r *changeRun) formation() bootstrap.Formation {
	f := bootstrap.Formation{Owner: r.order.Owner}
	for _, m := range r.members {
		if marker := r.marker(m); marker != nil && marker.Owner == r.order.Owner && f.Token == "" {
			f.Token = marker.Token
		}
	}
	return f
}

// marker returns the marker on a member's host, or nil.
func (r *changeRun) marker(m membership.Member) *api.Marker {
	if o := r.reports[m].Observation; o != nil {
		return o.Marker
	}
	return r.reports[m].Contact.Marker
}

// architecture returns the architecture of a member's host, as Go names it.
func (r *changeRun) architecture(m membership.Member) string {
	if o := r.reports[m].Observation; o != nil {
		return o.Facts.Architecture
	}
	return bootstrap.Architecture(r.reports[m].Contact.Machine)
}

// configureRequest returns everything that a member is to run by, without its certificates. demands is the common name
// that it is to demand of its peers, which a step says.
func (r *changeRun) configureRequest(m membership.Member, demands, version string, phase api.Phase) (api.ConfigureRequest, error) {
	o := r.reports[m].Observation
	if o == nil {
		return api.ConfigureRequest{}, errors.New("its host was not observed")
	}
	c, f := r.clusterFor(m, version).Peering("", demands), r.formation()
	unit, err := c.Unit(o.Facts.MemoryBytes)
	if err != nil {
		return api.ConfigureRequest{}, err
	}
	store := c.Stores[o.Facts.Architecture]
	if store == "" { // this build does not carry it: the member keeps the one that it has
		store = o.Store.Selected
	}
	marker := c.Marker(m, f, phase)
	marker.Store, marker.ClusterID, marker.MemberID = store, r.clusterID(), r.member(m).ID
	if phase != api.PhaseJoining { // the member keeps its data
		marker.Rebuild = o.Marker.Rebuild
	}
	return api.ConfigureRequest{Marker: marker, Store: store, Flags: c.Flags(m, f, bootstrap.StateExisting), Unit: unit}, nil
}

// clusterID returns etcd's ID of the cluster, as its hosts have recorded it.
func (r *changeRun) clusterID() string {
	for _, m := range r.members {
		if marker := r.marker(m); marker != nil && marker.Owner == r.order.Owner && marker.ClusterID != "" {
			return marker.ClusterID
		}
	}
	return ""
}

// currentConfiguration returns what a member is configured with now, except its certificates.
func (r *changeRun) currentConfiguration(m membership.Member) api.ConfigureRequest {
	o := r.reports[m].Observation
	peers, clients := bootstrap.Held(o)
	return api.ConfigureRequest{Marker: *o.Marker, Store: o.Store.Selected, Flags: o.Flags, Unit: o.Unit.Text, PeerCA: peers, ClientCA: clients}
}

// write has a member's host write what the member is to run by, together with the list of revoked certificates where
// it looks at one.
func (r *run) write(ctx context.Context, m membership.Member, request api.ConfigureRequest) error {
	if err := r.writeFiles(ctx, m, request); err != nil {
		return err
	}
	store := r.storeToWrite(m, request.Store)
	if !r.Cluster.Filtering(r.reports[m].Observation, store) {
		return nil
	}
	// Before the member starts by what was written.
	if err := r.filter(ctx, m, store, request.Marker.Owner); err != nil {
		return unfilteredError{err}
	}
	return nil
}

// writeFiles is write without who may reach the member.
func (r *run) writeFiles(ctx context.Context, m membership.Member, request api.ConfigureRequest) error {
	request.ClientCRL = r.Cluster.Revocations(request.Flags)
	_, err := writeBy[api.Done](ctx, r, m, request.Store, api.OpConfigure, request)
	return err
}

// writeBy makes a call by which a host prepares or writes what its member is to run by. A member that is not restarted
// keeps its store. If that is of an earlier release, and refuses the request since it does not know all of it, this
// build's store is put beside it and carries the request out: it leaves the member the store that it has.
func writeBy[R any](ctx context.Context, r *run, m membership.Member, store string, op api.Operation, body any) (R, error) {
	by := r.storeToWrite(m, store)
	result, err := askBy[R](ctx, r, m, by, op, body)
	var answer *api.Error
	own := r.ownStore(m)
	if !errors.As(err, &answer) || answer.Code != api.CodeUnsupported || own == "" || r.Cluster.Carries(by) {
		return result, err
	}
	if failed := r.installStore(ctx, m, own); failed != nil {
		return result, errors.Join(err, failed)
	}
	return askBy[R](ctx, r, m, own, op, body)
}

// ownStore returns the store of this build that a member's host can run; empty: there is none, or it was not observed.
func (r *run) ownStore(m membership.Member) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := r.reports[m].Observation; o != nil {
		return r.Cluster.Stores[o.Facts.Architecture]
	}
	return ""
}

// storeToWrite returns the store that prepares and configures a member which is to run by store: that one, once it is
// on the host. An older store refuses what it does not know, and knows no key that waits for its certificate.
func (r *run) storeToWrite(m membership.Member, store string) string {
	if o := r.reports[m].Observation; o != nil && r.Cluster.Carries(store) && slices.Contains(o.Store.Installed, store) {
		return store
	}
	return r.storeToCall(m)
}

// trusting is a configuration with the authorities that a step gives its member to trust. Certificates that the member
// keeps get the intermediates behind them that belong there.
func (r *changeRun) trusting(request api.ConfigureRequest, step membership.Step) (_ api.ConfigureRequest, err error) {
	if step.Keeps {
		request.Certificates = r.Cluster.Rechained(step.Subject(), r.order.Owner, r.reports)
	}
	request.PeerCA, request.ClientCA, err = r.Cluster.Bundles(step.Subject(), r.order.Owner, r.reports, step.Trusts)
	return request, err
}

// stage installs the store that a member is to run on its host, and tries the flags with it.
func (r *changeRun) stage(ctx context.Context, m membership.Member, version string) error {
	c := r.clusterFor(m, version)
	store := c.Stores[r.architecture(m)]
	if store == "" {
		// The member already runs the desired version, from a store that this build of the provider does not carry.
		o := r.reports[m].Observation
		if o == nil || o.Store.Selected == "" {
			return fmt.Errorf("this build of the provider carries no store of etcd %s for linux/%s", version, r.architecture(m))
		}
		store = o.Store.Selected
	} else if err := r.installStore(ctx, m, store); err != nil {
		return err
	}
	if err := r.mustHaveRoom(ctx, m, store); err != nil {
		return err
	}
	flags := c.Peered().Flags(m, r.formation(), bootstrap.StateExisting)
	if _, err := call[api.Done](ctx, r.host(m), store, api.OpTry, r.Cluster.Name, "", api.TryRequest{Store: store, Flags: flags}); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.staged[m] = version
	return nil
}

// probe is a request to a signer: a certificate for a key, by an authority.
type probe struct{ key, by string }

// unprobed are the kinds of steps that come before the signer is tried: those that bring service back, which never wait
// for it, and those that ask it themselves before they change anything.
var unprobed = []membership.Kind{membership.Start, membership.Agree, membership.Disarm, membership.Recover, membership.Configure, membership.RenewCertificates}

// signerFailure is the error of a run that tries its signer in vain.
type signerFailure struct {
	outcome string
	cause   error
}

func (f *signerFailure) Error() string { return f.outcome + ": " + f.cause.Error() }
func (f *signerFailure) Unwrap() error { return f.cause }

// probeSigner has the signer sign what steps of the run will need, once for each authority and use, and discards the
// result. Otherwise a run could fence, stop or remove a member before it knows that the signer is out of reach, and
// leave the cluster in that condition.
func (r *run) probeSigner(ctx context.Context, steps []membership.Step) error {
	prober, asksOthers := r.Signer.(Prober)
	if !asksOthers || len(steps) == 0 || slices.Contains(unprobed, steps[0].Kind) {
		return nil
	}
	for _, step := range steps {
		if !step.Signs() {
			continue
		}
		for _, want := range r.keysFor(step) {
			p := probe{want.Name, string(api.ForKey(want.Name, step.Signers.Peers, step.Signers.Clients))}
			if r.probed[p] {
				continue
			}
			if err := prober.Probe(ctx, p.by, want); err != nil {
				left := "No host was touched"
				if len(r.begunSteps) > 0 {
					left = "The run stops before " + strconv.Quote(steps[0].String())
				}
				return &signerFailure{fmt.Sprintf("%s: the signer was tried first, and %q could not have certificates", left, step), err}
			}
			r.probed[p] = true
		}
	}
	return nil
}

// refuseToSign returns why certificates of these steps cannot be signed now, or nil.
func (r *changeRun) refuseToSign(steps []membership.Step) error {
	if err := r.maySign(steps); err != nil {
		return err
	}
	if r.away != nil && slices.ContainsFunc(steps, membership.Step.Signs) {
		return r.away
	}
	if r.order.Refuse != nil {
		return r.order.Refuse(steps)
	}
	return nil
}

// doWithout has the run plan once more without a signer that was seen to fail. It returns false if that was done
// already.
func (r *changeRun) doWithout(err error) bool {
	if r.away != nil {
		return false
	}
	r.away = err
	return true
}

// comesUpUnsigned has the run plan once more without its signer, if a member that is down could not be configured for
// want of a certificate and can start without it. It returns false for any other member.
func (r *changeRun) comesUpUnsigned(m membership.Member, err error) bool {
	if s := r.member(m); s.NeedsCertificates() || s.From != "" {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away == nil {
		r.away = err
	}
	return true
}

// leaveRenewal leaves a member's certificates as they are in this run: they are due, and hold. The run does the rest of
// what the plan showed, and ends with the error if the plan showed the renewal too.
func (r *changeRun) leaveRenewal(s membership.MemberStatus, why error) {
	why = goesOn(why)
	r.say(fmt.Sprintf("%s: its certificates are left as they are, and hold for now: %s", s.Member, why))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting[s.Member] = true
	if r.order.Approved != nil {
		r.stepErrors = append(r.stepErrors, fmt.Errorf("%s: its certificates were not renewed (%s): %w", s.Member, s.Due, why))
	}
}

// goesOn returns why certificates cannot be signed, without the text that is meant for a run which ends there.
func goesOn(why error) error {
	if tried := (*signerFailure)(nil); errors.As(why, &tried) {
		return tried.cause
	}
	return why
}

// leaveLacking leaves a member alone that needs certificates, if no plan has done so already: the run ends with the
// error then.
func (r *changeRun) leaveLacking(m membership.Member, why error) {
	shown := slices.IndexFunc(r.order.Approved, func(step membership.Step) bool { return step.Subject() == m && step.Signs() })
	if shown < 0 || r.waiting[m] {
		return
	}
	why = goesOn(why)
	r.say(fmt.Sprintf("%s: it is left alone: %s", m, why))
	r.waiting[m] = true
	r.stepErrors = append(r.stepErrors, fmt.Errorf("%s: this was not done: %w", r.order.Approved[shown], why))
}

// errUnsigned begins the error of a certificate that was not signed: its host keeps those that it has.
var errUnsigned = errors.New("sign the certificate")

// certificates has the host make the keys that a configuration is to come with, and has the desired authorities sign
// the certificates that the host requests.
func (r *run) certificates(ctx context.Context, m membership.Member, request api.ConfigureRequest) (map[string]string, error) {
	return r.certificatesBy(ctx, m, membership.Authorities{}, request, r.Cluster.Keys(m))
}

// certificatesBy does the same for the given keys, by the given authorities.
func (r *run) certificatesBy(ctx context.Context, m membership.Member, signers membership.Authorities, request api.ConfigureRequest, keys []api.KeyRequest) (map[string]string, error) {
	prepare := api.PrepareRequest{Marker: request.Marker, Keys: keys}
	prepared, err := writeBy[api.Prepared](ctx, r, m, request.Store, api.OpPrepare, prepare)
	if err != nil {
		return nil, err
	}
	certificates := map[string]string{}
	for _, want := range keys {
		request, made := prepared.Requests[want.Name]
		if !made {
			return nil, fmt.Errorf("its store made no certificate request for key %s", want.Name)
		}
		by := api.ForKey(want.Name, signers.Peers, signers.Clients)
		if certificates[want.Name], err = r.Signer.Sign(ctx, string(by), want, request); err != nil {
			return nil, fmt.Errorf("%w of key %s: %w", errUnsigned, want.Name, err)
		}
	}
	return certificates, nil
}

// keysFor returns the keys whose certificates a step has signed.
func (r *run) keysFor(step membership.Step) []api.KeyRequest {
	c := r.Cluster
	if step.Named != "" {
		c = c.Peering(step.Named, "")
	}
	return c.Keys(step.Subject())
}

// configure writes everything that a member runs by. The member does not serve meanwhile.
func (r *changeRun) configure(ctx context.Context, step membership.Step) error {
	m := step.Subject()
	request, err := r.configureRequest(m, step.Demands, r.Cluster.Version, r.phase(m))
	if err != nil {
		return err
	}
	if !step.Keeps {
		return r.issue(ctx, step, request)
	}
	if request, err = r.trusting(request, step); err != nil {
		return err
	}
	return r.write(ctx, m, request)
}

// issue writes a configuration together with new certificates and the authorities to trust.
func (r *changeRun) issue(ctx context.Context, step membership.Step, request api.ConfigureRequest) error {
	return r.issueFor(ctx, step, request, r.keysFor(step))
}

// issueFor does the same with certificates for the given keys.
func (r *changeRun) issueFor(ctx context.Context, step membership.Step, request api.ConfigureRequest, keys []api.KeyRequest) error {
	request, err := r.certified(ctx, step, request, keys)
	if err != nil {
		return err
	}
	return r.write(ctx, step.Subject(), request)
}

// certified adds new certificates for the given keys to a configuration, and the authorities to trust.
func (r *changeRun) certified(ctx context.Context, step membership.Step, request api.ConfigureRequest, keys []api.KeyRequest) (_ api.ConfigureRequest, err error) {
	if request, err = r.trusting(request, step); err == nil && !step.Keeps {
		request.Certificates, err = r.certificatesBy(ctx, step.Subject(), step.Signers, request, keys)
	}
	return request, err
}

// phase returns the phase that the member's marker is to name.
func (r *changeRun) phase(m membership.Member) api.Phase {
	if r.member(m).Role == membership.Voter {
		return api.PhaseFormed
	}
	return api.PhaseJoining
}

// renewCertificates issues new certificates and changes nothing else. A running member reads them by itself, and is
// seen to serve them before the run goes on; the run waits for it if certificates may be all that it lacks.
func (r *changeRun) renewCertificates(ctx context.Context, step membership.Step) error {
	m := step.Subject()
	keys := r.keysFor(step)
	if step.Keeps {
		keys = nil
	}
	request, err := r.certified(ctx, step, r.currentConfiguration(m), keys)
	if err == nil {
		err = r.write(ctx, m, request)
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.renewed[m] = true
	r.mu.Unlock()
	s := r.member(m)
	if s.State == membership.Unhealthy && len(s.Outdated) == 0 && r.status.HasQuorum() {
		if err := r.awaitReady(ctx, m); err != nil {
			return err
		}
	} else if s.State != membership.Healthy {
		return nil
	}
	if step.Keeps {
		return nil
	}
	return r.mustServe(ctx, m, request.Certificates, s.Role == membership.Learner)
}

// syncConfiguration writes the current member list into every member's configuration, without a restart.
func (r *changeRun) syncConfiguration(ctx context.Context, step membership.Step) error {
	return inParallel(plan.Targets(r.status, r.Cluster.Spec, membership.SyncConfiguration), func(m membership.Member) error {
		request, err := r.configureRequest(m, "", r.Cluster.Version, api.PhaseFormed)
		if err != nil {
			return err
		}
		// What needs a restart is left to the roll, which has a gate.
		now := r.currentConfiguration(m)
		request.Store, request.Marker.Store, request.Unit = now.Store, now.Marker.Store, now.Unit
		request.Flags = bootstrap.Synced(now.Flags, request.Flags)
		request.Marker.ClientPort, request.Marker.MetricsPort = now.Marker.ClientPort, now.Marker.MetricsPort
		if err := r.write(ctx, m, request); err != nil {
			return r.noteFailure(step, m, fmt.Errorf("%s: %w", m, err))
		}
		return nil
	})
}
