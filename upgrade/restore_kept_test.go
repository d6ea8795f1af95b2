package upgrade

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// sender is a host that sends a backup, over connections that break after this many bytes each; 0: it is not reached.
type sender struct {
	Host
	t       *testing.T
	backup  string
	breaks  []int
	older   bool // its store sends all, whatever is asked for
	refuses bool // the rest
	sent    int
}

func (s *sender) Download(_ context.Context, _ string, request api.Request, content io.Writer, result any) error {
	var r api.SendBackupRequest
	if err := json.Unmarshal(request.Body, &r); err != nil || request.Operation != api.OpSendBackup {
		s.t.Errorf("it is asked %+v: %v", request, err)
	}
	if s.refuses && r.From > 0 {
		return &api.Error{Code: api.CodeFailed, Message: "it is damaged"}
	}
	if s.older {
		r.From = 0
	}
	rest, broken := s.backup[r.From:], error(nil)
	if len(s.breaks) > 0 {
		rest, broken, s.breaks = rest[:s.breaks[0]], errors.New("the connection ended"), s.breaks[1:]
	}
	n, err := io.WriteString(content, rest)
	if s.sent += n; err != nil || broken != nil {
		return errors.Join(err, broken)
	}
	result.(*api.Sent).From = r.From
	return nil
}

// TestADownloadGoesOn holds that a backup comes to this machine over connections that break, none of its bytes twice,
// and that a host which brings no more, or another's whole, ends that.
func TestADownloadGoesOn(t *testing.T) {
	const backup = "a backup of some bytes"
	full := errors.New("no space left on device")
	for name, test := range map[string]struct {
		host sender
		room int    // bytes that this machine has room for; 0: enough
		says string // empty: it comes
	}{
		"at once":                         {host: sender{}},
		"in pieces":                       {host: sender{breaks: []int{3, 1, 9}}},
		"all of it, without a result":     {host: sender{breaks: []int{len(backup)}}},
		"nothing comes":                   {host: sender{breaks: []int{0}}, says: "the connection ended"},
		"nothing more comes":              {host: sender{breaks: []int{3, 0}}, says: "the connection ended"},
		"the host finds it damaged":       {host: sender{breaks: []int{3}, refuses: true}, says: "it is damaged"},
		"an older store":                  {host: sender{older: true}},
		"an older store that is cut off":  {host: sender{older: true, breaks: []int{3}}, says: "cannot send the rest: apply again"},
		"this machine's disk is too full": {host: sender{}, room: 5, says: "no space left"},
	} {
		t.Run(name, func(t *testing.T) {
			a := membership.Member{Name: "a"}
			host := &test.host
			host.t, host.backup = t, backup
			r := &restoreRun{run: &run{Executor: &Executor{Hosts: map[membership.Member]Host{a: host}, Progress: func(string) {}}}}
			var got bytes.Buffer
			to := io.Writer(&got)
			if test.room > 0 {
				to = writes(func(p []byte) (int, error) { return copy(make([]byte, test.room), p), full })
			}
			err := r.bring(t.Context(), a, "x", to)
			if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Fatalf("it ends with %v", err)
			}
			if err == nil && (got.String() != backup || host.sent != len(backup)) {
				t.Errorf("%q came, in %d bytes", &got, host.sent)
			}
		})
	}
}

type writes func(p []byte) (int, error)

func (w writes) Write(p []byte) (int, error) { return w(p) }
