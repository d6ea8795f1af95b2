package pki

import (
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/order"
)

// Lifetimes.
const (
	// DefaultAuthorityLifetime is 10 years: users replace an authority on purpose, and not by a calendar.
	DefaultAuthorityLifetime = 87600 * time.Hour
	DefaultLeafLifetime      = order.DefaultLeafLifetime
	MinimumLifetime          = order.MinimumLifetime
)
