package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
)

// unit returns the state of the cluster's unit with the text of its file, and with the end of its journal if it failed
// or is being restarted.
func (m *Machine) unit(ctx context.Context, cluster string) (api.UnitState, error) {
	ctx, cancel := context.WithTimeout(ctx, units.Timeout)
	defer cancel()
	state, err := m.Units.State(ctx, api.Unit(cluster))
	if err != nil {
		return state, err
	}
	text, err := inside.ReadFile(m.path(api.UnitFile(cluster)))
	// A link or a pipe is replaced like a changed file.
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !inside.IsNoFile(err) {
		return state, err
	}
	state.Text = string(text)
	state.Process = m.process(state.MainPID)
	if state.Vain == 0 && state.MainPID != 0 && state.Restarts > 0 {
		state.Vain = m.lastVain(cluster)
	}
	if state.ActiveState == "failed" || state.SubState == "auto-restart" || state.Restarts > 0 && state.ActiveState != "active" {
		state.Journal = m.failure(ctx, cluster)
	}
	return state, nil
}

// failure returns the end of a member's journal, as evidence of why it does not serve. The wait for the member may be
// over.
func (m *Machine) failure(ctx context.Context, cluster string) []string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), units.Timeout)
	defer cancel()
	return m.journal().Failure(ctx, api.Unit(cluster))
}

// withJournal adds to the error of a wait for a member what its journal says.
func (m *Machine) withJournal(ctx context.Context, cluster string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w; its journal ends\n  %s", err, strings.Join(m.failure(ctx, cluster), "\n  "))
}

// journal is the host's journal.
func (m *Machine) journal() units.Journal { return units.Journal{Run: m.Run} }

// running tells whether a unit's process is there or being started.
func running(s api.UnitState) bool {
	switch s.ActiveState {
	case "active", "activating", "reloading", "deactivating":
		return true
	}
	return false
}

// Start enables the unit and starts it, without waiting until it is ready.
func (m *Machine) Start(ctx context.Context, cluster string) error {
	marker, err := m.records().Marker(cluster)
	if err != nil {
		return err
	}
	if marker == nil {
		return refuse("this host carries no cluster %s: there is no %s", cluster, api.MarkerFile(cluster))
	}
	if err := m.mayStart(ctx, *marker); err != nil {
		return err
	}
	// A recovery starts its member itself: whoever starts it in another way has given that recovery up.
	if err := m.records().EndRecovery(cluster); err != nil {
		return err
	}
	_ = m.keys().CompletePairs(cluster) // else the end of the start in vain does it
	return m.Units.Start(ctx, api.Unit(cluster))
}

// Restart stops the unit if it runs, waits until it has stopped, and enables and starts it, without waiting until it is
// ready.
func (m *Machine) Restart(ctx context.Context, cluster string, r api.RestartRequest) error {
	marker, err := m.records().Owned(cluster, r.Owner)
	if err != nil {
		return err
	}
	if err := m.mayStart(ctx, *marker); err != nil {
		return err
	}
	if err := m.stop(ctx, cluster); err != nil {
		return err
	}
	if err := m.records().EndRecovery(cluster); err != nil {
		return err
	}
	_ = m.keys().CompletePairs(cluster)
	return m.Units.Start(ctx, api.Unit(cluster))
}

// Stop stops the unit and waits until it has stopped.
func (m *Machine) Stop(ctx context.Context, cluster string, r api.StopRequest) error {
	if _, err := m.records().Owned(cluster, r.Owner); err != nil {
		return err
	}
	if err := m.stop(ctx, cluster); err != nil || !r.Disable {
		return err
	}
	return m.Units.Disable(ctx, api.Unit(cluster))
}

// stop stops the unit, and records how far its member has come. The unit does that too; this is for a unit that an
// older release has written.
func (m *Machine) stop(ctx context.Context, cluster string) error {
	if err := m.Units.Stop(ctx, api.Unit(cluster)); err != nil {
		return err
	}
	// The member is stopped, as requested. If its progress cannot be recorded, e.g. of a damaged database, that must
	// not keep anybody from repairing it.
	_ = m.Record(ctx, cluster)
	return nil
}
