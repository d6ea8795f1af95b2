package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// stall is how long a starting member may make no progress before the run gives up on it. Elections on a busy disk
// were seen to take 18 s.
const stall = 2 * time.Minute

// awaitAll waits for members on all hosts at once, for as long as any of them makes progress: a member with a large
// database takes many minutes to read it, and the others cannot serve without it.
func (r *run) awaitAll(ctx context.Context, members []membership.Member, ready func(bootstrap.Report) string, await func(membership.Member) (api.Observation, error)) bootstrap.Reports {
	for {
		gained := false
		var mu sync.Mutex
		reports := askEach(members, func(m membership.Member) bootstrap.Report {
			o, err := await(m)
			mu.Lock()
			defer mu.Unlock()
			gained = gained || o.Gained
			return bootstrap.Report{Observation: &o, Err: err}
		})
		unready := slices.ContainsFunc(members, func(m membership.Member) bool { return ready(reports[m]) != "" })
		if !unready || !gained || ctx.Err() != nil {
			return reports
		}
	}
}

// awaitReady waits until a voter is ready and serves a linearizable read. etcd serves that only after the member has
// applied everything that the cluster had committed by then.
func (r *changeRun) awaitReady(ctx context.Context, m membership.Member) error {
	o, err := r.await(ctx, ctx, m, api.AwaitRequest{Timeout: stall})
	if err != nil {
		return err
	}
	if why := notReady(bootstrap.Report{Observation: &o}, len(o.Member.Members)); why != "" {
		return notReadyError(why)
	}
	return nil
}

// awaitLearner waits until a learner has copied all data and serves. The wait lasts as long as the learner makes
// progress; it ends early when the run is to stop, which leaves nothing half done.
func (r *changeRun) awaitLearner(ctx context.Context, m membership.Member) error {
	waiting, stop := r.untilStopped(ctx)
	defer stop()
	o, err := r.await(ctx, waiting, m, api.AwaitRequest{Learner: true, Timeout: stall})
	switch {
	case err != nil && waiting.Err() != nil:
		return fmt.Errorf("the host is still copying the data; no data is at risk; apply again to resume: %w", context.Cause(waiting))
	case err != nil:
		return err
	}
	if !o.Member.Responding || !o.Member.Learner {
		return errors.New("it did not come up as a learner: " + notReady(bootstrap.Report{Observation: &o}, len(o.Member.Members)))
	}
	return nil
}

// await waits for a member that was started, until waiting ends, and restarts the member once if it is stalled.
//
// A starting member asks the cluster to commit its name, and reports that it has started once it has applied that
// entry. If the entry reaches it within a snapshot from the leader, it never applies it. It retries after 7 s. If the
// snapshot spans more than 5000 entries and nobody writes, it refuses its own request forever, since it counts only
// entries as applied (EtcdServer.publishV3, applySnapshot, setAppliedIndex). Until then its client port stays closed.
// After a restart it has all data from the beginning. A stalled voter still votes, so voters are restarted one at a
// time, and only while the others are a quorum.
func (r *changeRun) await(ctx, waiting context.Context, m membership.Member, request api.AwaitRequest) (api.Observation, error) {
	request.ObserveRequest, request.Stalled = r.Cluster.Ask(), true
	var since time.Time // when it was first seen to be stalled, which comes late where much data is copied
	for {
		o, err := ask[api.Observation](waiting, r.run, m, api.OpAwait, request)
		if err != nil || !o.Stalled || !since.IsZero() && time.Since(since) > stall {
			return o, err
		}
		if since.IsZero() {
			since = time.Now()
		}
		if o, restarted, err := r.restartStalled(ctx, waiting, m, request); restarted || err != nil {
			return o, err
		}
		if err := pause(waiting, stalledPause); err != nil {
			return o, err
		}
	}
}

// stalledPause is how long the run waits between two checks of a stalled voter that cannot be restarted yet.
const stalledPause = time.Second

// restartStalled restarts a stalled member and waits for it. It returns false without a restart if the member is a
// voter and the others are no quorum without it.
func (r *changeRun) restartStalled(ctx, waiting context.Context, m membership.Member, request api.AwaitRequest) (o api.Observation, restarted bool, err error) {
	if !request.Learner {
		r.mu.Lock()
		r.stalled[m] = true
		r.mu.Unlock()
		r.restartLock.Lock()
		defer r.restartLock.Unlock()
		// It may have started by itself while another voter was restarted.
		if o, err = ask[api.Observation](waiting, r.run, m, api.OpAwait, request); err != nil || !o.Stalled {
			r.mu.Lock()
			delete(r.stalled, m)
			r.mu.Unlock()
			return o, true, err
		}
		if !r.hasQuorumWithout(waiting, m) {
			return o, false, nil
		}
	}
	r.say(fmt.Sprintf("%s: has all data, but does not report that it has started: restarting it", m))
	r.mu.Lock()
	delete(r.stalled, m)
	r.mu.Unlock()
	if err := r.tell(ctx, m, api.OpRestart, api.RestartRequest{Owner: r.order.Owner}); err != nil {
		return o, false, err
	}
	request.Stalled = false
	o, err = ask[api.Observation](waiting, r.run, m, api.OpAwait, request)
	return o, true, err
}

// hasQuorumWithout tells whether the other voters are a quorum without m. It counts voters that serve at this moment,
// and stalled ones, which do everything but serve clients.
func (r *changeRun) hasQuorumWithout(ctx context.Context, m membership.Member) bool {
	size, able := 1, 0
	for _, s := range r.status.Voters() {
		if s.Member == m {
			continue
		}
		size++
		r.mu.Lock()
		stalled := r.stalled[s.Member]
		r.mu.Unlock()
		if stalled {
			able++
		} else if s.State != membership.Unreachable {
			if view, err := ask[api.Member](ctx, r.run, s.Member, api.OpProbe, api.ProbeRequest{}); err == nil && view.Healthy {
				able++
			}
		}
	}
	return size == 1 || able >= membership.Quorum(size)
}

// servedStall bounds the wait for a member that goes on showing its old certificates. etcd reads the new ones at the
// next handshake, so that the first look finds them. A port that shows none is that of a busy host, and has as long as
// a member that starts.
const servedStall = 10 * time.Second

// errServesOther is the error of a member that goes on serving what it served. It ends the run: what other members
// would make of their new certificates is not known.
var errServesOther = errors.New("no other member gets new certificates before it is known why")

// mustServe waits until a member's ports are seen to serve these certificates, by its host connecting to them.
func (r *changeRun) mustServe(ctx context.Context, m membership.Member, issued map[string]string, learner bool) error {
	want, serials := map[string]string{}, map[string]string{}
	for _, key := range []string{api.KeyPeer, api.KeyServer} {
		leaf, err := cert.ParseLeaf([]byte(issued[key]))
		if err != nil {
			return fmt.Errorf("read the new %s certificate: %w", key, err)
		}
		info := cert.InfoOf(leaf)
		want[key], serials[key] = info.SHA256, info.SerialNumber
	}
	request := api.AwaitRequest{ObserveRequest: r.Cluster.Ask(), Learner: learner, Serving: want, Timeout: servedStall}
	o, err := ask[api.Observation](ctx, r.run, m, api.OpAwait, request)
	if err == nil && o.Served != nil && len(o.Served) < len(want) {
		request.Timeout = stall
		o, err = ask[api.Observation](ctx, r.run, m, api.OpAwait, request)
	}
	if err != nil {
		return fmt.Errorf("see whether it serves its new certificates: %w", err)
	}
	if api.ServesAll(o.Served, want) {
		return nil
	}
	if o.Served == nil && o.Unit.ActiveState == "active" {
		r.say(fmt.Sprintf("%s: its store does not tell which certificates the member serves", m))
		return nil
	}
	var wrong []string
	for _, key := range []string{api.KeyPeer, api.KeyServer} {
		if o.Served[key].SHA256 == want[key] {
			continue
		}
		was := "shows no certificate"
		if served, shown := o.Served[key]; shown {
			was = "goes on serving the certificate with serial " + served.Serial
		}
		wrong = append(wrong, fmt.Sprintf("its %s %s, and its file has the new one with serial %s", r.Cluster.PortOf(key), was, serials[key]))
	}
	return fmt.Errorf("%s; %w: see journalctl -u etcd@%s on its host, and plan again: the plan restarts a member that serves another certificate than its file has",
		strings.Join(wrong, "; "), errServesOther, r.Cluster.Name)
}
