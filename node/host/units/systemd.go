// Package units asks a host's systemd about units, their journals, and the times of a schedule, and controls units.
package units

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Timeout bounds a question to systemd. systemd answers in milliseconds, and on a big host in seconds after a reload of
// its units.
const Timeout = 10 * time.Second

// Systemd controls units over systemd's own socket, which needs root and no message bus.
type Systemd struct{}

// with calls do with a connection to systemd.
func with(ctx context.Context, do func(*dbus.Conn) error) error {
	conn, err := dbus.NewSystemdConnectionContext(ctx)
	if err != nil {
		return fmt.Errorf("connect to systemd: %w", err)
	}
	defer conn.Close()
	return do(conn)
}

// State returns the state of a unit in systemd's own words.
func (Systemd) State(ctx context.Context, unit string) (api.UnitState, error) {
	var state api.UnitState
	err := with(ctx, func(conn *dbus.Conn) error {
		p, err := conn.GetAllPropertiesContext(ctx, unit)
		if err != nil {
			return fmt.Errorf("ask systemd for unit %s: %w", unit, err)
		}
		state = unitState(p)
		return nil
	})
	return state, err
}

// unitState reads properties, and leaves a missing one empty: a unit that does not exist has no properties of a
// service.
func unitState(p map[string]any) api.UnitState {
	var s api.UnitState
	s.LoadState, _ = p["LoadState"].(string)
	s.ActiveState, _ = p["ActiveState"].(string)
	s.SubState, _ = p["SubState"].(string)
	s.FileState, _ = p["UnitFileState"].(string)
	s.Result, _ = p["Result"].(string)
	s.NeedReload, _ = p["NeedDaemonReload"].(bool)
	pid, _ := p["MainPID"].(uint32)
	restarts, _ := p["NRestarts"].(uint32)
	s.MainPID, s.Restarts = int(pid), int(restarts)
	// These are microseconds since the boot. systemd forgets the end of a process once it has started the next one.
	started, _ := p["ExecMainStartTimestampMonotonic"].(uint64)
	ended, _ := p["ExecMainExitTimestampMonotonic"].(uint64)
	ready, _ := p["ActiveEnterTimestampMonotonic"].(uint64)
	if started > 0 && ended > started && ready < started && s.Result != "success" {
		s.Vain = time.Duration(ended-started) * time.Microsecond //nolint:gosec // less than the host has been up
	}
	if job, _ := p["Job"].([]any); len(job) > 0 {
		id, _ := job[0].(uint32)
		s.Queued = id != 0
	}
	return s
}

// Reload has systemd read all unit files again.
func (Systemd) Reload(ctx context.Context) error {
	return with(ctx, func(conn *dbus.Conn) error { return reload(ctx, conn) })
}

func reload(ctx context.Context, conn *dbus.Conn) error {
	if err := conn.ReloadContext(ctx); err != nil {
		return fmt.Errorf("have systemd reload its units: %w", err)
	}
	return nil
}

// Start enables and starts a unit, without waiting until it is ready. It also starts a unit that systemd has given up
// on.
func (Systemd) Start(ctx context.Context, unit string) error {
	return with(ctx, func(conn *dbus.Conn) error {
		if err := enable(ctx, conn, unit); err != nil {
			return err
		}
		if err := conn.ResetFailedUnitContext(ctx, unit); err != nil && !unknownUnit(err) {
			return fmt.Errorf("reset unit %s: %w", unit, err)
		}
		if _, err := conn.StartUnitContext(ctx, unit, "replace", nil); err != nil {
			return fmt.Errorf("start unit %s: %w", unit, err)
		}
		return nil
	})
}

// Run starts a unit that ends by itself, and waits for its end.
func (Systemd) Run(ctx context.Context, unit string) error {
	return with(ctx, func(conn *dbus.Conn) error {
		done := make(chan string, 1)
		if _, err := conn.StartUnitContext(ctx, unit, "replace", done); err != nil {
			return fmt.Errorf("start unit %s: %w", unit, err)
		}
		select {
		case result := <-done:
			if result != "done" {
				return fmt.Errorf("unit %s: systemd says %s", unit, result)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("unit %s has not ended: %w", unit, ctx.Err())
		}
	})
}

// Weight is what a backup's unit has for processors and for disks, of which the member has a thousand.
const Weight uint64 = 20

// Yield moves this process into a scope of its own beside the members' units, where weights compare: a login's slice is
// of the same weight as that of all services. The scope goes with the process. name is a scope's that there is none of.
func (Systemd) Yield(ctx context.Context, name string) error {
	return with(ctx, func(conn *dbus.Conn) error {
		done := make(chan string, 1)
		value := func(name string, value any) dbus.Property {
			return dbus.Property{Name: name, Value: godbus.MakeVariant(value)}
		}
		_, err := conn.StartTransientUnitContext(ctx, name, "fail", []dbus.Property{
			value("Description", "A call of Terraform that reads all data of an etcd member"),
			dbus.PropSlice("system.slice"), dbus.PropPids(uint32(os.Getpid())), //nolint:gosec // positive
			value("CPUWeight", Weight), value("IOWeight", Weight), value("CollectMode", "inactive-or-failed"),
		}, done)
		if err != nil {
			return fmt.Errorf("make scope %s: %w", name, err)
		}
		select {
		case result := <-done:
			if result != "done" {
				return fmt.Errorf("make scope %s: systemd says %s", name, result)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("make scope %s: %w", name, ctx.Err())
		}
	})
}

// Enable has systemd start a unit at boot.
func (Systemd) Enable(ctx context.Context, unit string) error {
	return with(ctx, func(conn *dbus.Conn) error { return enable(ctx, conn, unit) })
}

func enable(ctx context.Context, conn *dbus.Conn, unit string) error {
	_, changes, err := conn.EnableUnitFilesContext(ctx, []string{unit}, false, false)
	if err != nil {
		return fmt.Errorf("enable unit %s: %w", unit, err)
	}
	if len(changes) == 0 {
		return nil
	}
	return reload(ctx, conn)
}

// Stop stops a unit and waits until it has stopped. A unit that systemd does not know counts as stopped.
func (Systemd) Stop(ctx context.Context, unit string) error {
	return with(ctx, func(conn *dbus.Conn) error {
		done := make(chan string, 1)
		_, err := conn.StopUnitContext(ctx, unit, "replace", done)
		if unknownUnit(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("stop unit %s: %w", unit, err)
		}
		select {
		case result := <-done:
			if result != "done" {
				return fmt.Errorf("stop unit %s: systemd says %s", unit, result)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("stop unit %s: it is still stopping: %w", unit, ctx.Err())
		}
	})
}

// Disable keeps systemd from starting a unit at boot, and resets its failed state.
func (Systemd) Disable(ctx context.Context, unit string) error {
	return with(ctx, func(conn *dbus.Conn) error {
		if _, err := conn.DisableUnitFilesContext(ctx, []string{unit}, false); err != nil && !unknownUnit(err) {
			return fmt.Errorf("disable unit %s: %w", unit, err)
		}
		if err := conn.ResetFailedUnitContext(ctx, unit); err != nil && !unknownUnit(err) {
			return fmt.Errorf("reset unit %s: %w", unit, err)
		}
		return nil
	})
}

// unknownUnit tells whether systemd does not know the unit: it has no file, or its file was never loaded.
func unknownUnit(err error) bool {
	var e godbus.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Name == "org.freedesktop.systemd1.NoSuchUnit" || e.Name == "org.freedesktop.DBus.Error.FileNotFound"
}
