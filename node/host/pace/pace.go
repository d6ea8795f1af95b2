// Package pace tells whether a member makes progress, ready or not. So a wait that depends on somebody's disk or data
// lasts as long as there is progress, and no longer.
package pace

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
)

const (
	// StallTimeout is how long a member may make no progress at work whose time depends on its data and its disk. An
	// election on a busy disk was seen to take 18 s.
	StallTimeout = 2 * time.Minute
	// Poll is the time between two looks for progress.
	Poll = time.Second
	// LeastRead is how many bytes a member has to read from its disk within the time of a stall for that to be
	// progress. A member that waits for others reads next to nothing.
	LeastRead = 1 << 20
	// BusyShare says that a member makes progress if it computes for a tenth of the time of a stall: little enough for
	// a machine that has much else to do. A member that waits for others, and is asked all the while whether it is
	// ready, computes for a thirtieth.
	BusyShare = 10
	// LargeDatabase is the size of a database, in bytes, from which on computing counts as progress. A member with a
	// smaller one computes on other things: to refuse its peers' handshakes, ten times a second each, was seen to take
	// a seventh of the time.
	LargeDatabase = 16 << 20
)

// Host is where members run.
type Host struct {
	Root  string // in front of every path; "/" but in tests
	Units Units
}

// Units returns the states of systemd's units.
type Units interface {
	State(ctx context.Context, unit string) (api.UnitState, error)
}

func (h Host) local(marker api.Marker) etcdclient.Local {
	return etcdclient.Local{Root: h.Root, Marker: marker}
}

// Pace tells whether a member makes progress, ready or not: its files grow, it applies entries, it reads from its disk,
// or it computes. While etcd opens a database, it only reads and computes, and answers nobody: for many minutes if the
// database is large and the disk slow.
type Pace struct {
	host     Host
	marker   api.Marker
	patience time.Duration // without progress

	last CatchUp
	mark procfs.Work // at its last progress
}

// CatchUp is how far a member has come that is not ready yet. A field that could not be found out is zero.
type CatchUp struct {
	Bytes   int64  // of its database and of the snapshot that is coming in
	Applied uint64 // index
}

// CatchUp is how far the local member has come, ready or not.
func (h Host) CatchUp(ctx context.Context, marker api.Marker) CatchUp {
	var r CatchUp
	// There may be no directory yet.
	files, _ := inside.ReadDir(filepath.Dir(filepath.Join(h.Root, etcdfs.Database(marker.DataDir))))
	for _, file := range files {
		if info, err := file.Info(); err == nil { // one that is renamed meanwhile is seen the next time
			r.Bytes += info.Size()
		}
	}
	r.Applied = h.local(marker).AppliedIndex(ctx)
	return r
}

// Of returns the Pace of a member that has not been looked at yet, and that is given up without progress for patience.
func (h Host) Of(marker api.Marker, patience time.Duration) Pace {
	return Pace{host: h, marker: marker, patience: patience}
}

// Applied returns the index that the member had applied at the last look, or 0 if it did not say so.
func (p *Pace) Applied() uint64 { return p.last.Applied }

// Gains tells whether the member, which runs as this process, has made progress since Gains last said so.
func (p *Pace) Gains(ctx context.Context, process int) bool {
	caughtUp, work := p.host.CatchUp(ctx, p.marker), (procfs.FS{Root: p.host.Root}).Work(process)
	gains := caughtUp != p.last
	// A member that is started over and over makes no progress.
	if process != 0 && work.Process == p.mark.Process {
		gains = gains || work.Read-p.mark.Read >= LeastRead || caughtUp.Bytes >= LargeDatabase && work.Busy-p.mark.Busy >= p.patience/BusyShare
	}
	if p.last = caughtUp; gains || work.Process != p.mark.Process {
		p.mark = work
	}
	return gains
}

// WhileItGains returns a context that ends once the member has made no progress for this long, with that as its cause.
func (h Host) WhileItGains(ctx context.Context, marker api.Marker, patience time.Duration) (context.Context, func()) {
	return h.WhileProcessGains(ctx, marker, patience, func(ctx context.Context) (int, error) {
		state, err := h.Units.State(ctx, api.Unit(marker.Cluster))
		return state.MainPID, err
	}, func() {})
}

// WhileProcessGains does the same for a member without a unit: process returns the process that it runs in. It calls
// gained at each progress.
func (h Host) WhileProcessGains(ctx context.Context, marker api.Marker, patience time.Duration, process func(context.Context) (int, error), gained func()) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p := h.Of(marker, patience)
		moves, stop := backup.Watch(patience, func() {
			cancel(fmt.Errorf("member %s has come no further for %s", marker.Member, patience))
		})
		defer stop()
		poll := time.NewTicker(Poll)
		defer poll.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-poll.C:
				if pid, err := process(ctx); err == nil && p.Gains(ctx, pid) {
					moves()
					gained()
				}
			}
		}
	}()
	return ctx, func() { cancel(nil); <-ended }
}

// Flowing reads from a source that has to deliver all the time. It calls giveUp once nothing has come for this long
// while it was waited for.
func Flowing(from io.Reader, patience time.Duration, giveUp func()) io.Reader {
	return flowing{from, patience, giveUp}
}

type flowing struct {
	io.Reader
	patience time.Duration
	giveUp   func()
}

func (f flowing) Read(p []byte) (int, error) {
	_, stop := backup.Watch(f.patience, f.giveUp)
	defer stop()
	return f.Reader.Read(p)
}
