package bootstrap

import (
	"errors"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Barrier returns what keeps a run out of a host that answers, or "" if the host does not answer or lets the run in.
func Barrier(err error) api.Barrier {
	var barred *api.Barred
	var said *api.Error
	switch {
	case errors.As(err, &barred):
		return barred.Barrier
	case errors.As(err, &said): // the program there has answered that it could not do it
		return api.BarrierProgram
	}
	return ""
}

// remedy returns what lets a run into a host that answers, or "" if the host does not answer or lets the run in.
func remedy(err error) string {
	if barrier := Barrier(err); barrier != "" {
		return barrier.Remedy()
	}
	return ""
}

// WhyUnasked returns why a host could not be observed, in the same words each time.
func WhyUnasked(err error) string {
	if barrier := Barrier(err); barrier != "" {
		return barrier.Why()
	}
	return "its host cannot be reached"
}
