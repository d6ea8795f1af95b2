package node

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// TestBarred tells a host that answers and keeps the run out from one that does not answer.
func TestBarred(t *testing.T) {
	in := func(err error) error { return fmt.Errorf("first contact: %w", err) }
	for name, test := range map[string]struct {
		err  error
		want api.Barrier
	}{
		"no answer":           {in(ssh.ErrUnreachable), ""},
		"the connection ends": {in(ssh.ErrDisconnected), ""},
		"too late":            {in(context.DeadlineExceeded), ""},
		"login":               {in(ssh.ErrAuth), api.BarrierLogin},
		"key unknown":         {in(ssh.ErrHostKeyUnknown), api.BarrierHostKey},
		"another key":         {in(ssh.ErrHostKeyMismatch), api.BarrierHostKey},
		"bastion's login":     {in(fmt.Errorf("%w: %w", ssh.ErrBastion, ssh.ErrAuth)), api.BarrierBastion},
		"bastion away":        {in(fmt.Errorf("%w: %w", ssh.ErrBastion, ssh.ErrUnreachable)), api.BarrierBastion},
		"no command ends":     {in(&ssh.ExitError{Status: 126}), api.BarrierProgram},
		"sudo":                {sudo{}.explain("admin", &ssh.ExitError{Status: 1, Stderr: "sudo: a password is required"}), api.BarrierProgram},
	} {
		err := barred(test.err)
		var barred *api.Barred
		errors.As(err, &barred)
		switch {
		case test.want == "" && barred != nil:
			t.Errorf("%s: it is barred: %q", name, barred.Barrier)
		case test.want != "" && (barred == nil || barred.Barrier != test.want):
			t.Errorf("%s: it is not %q: %v", name, test.want, err)
		case err.Error() != test.err.Error() || !errors.Is(err, test.err):
			t.Errorf("%s: the error is another: %v", name, err)
		}
	}
	if barred(nil) != nil {
		t.Error("no error is one")
	}
}
