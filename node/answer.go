package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// answer reads the lines that a call writes. It is the stdout of the command.
type answer struct {
	progress func(string) // told of each line of progress, as it arrives; nil: nobody

	mu      sync.Mutex
	partial bytes.Buffer
	final   *api.Line
	bad     error
}

// Write takes what has arrived, which may end in the middle of a line.
func (a *answer) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.partial.Write(p)
	for {
		end := bytes.IndexByte(a.partial.Bytes(), '\n')
		if end < 0 {
			return len(p), nil
		}
		a.take(a.partial.Next(end + 1))
	}
}

func (a *answer) take(text []byte) {
	var line api.Line
	switch err := json.Unmarshal(text, &line); {
	case err != nil:
		a.bad = fmt.Errorf("the store wrote a line that is no JSON: %q", bytes.TrimSpace(text))
	case line.Result != nil || line.Error != nil:
		a.final = &line
	case a.progress != nil:
		a.progress(line.Progress)
	}
}

// last is the line that carries the result or the error.
func (a *answer) last() (api.Line, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.final != nil {
		return *a.final, nil
	}
	return api.Line{}, errors.Join(a.bad, errors.New("the store ended without a result"))
}
