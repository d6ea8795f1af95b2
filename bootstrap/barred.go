package bootstrap

import (
	"errors"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Barrier is what keeps a run out of a host that could not be asked; empty: nothing does that answers.
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

// remedy is what lets a run into a host that answers; empty: it does not answer, or nothing is in the way.
func remedy(err error) string {
	if barrier := Barrier(err); barrier != "" {
		return barrier.Remedy()
	}
	return ""
}

// WhyUnasked says why a host could not be asked, the same each time.
func WhyUnasked(err error) string {
	if barrier := Barrier(err); barrier != "" {
		return barrier.Why()
	}
	return "its host cannot be reached"
}
