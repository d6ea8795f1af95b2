// Package pace tells whether a member comes further, ready or not, so that what takes as long as it takes goes on for as long
// as it does, and no longer.
package pace

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
)

const (
	// StallTimeout is how long a member may show no progress at something that takes as long as it takes, by its data
	// and its disk: an election on a busy disk was seen to take 18 s.
	StallTimeout = 2 * time.Minute
	// Poll is how often it is looked for.
	Poll = time.Second
	// LeastRead is what a member reads from its disk, in bytes, that comes further by it, in all of that time. One that
	// waits for others reads next to nothing.
	LeastRead = 1 << 20
	// BusyShare is the part of that time in which a member computes that comes further by it, one in so many: little
	// enough for a machine that has much else to do. One that waits for others, and is asked all the while whether it is
	// ready, uses a thirtieth.
	BusyShare = 10
	// LargeDatabase is how many bytes a member has in its database that may have to compute on it. One that has less and
	// computes does other things: to refuse its peers' handshakes, ten times a second each, was seen to take a seventh.
	LargeDatabase = 16 << 20
)

// Host is where members run.
type Host struct {
	Root  string // in front of every path; "/" but in tests
	Units Units
}

// Units tells of systemd's units.
type Units interface {
	State(ctx context.Context, unit string) (api.UnitState, error)
}

func (h Host) local(marker api.Marker) etcdclient.Local {
	return etcdclient.Local{Root: h.Root, Marker: marker}
}

// Pace tells whether a member comes further, ready or not: its files grow, it applies entries, it reads from its disk, or
// it computes. While etcd opens a database it does nothing but the last two, and answers nobody: for many minutes, where
// the database is large and the disk slow.
type Pace struct {
	host     Host
	marker   api.Marker
	patience time.Duration // without progress

	last CatchUp
	mark procfs.Work // when it had come further the last time
}

// CatchUp is how far a member has come that is not ready yet. What cannot be found out is zero.
type CatchUp struct {
	Bytes   int64  // of its database and of the snapshot that is coming in
	Applied uint64 // index
}

// CatchUp is how far the local member has come, ready or not.
func (h Host) CatchUp(ctx context.Context, marker api.Marker) CatchUp {
	var r CatchUp
	files, _ := inside.ReadDir(filepath.Dir(filepath.Join(h.Root, etcdfs.Database(marker.DataDir)))) // there is none yet
	for _, file := range files {
		if info, err := file.Info(); err == nil { // one that is renamed meanwhile is seen the next time
			r.Bytes += info.Size()
		}
	}
	r.Applied = h.local(marker).AppliedIndex(ctx)
	return r
}

// Of is that of a member that has not been looked at yet. Without progress for patience, it is given up by whoever asks.
func (h Host) Of(marker api.Marker, patience time.Duration) Pace {
	return Pace{host: h, marker: marker, patience: patience}
}

// Applied is the index that the member had applied when it was looked at the last time; 0: it did not say so.
func (p *Pace) Applied() uint64 { return p.last.Applied }

// Gains tells whether the member, whose process is named, has come further since this was the case the last time.
func (p *Pace) Gains(ctx context.Context, process int) bool {
	caughtUp, work := p.host.CatchUp(ctx, p.marker), (procfs.FS{Root: p.host.Root}).Work(process)
	gains := caughtUp != p.last
	// One that is started over and over comes nowhere.
	if process != 0 && work.Process == p.mark.Process {
		gains = gains || work.Read-p.mark.Read >= LeastRead || caughtUp.Bytes >= LargeDatabase && work.Busy-p.mark.Busy >= p.patience/BusyShare
	}
	if p.last = caughtUp; gains || work.Process != p.mark.Process {
		p.mark = work
	}
	return gains
}

// WhileItGains is a context that ends once the member has not come further for so long, and says so.
func (h Host) WhileItGains(ctx context.Context, marker api.Marker, patience time.Duration) (context.Context, func()) {
	return h.WhileProcessGains(ctx, marker, patience, func(ctx context.Context) (int, error) {
		state, err := h.Units.State(ctx, api.Unit(marker.Cluster))
		return state.MainPID, err
	}, func() {})
}

// WhileProcessGains is WhileItGains of a member that runs in a process of its own. It calls gained whenever that comes further.
func (h Host) WhileProcessGains(ctx context.Context, marker api.Marker, patience time.Duration, process func(context.Context) (int, error), gained func()) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p := h.Of(marker, patience)
		poll, stall := time.NewTicker(Poll), time.NewTimer(patience)
		defer poll.Stop()
		defer stall.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-stall.C:
				cancel(fmt.Errorf("member %s has come no further for %s", marker.Member, patience))
				return
			case <-poll.C:
				if pid, err := process(ctx); err == nil && p.Gains(ctx, pid) {
					stall.Reset(patience)
					gained()
				}
			}
		}
	}()
	return ctx, func() { cancel(nil); <-ended }
}

// Flowing reads from where something has to come all the time: once nothing has for so long, giveUp is told.
func Flowing(from io.Reader, patience time.Duration, giveUp func()) io.Reader {
	return flowing{from, patience, giveUp}
}

type flowing struct {
	io.Reader
	patience time.Duration
	giveUp   func()
}

func (f flowing) Read(p []byte) (int, error) {
	timer := time.AfterFunc(f.patience, f.giveUp)
	defer timer.Stop()
	return f.Reader.Read(p)
}
