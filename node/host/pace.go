package host

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
)

const (
	// stallTimeout is how long a member may show no progress at something that takes as long as it takes, by its data
	// and its disk: an election on a busy disk was seen to take 18 s.
	stallTimeout = 2 * time.Minute
	// pacePoll is how often it is looked for.
	pacePoll = time.Second
	// leastRead is what a member reads from its disk, in bytes, that comes further by it, in all of that time. One that
	// waits for others reads next to nothing.
	leastRead = 1 << 20
	// busyShare is the part of that time in which a member computes that comes further by it, one in so many: little
	// enough for a machine that has much else to do. One that waits for others, and is asked all the while whether it is
	// ready, uses a thirtieth.
	busyShare = 10
	// largeDatabase is how many bytes a member has in its database that may have to compute on it. One that has less and
	// computes does other things: to refuse its peers' handshakes, ten times a second each, was seen to take a seventh.
	largeDatabase = 16 << 20
)

// pace tells whether a member comes further, ready or not: its files grow, it applies entries, it reads from its disk, or
// it computes. While etcd opens a database it does nothing but the last two, and answers nobody: for many minutes, where
// the database is large and the disk slow.
type pace struct {
	machine  *Machine
	marker   api.Marker
	patience time.Duration // without progress

	last reached
	mark procfs.Work // when it had come further the last time
}

// reached is how far a member has come that is not ready yet. What cannot be found out is zero.
type reached struct {
	bytes   int64  // of its database and of the snapshot that is coming in
	applied uint64 // index
}

// reach is how far the local member has come, ready or not.
func (m *Machine) reach(ctx context.Context, marker api.Marker) reached {
	var r reached
	files, _ := inside.ReadDir(filepath.Dir(m.path(etcdfs.Database(marker.DataDir)))) // there is none yet
	for _, file := range files {
		if info, err := file.Info(); err == nil { // one that is renamed meanwhile is seen the next time
			r.bytes += info.Size()
		}
	}
	r.applied = m.local(marker).AppliedIndex(ctx)
	return r
}

// gains tells whether the member, whose process is named, has come further since this was the case the last time.
func (p *pace) gains(ctx context.Context, process int) bool {
	reached, work := p.machine.reach(ctx, p.marker), p.machine.proc().Work(process)
	gains := reached != p.last
	// One that is started over and over comes nowhere.
	if process != 0 && work.Process == p.mark.Process {
		gains = gains || work.Read-p.mark.Read >= leastRead || reached.bytes >= largeDatabase && work.Busy-p.mark.Busy >= p.patience/busyShare
	}
	if p.last = reached; gains || work.Process != p.mark.Process {
		p.mark = work
	}
	return gains
}

// whileItGains is a context that ends once the member has not come further for so long, and says so.
func (m *Machine) whileItGains(ctx context.Context, marker api.Marker, patience time.Duration) (context.Context, func()) {
	return m.whileProcessGains(ctx, marker, patience, func(ctx context.Context) (int, error) {
		state, err := m.Units.State(ctx, api.Unit(marker.Cluster))
		return state.MainPID, err
	}, func() {})
}

// whileProcessGains is whileItGains of a member that runs in a process of its own. It calls gained whenever that comes further.
func (m *Machine) whileProcessGains(ctx context.Context, marker api.Marker, patience time.Duration, process func(context.Context) (int, error), gained func()) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p := pace{machine: m, marker: marker, patience: patience}
		poll, stall := time.NewTicker(pacePoll), time.NewTimer(patience)
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
				if pid, err := process(ctx); err == nil && p.gains(ctx, pid) {
					stall.Reset(patience)
					gained()
				}
			}
		}
	}()
	return ctx, func() { cancel(nil); <-ended }
}

// flowing reads from where something has to come all the time: once nothing has for so long, giveUp is told.
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
