package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

// role is the variable of the environment that makes a test binary the instruments.
const role = "ETCD_LOAD_INSTRUMENT"

// Main returns, unless this process was started to be the instruments: then it is them, and ends.
// TestMain calls it first.
func Main() {
	if os.Getenv(role) == "" {
		return
	}
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// instrument is the process that writes, samples and reads back.
type instrument struct {
	task
	tls     *tls.Config
	started time.Time
	answers chan answer

	mu        sync.Mutex
	endpoints []string
	moved     []func(endpoints []string) // told of new endpoints
}

// serve does one task, as told on in, and tells on out. It ends when it is told to, or with in.
func serve(in io.Reader, out io.Writer) error {
	orders := json.NewDecoder(in)
	i := &instrument{started: time.Now(), answers: make(chan answer, 4096)}
	if err := orders.Decode(&i.task); err != nil {
		return fmt.Errorf("read the task: %w", err)
	}
	i.endpoints = i.Config.Endpoints
	t, err := i.Config.credentials()
	if err != nil {
		return err
	}
	i.tls = t

	told := make(chan error, 1)
	go func() { told <- i.tell(out) }()
	if i.Read {
		i.readBack(context.Background())
	} else if err := i.measure(orders); err != nil {
		return err
	}
	close(i.answers)
	return <-told
}

// tell writes answers until there are no more.
func (i *instrument) tell(out io.Writer) error {
	buffer := bufio.NewWriterSize(out, 1<<16)
	lines := json.NewEncoder(buffer)
	for a := range i.answers {
		if err := lines.Encode(a); err != nil {
			return err
		}
		if len(i.answers) > 0 {
			continue
		}
		if err := buffer.Flush(); err != nil {
			return err
		}
	}
	return buffer.Flush()
}

func (i *instrument) now() time.Duration { return time.Since(i.started) }

// since is a moment as records have it.
func (i *instrument) since(t time.Time) time.Duration { return t.Sub(i.started) }

// measure writes and samples, and follows orders, until it is told to stop.
func (i *instrument) measure(orders *json.Decoder) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var sampling, writing sync.WaitGroup
	if err := i.watchDisk(ctx, &sampling); err != nil {
		return err
	}
	if i.Config.Every > 0 {
		s := newSampler(i)
		i.follow(s.seed)
		sampling.Go(func() { s.run(ctx) })
	}
	writers, stopWriting := context.WithCancel(ctx)
	defer stopWriting()
	if i.Config.writes() {
		w, err := newWriter(i)
		if err != nil {
			return err
		}
		defer w.close()
		i.follow(w.set)
		writing.Go(func() { w.run(writers) })
	}
	for {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return errors.New("stdin ended before an order to stop came")
		} else if err != nil {
			return fmt.Errorf("read an order: %w", err)
		}
		at := i.now()
		switch {
		case o.Mark != "":
			i.answers <- answer{Mark: &Mark{o.Mark, at}}
		case len(o.Endpoints) > 0:
			i.move(o.Endpoints)
			i.answers <- answer{Done: &done{Order: "endpoints", At: at}}
		case o.Moves > 0:
			sampling.Go(func() {
				d := done{Order: "moves"}
				if err := i.moveLeader(ctx, o.Moves); err != nil {
					d.Error = err.Error()
				}
				d.At = i.now()
				i.answers <- answer{Done: &d}
			})
		case o.Stop:
			stopWriting()
			writing.Wait()
			cancel()
			sampling.Wait()
			i.answers <- answer{Done: &done{Order: "stop", At: at}}
			return nil
		}
	}
}

// follow has somebody told of new endpoints, and of those of now.
func (i *instrument) follow(f func(endpoints []string)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.moved = append(i.moved, f)
	f(i.endpoints)
}

// move changes the endpoints, where there are any and they are others.
func (i *instrument) move(endpoints []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(endpoints) == 0 || slices.Equal(slices.Sorted(slices.Values(endpoints)), slices.Sorted(slices.Values(i.endpoints))) {
		return
	}
	i.endpoints = slices.Clone(endpoints)
	for _, f := range i.moved {
		f(i.endpoints)
	}
}

// known are the endpoints of now.
func (i *instrument) known() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.endpoints
}
