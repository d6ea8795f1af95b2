package node

import (
	"errors"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// barred marks the error of a host that answers and does not let the run do its work. It returns other errors as they
// are: nothing is known of a host that does not answer, or whose connection was lost.
func barred(err error) error {
	barrier := barrierOf(err)
	if barrier == "" {
		return err
	}
	return &api.Barred{Barrier: barrier, Err: err}
}

func barrierOf(err error) api.Barrier {
	var known *api.Barred
	var exit *ssh.ExitError
	switch {
	case err == nil || errors.As(err, &known):
		return ""
	case errors.Is(err, ssh.ErrBastion):
		return api.BarrierBastion
	case errors.Is(err, ssh.ErrAuth):
		return api.BarrierLogin
	case errors.Is(err, ssh.ErrHostKeyUnknown), errors.Is(err, ssh.ErrHostKeyMismatch):
		return api.BarrierHostKey
	case errors.As(err, &exit):
		return api.BarrierProgram
	}
	return ""
}
