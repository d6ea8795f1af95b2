package host

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
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
	mark work // when it had come further the last time
}

// work is what the kernel counts of a process.
type work struct {
	process int
	bytes   int64         // that were read from disks for it, of files that it has mapped too
	busy    time.Duration // of processors
}

// gains tells whether the member, whose process is named, has come further since this was the case the last time.
func (p *pace) gains(ctx context.Context, process int) bool {
	reached, work := p.machine.reach(ctx, p.marker), p.machine.workOf(process)
	gains := reached != p.last
	// One that is started over and over comes nowhere.
	if process != 0 && work.process == p.mark.process {
		gains = gains || work.bytes-p.mark.bytes >= leastRead || reached.bytes >= largeDatabase && work.busy-p.mark.busy >= p.patience/busyShare
	}
	if p.last = reached; gains || work.process != p.mark.process {
		p.mark = work
	}
	return gains
}

// workOf is what a process has done; what cannot be read is zero.
func (m *Machine) workOf(process int) work {
	w := work{process: process}
	dir := m.path(filepath.Join("/proc", strconv.Itoa(process)))
	if file, err := os.Open(filepath.Join(dir, "io")); err == nil {
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if value, found := strings.CutPrefix(lines.Text(), "read_bytes: "); found {
				w.bytes, _ = strconv.ParseInt(value, 10, 64)
			}
		}
		_ = file.Close() // nothing was written
	}
	// The 14th and 15th fields, of which statFields has what is behind the second.
	if fields := m.statFields(process); len(fields) > 12 {
		for _, ticks := range fields[11:13] {
			n, _ := strconv.ParseInt(ticks, 10, 64)
			w.busy += time.Duration(n) * kernelTick
		}
	}
	return w
}

// whileItGains is a context that ends once the member has not come further for so long, and says so.
func (m *Machine) whileItGains(ctx context.Context, marker api.Marker, patience time.Duration) (context.Context, func()) {
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
				state, err := m.Units.State(ctx, api.Unit(marker.Cluster))
				if err == nil && p.gains(ctx, state.MainPID) {
					stall.Reset(patience)
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
