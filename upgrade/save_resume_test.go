package upgrade

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// saver is a host that sends a snapshot, over connections that break after this many bytes each; -1: it is not reached.
type saver struct {
	Host
	t        *testing.T
	snapshot string
	breaks   []int
	older    bool // its store knows no rest
	gone     bool // what it was sending, once the connection broke
	barred   bool // the run, once the connection broke
	sent     int
	id       string
}

func (s *saver) Download(_ context.Context, _ string, request api.Request, content io.Writer, result any) error {
	var r api.SaveRequest
	if err := json.Unmarshal(request.Body, &r); err != nil || request.Operation != api.OpSave || r.From > 0 && r.ID != s.id {
		s.t.Errorf("it is asked %+v: %v", request, err)
	}
	switch s.id = r.ID; {
	case s.older && r.ID != "":
		return &api.Error{Code: api.CodeUnsupported, Message: "unknown field id"}
	case s.gone && r.From > 0:
		return &api.Error{Code: api.CodeRefused, Message: api.SnapshotGone}
	case s.barred && r.From > 0:
		return &api.Barred{Err: errors.New("the host key has changed")}
	}
	rest, broken := s.snapshot[r.From:], error(nil)
	if len(s.breaks) > 0 {
		rest, broken, s.breaks = rest[:max(s.breaks[0], 0)], errors.New("the connection ended"), s.breaks[1:]
	}
	n, err := io.WriteString(content, rest)
	if s.sent += n; err != nil || broken != nil {
		return errors.Join(err, broken)
	}
	result.(*api.Saved).SHA256 = "the whole"
	return nil
}

// TestASavedSnapshotGoesOn holds that a snapshot comes over connections that break, none of its bytes twice, that a
// host is asked for the rest for minutes, and what ends that.
func TestASavedSnapshotGoesOn(t *testing.T) {
	const snapshot = "a snapshot of some bytes"
	away := func(times int) (breaks []int) {
		breaks = []int{3}
		for range times {
			breaks = append(breaks, -1)
		}
		return breaks
	}
	for name, test := range map[string]struct {
		host saver
		room int    // bytes that this machine has room for; 0: enough
		says string // empty: it comes
	}{
		"at once":                         {host: saver{}},
		"in pieces":                       {host: saver{breaks: []int{3, 1, 9}}},
		"all of it, without a result":     {host: saver{breaks: []int{len(snapshot)}}},
		"the host is away for a while":    {host: saver{breaks: away(30)}},
		"the host is away for long":       {host: saver{breaks: away(1000)}, says: "asked for in vain for 3m0s: the connection ended"},
		"nothing comes":                   {host: saver{breaks: []int{0}}, says: "the connection ended"},
		"the host has it no more":         {host: saver{breaks: []int{3}, gone: true}, says: "broke after 3 bytes, and the rest does not come: " + api.SnapshotGone + "\nthe connection ended"},
		"the host keeps the run out":      {host: saver{breaks: []int{3}, barred: true}, says: "the host key has changed"},
		"an older store":                  {host: saver{older: true}},
		"an older store that is cut off":  {host: saver{older: true, breaks: []int{3}}, says: "the connection ended"},
		"this machine's disk is too full": {host: saver{}, room: 5, says: "no space left"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := membership.Member{Name: "a"}
				host := &test.host
				host.t, host.snapshot = t, snapshot
				e := &Executor{Hosts: map[membership.Member]Host{a: host}, Progress: func(string) {}, Holder: api.Holder{ID: "run"}}
				var got bytes.Buffer
				to := io.Writer(&got)
				if test.room > 0 {
					to = writes(func(p []byte) (int, error) {
						return copy(make([]byte, test.room), p), errors.New("no space left on device")
					})
				}
				began := time.Now()
				saved, err := e.download(t.Context(), a, api.SaveRequest{Owner: "us"}, to)
				if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
					t.Fatalf("it ends with %v", err)
				}
				if err == nil && (got.String() != snapshot || host.sent != len(snapshot) || saved.SHA256 != "the whole") {
					t.Errorf("%q came, in %d bytes, as %+v", &got, host.sent, saved)
				}
				if took := time.Since(began); took > resumePatience+resumePause {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}
