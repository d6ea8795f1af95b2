package host

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
)

// Call reads one request from stdin, carries it out, and writes lines to stdout. The last line holds the result or the
// error. Call returns false for an error.
func (m *Machine) Call(ctx context.Context, stdin io.Reader, stdout io.Writer) bool {
	input := bufio.NewReader(stdin)
	c, err := readCall(input)
	if err != nil {
		_ = json.NewEncoder(stdout).Encode(api.Line{Error: asError(err)})
		return false
	}
	ctx, cancel := m.attended(ctx, c)
	defer cancel()
	if c.Beats {
		stdout = attendedWriter{ctx, stdout}
	}
	out := json.NewEncoder(stdout)
	content := newContent(stdout)
	c.content, c.progress = content, func(progress string) { _ = out.Encode(api.Line{Progress: progress}) }
	result, err := m.carryOut(ctx, c)
	if err == nil {
		err = content.Flush()
	}
	var text json.RawMessage
	if err == nil {
		text, err = json.Marshal(result)
	}
	if err != nil {
		_ = out.Encode(api.Line{Error: asError(err)})
		return false
	}
	return out.Encode(api.Line{Result: text}) == nil
}

// asError returns an error in the form in which a call answers it.
func asError(err error) *api.Error {
	var coded *api.Error
	if errors.As(err, &coded) {
		return coded
	}
	return &api.Error{Code: api.CodeFailed, Message: err.Error()}
}

// call is one request with what belongs to it.
type call struct {
	api.Request
	input    *bufio.Reader // what follows the request
	content  io.Writer     // what goes before the result
	progress func(string)
}

// readCall reads the request.
func readCall(input *bufio.Reader) (c call, err error) {
	line, err := input.ReadBytes('\n')
	if err != nil && !(errors.Is(err, io.EOF) && len(line) > 0) {
		return c, fmt.Errorf("read the request: %w", err)
	}
	c.input = input
	if err := json.Unmarshal(line, &c.Request); err != nil {
		return c, fmt.Errorf("read the request: %w", err)
	}
	return c, nil
}

// carryOut carries out a request.
func (m *Machine) carryOut(ctx context.Context, c call) (any, error) {
	if c.Version != api.Version {
		return nil, &api.Error{Code: api.CodeUnsupported, Message: fmt.Sprintf("this store speaks version %d of the protocol, not %d", api.Version, c.Version)}
	}
	operation, known := operations[c.Operation]
	if !known {
		return nil, &api.Error{Code: api.CodeUnsupported, Message: fmt.Sprintf("this store knows no operation %q", c.Operation)}
	}
	if !api.ClusterName.MatchString(c.Cluster) {
		return nil, refuse("%q is no name of a cluster", c.Cluster)
	}
	if heavy[c.Operation] && m.Yields != nil {
		m.Yields(ctx, c.Cluster)
	}
	return operation(ctx, m, c)
}

// heavy are the calls that read or write all data of a member, beside a member that runs.
var heavy = map[api.Operation]bool{api.OpSnapshot: true, api.OpSave: true, api.OpFetch: true, api.OpSendBackup: true}

// yield has this process come after the host's members for processors and disks, as the runs of timers do. A host on
// which something of that cannot be done answers all the same.
func yield(ctx context.Context, cluster string) {
	_ = procfs.LowerPriority()
	ctx, cancel := context.WithTimeout(ctx, units.Timeout)
	defer cancel()
	_ = units.Systemd{}.Yield(ctx, fmt.Sprintf("etcd-call-%s-%d.scope", cluster, os.Getpid()))
}

// operation carries out one kind of call.
type operation func(context.Context, *Machine, call) (any, error)

var operations = map[api.Operation]operation{
	api.OpObserve: reads(func(ctx context.Context, m *Machine, c call, r api.ObserveRequest) (any, error) {
		return m.Observe(ctx, c.Cluster, r)
	}),
	api.OpAwait: reads(func(ctx context.Context, m *Machine, c call, r api.AwaitRequest) (any, error) {
		return m.Await(ctx, c.Cluster, r)
	}),
	api.OpProbe: reads(func(ctx context.Context, m *Machine, c call, r api.ProbeRequest) (any, error) {
		return m.Probe(ctx, c.Cluster, r)
	}),
	api.OpHash: reads(func(ctx context.Context, m *Machine, c call, r api.HashRequest) (any, error) {
		return m.Hash(ctx, c.Cluster, r)
	}),
	api.OpTry: reads(func(ctx context.Context, m *Machine, _ call, r api.TryRequest) (any, error) {
		return api.Done{}, m.Try(ctx, r)
	}),
	api.OpLock: reads(func(ctx context.Context, m *Machine, c call, r api.LockRequest) (any, error) {
		return api.Done{}, m.Lock(ctx, c.Cluster, r, c.input, api.LockSilence, func() { c.progress(api.LockTaken) })
	}),
	api.OpBackups: reads(func(ctx context.Context, m *Machine, c call, _ api.BackupsRequest) (any, error) {
		return m.Backups().List(ctx, c.Cluster)
	}),
	api.OpSendBackup: reads(func(ctx context.Context, m *Machine, c call, r api.SendBackupRequest) (any, error) {
		return api.Sent{From: r.From}, m.Backups().Send(ctx, c.Cluster, r, c.content)
	}),
	api.OpArrived: reads(func(_ context.Context, m *Machine, _ call, r api.ArrivedRequest) (any, error) {
		return m.arrivals().Arrived(r)
	}),
	api.OpPreflight: asked(func(ctx context.Context, m *Machine, c call, r api.PreflightRequest) (any, error) {
		if err := m.meant(c.Cluster, c.Target); err != nil {
			return nil, err
		}
		return m.preflight().Run(ctx, r)
	}),
	api.OpRunNow: asked(func(ctx context.Context, m *Machine, c call, r api.RunNowRequest) (any, error) {
		if err := m.meant(c.Cluster, c.Target); err != nil {
			return nil, err
		}
		return m.Backups().RunNow(ctx, c.Cluster, r)
	}),
	api.OpSave: asked(func(ctx context.Context, m *Machine, c call, r api.SaveRequest) (any, error) {
		return m.Save(ctx, c.Cluster, r, c.content)
	}),
	api.OpPrepare: changes(func(ctx context.Context, m *Machine, c call, r api.PrepareRequest) (any, error) {
		return m.Prepare(ctx, c.Cluster, r)
	}),
	api.OpConfigure: changes(func(ctx context.Context, m *Machine, c call, r api.ConfigureRequest) (any, error) {
		return api.Done{}, m.Configure(ctx, c.Cluster, r)
	}),
	api.OpStart: changes(func(ctx context.Context, m *Machine, c call, _ api.StartRequest) (any, error) {
		return api.Done{}, m.Start(ctx, c.Cluster)
	}),
	api.OpStop: changes(func(ctx context.Context, m *Machine, c call, r api.StopRequest) (any, error) {
		return api.Done{}, m.Stop(ctx, c.Cluster, r)
	}),
	api.OpSetAside: changes(func(ctx context.Context, m *Machine, c call, r api.SetAsideRequest) (any, error) {
		return m.SetAside(ctx, c.Cluster, r)
	}),
	api.OpRetire: changes(func(ctx context.Context, m *Machine, c call, r api.RetireRequest) (any, error) {
		return m.Retire(ctx, c.Cluster, r)
	}),
	api.OpRestart: changes(func(ctx context.Context, m *Machine, c call, r api.RestartRequest) (any, error) {
		return api.Done{}, m.Restart(ctx, c.Cluster, r)
	}),
	api.OpSnapshot: changes(func(ctx context.Context, m *Machine, c call, r api.SnapshotRequest) (any, error) {
		return m.Snapshot(ctx, c.Cluster, r)
	}),
	api.OpRecover: changes(func(ctx context.Context, m *Machine, c call, r api.RecoverRequest) (any, error) {
		return m.Recover(ctx, c.Cluster, r)
	}),
	api.OpFetch: changes(func(ctx context.Context, m *Machine, c call, r api.FetchRequest) (any, error) {
		if c.Beats && r.Source.Upload != nil {
			return nil, refuse("an upload follows its request: whoever sends one writes no heartbeats")
		}
		return m.arrivals().Fetch(ctx, c.Cluster, r, &arriving{from: c.input, silence: m.silence(), came: m.locks().BytesCame(c.Cluster)})
	}),
	api.OpFence: changes(func(ctx context.Context, m *Machine, c call, r api.FenceRequest) (any, error) {
		return m.Fence(ctx, c.Cluster, r)
	}),
	api.OpRestore: changes(func(ctx context.Context, m *Machine, c call, r api.RestoreRequest) (any, error) {
		return m.Restore(ctx, c.Cluster, r)
	}),
	api.OpAdvance: changes(func(_ context.Context, m *Machine, c call, r api.AdvanceRequest) (any, error) {
		return api.Done{}, m.Advance(c.Cluster, r)
	}),
	api.OpRollBack: changes(func(ctx context.Context, m *Machine, c call, r api.RollBackRequest) (any, error) {
		return api.Done{}, m.RollBack(ctx, c.Cluster, r)
	}),
	api.OpBackUp: changes(func(ctx context.Context, m *Machine, c call, r api.BackUpRequest) (any, error) {
		return api.Done{}, m.Backups().BackUp(ctx, c.Cluster, r)
	}),
	api.OpRenewOnHost: changes(func(ctx context.Context, m *Machine, c call, r api.RenewOnHostRequest) (any, error) {
		return api.Done{}, m.Renewals().SetUp(ctx, c.Cluster, r)
	}),
	api.OpFirewall: changes(func(ctx context.Context, m *Machine, c call, r api.FirewallRequest) (any, error) {
		return api.Done{}, m.Firewalls().SetUp(ctx, c.Cluster, r)
	}),
	api.OpAddLearner: changes(func(ctx context.Context, m *Machine, c call, r api.AddLearnerRequest) (any, error) {
		return m.AddLearner(ctx, c.Cluster, r)
	}),
	api.OpRemoveMember: changes(func(ctx context.Context, m *Machine, c call, r api.RemoveMemberRequest) (any, error) {
		return api.Done{}, m.RemoveMember(ctx, c.Cluster, r)
	}),
	api.OpUpdateMember: changes(func(ctx context.Context, m *Machine, c call, r api.UpdateMemberRequest) (any, error) {
		return api.Done{}, m.UpdateMember(ctx, c.Cluster, r)
	}),
	api.OpPromote: changes(func(ctx context.Context, m *Machine, c call, r api.PromoteRequest) (any, error) {
		return api.Done{}, m.Promote(ctx, c.Cluster, r)
	}),
	api.OpMoveLeader: changes(func(ctx context.Context, m *Machine, c call, r api.MoveLeaderRequest) (any, error) {
		return api.Done{}, m.MoveLeader(ctx, c.Cluster, r)
	}),
	api.OpDowngrade: changes(func(ctx context.Context, m *Machine, c call, r api.DowngradeRequest) (any, error) {
		return api.Done{}, m.Downgrade(ctx, c.Cluster, r)
	}),
	api.OpDisarm: changes(func(ctx context.Context, m *Machine, c call, r api.DisarmRequest) (any, error) {
		return api.Done{}, m.Disarm(ctx, c.Cluster, r)
	}),
}

// reads returns an operation that changes nothing on the host. It ignores fields of the request that it does not know,
// since they can do no harm.
func reads[R any](do func(context.Context, *Machine, call, R) (any, error)) operation {
	return func(ctx context.Context, m *Machine, c call) (any, error) {
		var body R
		if err := json.Unmarshal(c.Body, &body); err != nil {
			return nil, fmt.Errorf("read the request %s: %w", c.Operation, err)
		}
		return do(ctx, m, c, body)
	}
}

// asked returns an operation that changes nothing lasting and takes no lock. It refuses a request with fields that this
// store does not know, rather than carry out a part.
func asked[R any](do func(context.Context, *Machine, call, R) (any, error)) operation {
	return func(ctx context.Context, m *Machine, c call) (any, error) {
		var body R
		if err := decodeStrictly(c, &body); err != nil {
			return nil, err
		}
		return do(ctx, m, c, body)
	}
}

// changes returns an operation that changes the host: for the holder of the cluster's lock, and one at a time. It
// refuses a request with fields that this store does not know, rather than carry out a part.
func changes[R any](do func(context.Context, *Machine, call, R) (any, error)) operation {
	return func(ctx context.Context, m *Machine, c call) (result any, err error) {
		var body R
		if err := decodeStrictly(c, &body); err != nil {
			return nil, err
		}
		err = m.locks().Under(ctx, c.Cluster, c.Holder, func() error {
			if err = m.meant(c.Cluster, c.Target); err != nil {
				return err
			}
			result, err = do(ctx, m, c, body)
			return err
		})
		return result, err
	}
}

// decodeStrictly decodes a request all of whose fields have to be known. Errors of package json name fields and types,
// and no values.
func decodeStrictly(c call, body any) error {
	decoder := json.NewDecoder(bytes.NewReader(c.Body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(body); err != nil {
		return &api.Error{Code: api.CodeUnsupported, Message: fmt.Sprintf("this store cannot carry out the request %s: %s", c.Operation, err)}
	}
	return nil
}
