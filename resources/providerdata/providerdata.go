// Package providerdata is what the provider hands to its resources: the ways to hosts, the stores, and what the plans and
// applies of one run have to know of each other.
package providerdata

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-log/tflog"
)

// Data are what resources use of the provider that configured them.
type Data struct {
	Hosts    Hosts
	Stores   Stores
	Progress func(cluster, line string) // a line a step, as it begins; never with a secret
	Who      string                     // user@machine of this run, for whom a lock keeps waiting
	Random   io.Reader                  // of cryptographic quality
	Now      func() time.Time

	AuthorityFiles AuthorityFiles // that certificates of this run have left
	Claims         Claims         // clusters that this run's plans destroy and create
	Files          Files          // that this run's plans use
	Rotations      Rotations      // of authorities, that this run's plans make
	Ephemeral      Ephemeral      // authorities that nobody has kept yet

	owners sync.Map // tokens of the clusters whose states this run has met
}

// Stores are the etcd stores that this build of the provider carries.
type Stores interface {
	// Newest is the newest version that satisfies what is asked for: a minor version ("3.7"), an exact version
	// ("3.7.3"), or empty for any. It fails where none does, and says which there are.
	Newest(desired string) (version string, err error)

	// Versions are all of them, the newest first.
	Versions() []string

	// Hashes are the SHA-256 of the stores of a version, by architecture as Go names it.
	Hashes(version string) map[string]string
}

// ProgressOf returns what an executor calls with each step of a cluster: it writes the step to Terraform's log and to the
// progress log.
func (d *Data) ProgressOf(ctx context.Context, cluster string) func(line string) {
	return func(line string) {
		tflog.Info(ctx, line, map[string]any{"cluster": cluster})
		d.Progress(cluster, line)
	}
}

// From is what the provider hands to a resource. It is nil while Terraform only validates.
func From(data any, diags *diag.Diagnostics) *Data {
	if data == nil {
		return nil
	}
	s, ok := data.(*Data)
	if !ok {
		diags.AddError("This build of the provider is broken", fmt.Sprintf("It hands %T to its resources. Please report this.", data))
	}
	return s
}
