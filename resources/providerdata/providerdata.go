// Package providerdata is what the provider hands to its resources: access to hosts, the stores, and what the plans and
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

// Data is what resources use of the provider that configured them.
type Data struct {
	Hosts    Hosts
	Stores   Stores
	Progress func(cluster, line string) // a line a step, as it begins; never with a secret
	Operator string                     // user@machine of this run, which a lock shows to other runs
	Random   io.Reader                  // of cryptographic quality
	Now      func() time.Time

	AuthorityFiles AuthorityFiles // that certificates of this run have left
	Claims         Claims         // clusters that this run's plans destroy and create
	Files          Files          // that this run's plans use
	Rotations      Rotations      // of authorities, that this run's plans make
	Ephemeral      Ephemeral      // authorities that nobody has kept yet
	Snapshots      *Snapshots     // files that states describe; nil: none are known

	owners sync.Map // tokens of the clusters whose states this run has met
}

// Stores are the etcd stores that this build of the provider carries.
type Stores interface {
	// Newest returns the newest version that satisfies desired: a minor version ("3.7"), an exact version ("3.7.3"), or
	// empty for any. If none does, the error lists those that there are.
	Newest(desired string) (version string, err error)

	// Versions returns all versions, the newest first.
	Versions() []string

	// Hashes returns the SHA-256 of the stores of a version, by Go's names of architectures.
	Hashes(version string) map[string]string
}

// ProgressOf returns a function that writes each step of a cluster to Terraform's log and to the progress log.
func (d *Data) ProgressOf(ctx context.Context, cluster string) func(line string) {
	return func(line string) {
		tflog.Info(ctx, line, map[string]any{"cluster": cluster})
		d.Progress(cluster, line)
	}
}

// From returns the data that the provider hands to a resource, nil while Terraform only validates.
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
