package load

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Command makes the command that runs a program where the cluster can be reached. exec.CommandContext is
// one; so is lab.Lab's Command.
type Command func(ctx context.Context, program string, args ...string) *exec.Cmd

// Run is a writer and a sampler at work.
type Run struct {
	process *process
	report  *Report
}

// startTimeout is how long Start waits for the first acknowledged puts and the first member list.
const startTimeout = time.Minute

// Start starts writing and sampling, and returns when the first puts of each mode are acknowledged and the
// membership is read: the first phase, "start", begins then. The process ends with the context.
func Start(ctx context.Context, command Command, config Config) (*Run, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	report := &Report{Config: config, Limits: config.Limits, command: command, id: rand.Text()[:8]}
	r := &Run{report: report}
	if r.process, err = launch(ctx, command, task{Config: config, ID: report.id}, report.take); err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = r.process.await(waiting, "the first acknowledged puts and the first member list", func() bool {
		return (config.Every == 0 || len(report.Configurations) > 0) && report.warm()
	})
	if err == nil {
		err = r.Mark(waiting, "start")
	}
	if err != nil {
		r.process.kill()
		return nil, err
	}
	return r, nil
}

// Mark begins a phase, which ends with the next one.
func (r *Run) Mark(ctx context.Context, name string) error {
	if name == "" {
		return errors.New("load: a phase has no name")
	}
	marks := 0
	r.process.look(func() { marks = len(r.report.Marks) })
	return r.process.order(ctx, order{Mark: name}, func() bool { return len(r.report.Marks) > marks })
}

// SetEndpoints has everything written and sampled through other endpoints from now on, as an application
// does whose configuration was changed. With Config.Sync it lasts until the next sync.
func (r *Run) SetEndpoints(ctx context.Context, endpoints ...string) error {
	if len(endpoints) == 0 {
		return errors.New("load: no endpoints are given")
	}
	return r.process.order(ctx, order{Endpoints: endpoints}, r.answered("endpoints"))
}

// bareMove is the phase in which MoveLeaders measures.
const bareMove = "bare MoveLeader"

// MoveLeaders moves the leadership so many times, half a second apart, in a phase of its own, "bare
// MoveLeader", and says what that did to the writers: the yardstick of all planned operations. The phase
// lasts until the next Mark.
func (r *Run) MoveLeaders(ctx context.Context, times int) (Yardstick, error) {
	if times < 1 {
		return Yardstick{}, fmt.Errorf("load: %d moves of the leadership", times)
	}
	moves := 0
	r.process.look(func() { moves = len(r.report.Moves) })
	if err := r.Mark(ctx, bareMove); err != nil {
		return Yardstick{}, err
	}
	if err := r.process.order(ctx, order{Moves: times}, r.answered("moves")); err != nil {
		return Yardstick{}, err
	}
	var y Yardstick
	r.process.look(func() { y = r.report.yardstick(moves) })
	return y, nil
}

// answered tells whether one more order of a kind has been carried out than at this moment.
func (r *Run) answered(kind string) func() bool {
	var before int
	r.process.look(func() { before = r.report.done[kind] })
	return func() bool { return r.report.done[kind] > before }
}

// Wait waits until Count or For of the configuration has ended the writers.
func (r *Run) Wait(ctx context.Context) error {
	return r.process.await(ctx, "the end of the writers", func() bool { return len(r.report.Ended) == len(r.report.Config.Modes) })
}

// Stop ends the run: no put is started any more, those under way come to their end, and the report is
// complete.
func (r *Run) Stop(ctx context.Context) (*Report, error) {
	if err := r.process.order(ctx, order{Stop: true}, r.answered("stop")); err != nil {
		r.process.kill()
		return nil, err
	}
	if err := r.process.end(); err != nil {
		return nil, err
	}
	r.report.sort()
	return r.report, nil
}

// process is the instruments' process, as the test sees it.
type process struct {
	command *exec.Cmd
	stdin   io.WriteCloser
	stderr  *tail
	ended   chan struct{}

	mu      sync.Mutex
	changed *sync.Cond
	failed  error // why nothing more is heard; io.EOF: it ended
}

// launch starts the process, which hands each answer to take.
func launch(ctx context.Context, command Command, t task, take func(answer) error) (*process, error) {
	if os.Getenv(role) != "" {
		return nil, fmt.Errorf("load: this process is the instruments itself: its TestMain does not call load.Main first (%s is set)", role)
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{command: command(ctx, program, "-test.run=^$"), stderr: &tail{}, ended: make(chan struct{})}
	p.changed = sync.NewCond(&p.mu)
	p.command.Env = append(p.command.Environ(), role+"=1")
	p.command.Stderr = p.stderr
	p.command.WaitDelay = 10 * time.Second
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start the instruments: %w", err)
	}
	go p.hear(stdout, take)
	if err := p.send(t); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// hear hands over answers until there are no more.
func (p *process) hear(stdout io.Reader, take func(answer) error) {
	defer close(p.ended)
	lines := json.NewDecoder(stdout)
	for {
		var a answer
		err := lines.Decode(&a)
		p.mu.Lock()
		if err == nil {
			err = take(a)
		} else if !errors.Is(err, io.EOF) {
			err = fmt.Errorf("what it said is no answer (does TestMain call load.Main first?): %w", err)
		}
		if err != nil && p.failed == nil {
			p.failed = err
		}
		p.changed.Broadcast()
		p.mu.Unlock()
		if err != nil {
			_, _ = io.Copy(io.Discard, stdout) // it must not wait for a reader: it may be told to stop yet
			return
		}
	}
}

// look looks at what has been heard.
func (p *process) look(at func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at()
}

// await waits until what has been heard is so.
func (p *process) await(ctx context.Context, what string, so func() bool) error {
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changed.Broadcast()
	})
	defer stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !so() {
		if p.failed != nil {
			return fmt.Errorf("the instruments ended before %s: %w%s", what, p.failed, p.stderr)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for %s: %w%s", what, context.Cause(ctx), p.stderr)
		}
		p.changed.Wait()
	}
	return nil
}

// order sends an order and waits until it is carried out.
func (p *process) order(ctx context.Context, o order, carriedOut func() bool) error {
	if err := p.send(o); err != nil {
		return err
	}
	return p.await(ctx, fmt.Sprintf("the order %+v was carried out", o), carriedOut)
}

func (p *process) send(line any) error {
	if err := json.NewEncoder(p.stdin).Encode(line); err != nil {
		return fmt.Errorf("tell the instruments: %w%s", err, p.stderr)
	}
	return nil
}

// end waits for the process, which has been told to end.
func (p *process) end() error {
	<-p.ended
	if err := p.command.Wait(); err != nil {
		return fmt.Errorf("the instruments: %w%s", err, p.stderr)
	}
	return nil
}

// kill ends the process, whatever it does.
func (p *process) kill() {
	_ = p.stdin.Close()
	_ = p.command.Process.Kill() // it may have ended
	<-p.ended
	_ = p.command.Wait() // it was killed
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text string
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text += string(b)
	t.text = t.text[max(0, len(t.text)-4096):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if strings.TrimSpace(t.text) == "" {
		return ""
	}
	return "\nstderr: " + strings.TrimSpace(t.text)
}
