package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Verdict is what was found of a run's puts when all of them were read back.
type Verdict struct {
	Endpoints    []string
	Acknowledged int
	Lost         []string // acknowledged, and not there, or not as they were put, by name and endpoint
	Reused       []string // revisions that stand for two puts
	Disordered   []string // puts that began after others had ended, and have an older revision
	Repeated     []string // puts that were done more than once, or that were done though they were surely refused
	Found, Gone  int      // puts of unknown outcome that were done, and that were not
}

// Err is an error that holds all that is wrong; nil: nothing is.
func (v Verdict) Err() error {
	var errs []error
	for _, group := range []struct {
		what string
		list []string
	}{{"lost", v.Lost}, {"revision used twice", v.Reused}, {"out of order", v.Disordered}, {"done more often than said", v.Repeated}} {
		for i, text := range group.list {
			if i == 20 {
				errs = append(errs, fmt.Errorf("%s: %d more", group.what, len(group.list)-i))
				break
			}
			errs = append(errs, fmt.Errorf("%s: %s", group.what, text))
		}
	}
	return errors.Join(errs...)
}

// Verify reads everything back, linearizably, through each of the endpoints, and says what became of the
// puts. It is an error for an endpoint not to serve all of it. No endpoints: those of the configuration.
func (r *Report) Verify(ctx context.Context, endpoints ...string) (Verdict, error) {
	config := r.Config
	if len(endpoints) > 0 {
		config.Endpoints = endpoints
	}
	var entries []entry
	ended := false
	p, err := launch(ctx, r.command, task{Config: config, ID: r.id, Read: true}, func(a answer) error {
		switch {
		case a.Entry != nil:
			entries = append(entries, *a.Entry)
		case a.Done != nil && a.Done.Error != "":
			return errors.New(a.Done.Error)
		case a.Done != nil:
			ended = true
		}
		return nil
	})
	if err != nil {
		return Verdict{}, err
	}
	if err := p.await(ctx, "all was read back", func() bool { return ended }); err != nil {
		p.kill()
		return Verdict{}, err
	}
	if err := p.end(); err != nil {
		return Verdict{}, err
	}
	return verdict(r.Puts, entries, config.Endpoints, func(sequence int) string { return key(task{Config: config, ID: r.id}, sequence) }), nil
}

// verdict compares puts with what was read of them through each endpoint. name names a put.
func verdict(puts []Put, entries []entry, endpoints []string, name func(sequence int) string) Verdict {
	v := Verdict{Endpoints: endpoints}
	read := map[string]map[int]entry{}
	for _, endpoint := range endpoints {
		read[endpoint] = map[int]entry{}
	}
	for _, e := range entries {
		read[e.Endpoint][e.Sequence] = e
	}
	for _, p := range puts {
		if p.Outcome == Acknowledged {
			v.Acknowledged++
		}
		done := false
		for _, endpoint := range endpoints {
			e, there := read[endpoint][p.Sequence]
			done = done || there
			say := func(why string, args ...any) string {
				return fmt.Sprintf("%s, %s at revision %d through %s: read through %s, %s", name(p.Sequence), p.Outcome, p.Revision, p.Endpoint, endpoint, fmt.Sprintf(why, args...))
			}
			switch {
			case p.Outcome == Acknowledged && !there:
				v.Lost = append(v.Lost, say("it is not there"))
			case p.Outcome == Acknowledged && e.Revision < p.Revision:
				v.Lost = append(v.Lost, say("it has revision %d", e.Revision))
			case there && !e.Intact:
				v.Lost = append(v.Lost, say("its value is another"))
			case there && (e.Version > 1 || p.Outcome == Refused || p.Outcome == Acknowledged && e.Revision > p.Revision):
				v.Repeated = append(v.Repeated, say("it has revision %d and version %d", e.Revision, e.Version))
			}
		}
		if p.Outcome == Unknown && done {
			v.Found++
		} else if p.Outcome == Unknown {
			v.Gone++
		}
	}
	v.Reused, v.Disordered = history(puts, name)
	return v
}

// history checks the acknowledged revisions alone: no two puts may share one, and a put that began after
// another had ended must have the newer one. Both are broken where a cluster was split, or set back.
func history(puts []Put, name func(sequence int) string) (reused, disordered []string) {
	var begun []Put
	owner := map[int64]int{}
	for _, p := range puts {
		if p.Outcome != Acknowledged {
			continue
		}
		begun = append(begun, p)
		if other, taken := owner[p.Revision]; taken {
			reused = append(reused, fmt.Sprintf("%d, of %s and %s", p.Revision, name(other), name(p.Sequence)))
		}
		owner[p.Revision] = p.Sequence
	}
	ended := slices.SortedFunc(slices.Values(begun), func(a, b Put) int { return int(a.End - b.End) })
	slices.SortFunc(begun, func(a, b Put) int { return int(a.Start - b.Start) })
	var newest Put
	for _, p := range begun {
		for len(ended) > 0 && ended[0].End < p.Start {
			if ended[0].Revision > newest.Revision {
				newest = ended[0]
			}
			ended = ended[1:]
		}
		if p.Revision < newest.Revision {
			disordered = append(disordered, fmt.Sprintf("%s has revision %d, and %s, which had ended before it began, %d",
				name(p.Sequence), p.Revision, name(newest.Sequence), newest.Revision))
		}
	}
	return reused, disordered
}
