// Package resources is Terraform's face of the provider: what a configuration may say, what a plan
// shows, and how both are told to the packages that know etcd. Types of the framework live here and
// in package provider alone.
package resources

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// ProviderData are what resources use of the provider that configured them.
type ProviderData struct {
	Hosts    Hosts
	Stores   Stores
	Progress func(cluster, line string) // a line a step, as it begins; never with a secret
	Who      string                     // user@machine of this run, for whom a lock keeps waiting
	Random   io.Reader                  // of cryptographic quality
	Now      func() time.Time

	authorities authorityFiles // that certificates of this run have left
	owners      sync.Map       // tokens of the clusters whose states this run has met
	claims      claims         // clusters that this run's plans destroy and create
}

// holds tells whether this run has met the state of an owner's cluster.
func (s *ProviderData) holds(owner string) bool {
	_, met := s.owners.Load(owner)
	return met
}

// Hosts finds hosts. Nothing is dialed before a host is used.
type Hosts interface {
	// Host is the host that reach leads to. It fails with ErrNotKnown where the provider's settings
	// will be known at apply only. Whatever else is wrong with the way there, its calls say.
	Host(reach Reach) (upgrade.Host, error)

	// Briefly is the same host for who can go on without its answer: where it cannot be reached it is given up soon, and
	// not asked again for a while. A host that a change needs may still be booting, and is waited for.
	Briefly(reach Reach) (upgrade.Host, error)
}

// ErrNotKnown says that a setting of the provider has no value yet: it comes out of a resource that
// the same apply makes.
var ErrNotKnown = errors.New("not known before apply")

// Reach is how one host is reached, where that differs from what the provider says for all.
type Reach struct {
	Address string // host name or IP address
	Port    int    // of its sshd; 0: the provider's
	User    string // who logs in; empty: the provider's
	HostKey string // its public key, to pin; empty: none
	HostCA  string // authority that signs its host certificate; empty: the provider's
}

// Stores are the etcd stores that this build of the provider carries.
type Stores interface {
	// Newest is the newest version that satisfies what is asked for: a line ("3.7"), an exact version
	// ("3.7.3"), or empty for any. It fails where none does, and says which there are.
	Newest(desired string) (version string, err error)

	// Versions are all of them, the newest first.
	Versions() []string

	// Hashes are the SHA-256 of the stores of a version, by architecture as Go names it.
	Hashes(version string) map[string]string
}

// providerData is what the provider hands to a resource. It is nil while Terraform only validates.
func providerData(data any, diags *diag.Diagnostics) *ProviderData {
	if data == nil {
		return nil
	}
	s, ok := data.(*ProviderData)
	if !ok {
		diags.AddError("This build of the provider is broken", fmt.Sprintf("It hands %T to its resources. Please report this.", data))
	}
	return s
}
