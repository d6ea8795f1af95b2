package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// longestLine bounds a line from a host, in bytes. A full report of a host takes a small part of it.
const longestLine = 16 << 20

// answer reads the lines that a call writes. It is the stdout of the command.
type answer struct {
	progress func(string) // called with each line of progress as it arrives; nil: nobody waits for it
	content  io.Writer    // receives the content between the lines as it arrives; nil: none is expected

	mu      sync.Mutex
	partial bytes.Buffer
	owed    int // bytes of content that are still to come before the next line
	final   *api.Line
	bad     error
}

// Write reads what has arrived, which may end in the middle of a line or of content.
func (a *answer) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for rest := p; len(rest) > 0; {
		if a.owed > 0 {
			n := min(a.owed, len(rest))
			if _, err := a.content.Write(rest[:n]); err != nil {
				return 0, fmt.Errorf("write what the host sends: %w", err)
			}
			a.owed, rest = a.owed-n, rest[n:]
			continue
		}
		end := bytes.IndexByte(rest, '\n')
		if a.partial.Len()+max(end, 0) > longestLine || end < 0 && a.partial.Len()+len(rest) > longestLine {
			return 0, fmt.Errorf("the host has sent a line of more than %d MiB, which is none of a store's", longestLine>>20)
		}
		if end < 0 {
			a.partial.Write(rest)
			break
		}
		a.partial.Write(rest[:end+1])
		a.take(a.partial.Next(a.partial.Len()))
		rest = rest[end+1:]
	}
	return len(p), nil
}

func (a *answer) take(text []byte) {
	var line api.Line
	switch err := json.Unmarshal(text, &line); {
	case err != nil:
		a.bad = fmt.Errorf("the store wrote a line that is no JSON: %.200q", bytes.TrimSpace(text))
	case line.Result != nil || line.Error != nil:
		a.final = &line
	case line.Content > 0 && a.content != nil:
		a.owed = line.Content
	case a.progress != nil:
		a.progress(line.Progress)
	}
}

// last returns the line that carries the result or the error.
func (a *answer) last() (api.Line, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.final != nil {
		return *a.final, nil
	}
	return api.Line{}, errors.Join(a.bad, errors.New("the store ended without a result"))
}
