package resources

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// How long an operation may take where the configuration does not say. Forming three members takes
// seconds; the rest is for slow networks and disks.
const (
	createTimeout = 20 * time.Minute
	readTimeout   = 2 * time.Minute
	updateTimeout = 30 * time.Minute
	deleteTimeout = 20 * time.Minute
)

// deadline bounds an operation by one of its timeouts.
func deadline(ctx context.Context, timeout func(context.Context, time.Duration) (time.Duration, diag.Diagnostics), fallback time.Duration, diags *diag.Diagnostics) (context.Context, context.CancelFunc) {
	limit, d := timeout(ctx, fallback)
	diags.Append(d...)
	return context.WithTimeout(ctx, limit)
}

// form is the create, in the engine's terms.
func (r *clusterResource) form(ctx context.Context, plan clusterModel, members map[string]memberModel, authority authorityModel) (upgrade.Formed, error) {
	cluster := plan.cluster(members)
	cluster.Stores = r.services.Stores.Hashes(cluster.Version)
	authorities, err := authority.parse(r.services.Now())
	if err != nil {
		return upgrade.Formed{}, err
	}
	algorithm, err := keyAlgorithm(cluster.ClientCA)
	if err != nil {
		return upgrade.Formed{}, err
	}
	cluster.KeyAlgorithm = string(algorithm)
	executor, err := r.executor(ctx, cluster, members, "create")
	if err != nil {
		return upgrade.Formed{}, err
	}
	executor.Signer = memberSigner{authorities, r.services.Now}
	fresh, err := newFormation(cluster.Name, r.services.Random)
	if err != nil {
		return upgrade.Formed{}, err
	}
	return executor.Form(ctx, fresh)
}

// executor is what carries out one operation on the cluster's hosts. It fails with ErrNotKnown where
// the provider's settings are not known yet.
func (r *clusterResource) executor(ctx context.Context, cluster bootstrap.Cluster, members map[string]memberModel, operation string) (*upgrade.Executor, error) {
	run, err := newToken(r.services.Random)
	if err != nil {
		return nil, err
	}
	hosts := map[string]upgrade.Host{}
	for _, m := range cluster.Members {
		host, err := r.services.Hosts.Host(members[m.Name].reach())
		if err != nil {
			return nil, err
		}
		hosts[m.Name] = host
	}
	return &upgrade.Executor{
		Cluster: cluster,
		Hosts:   hosts,
		Holder:  api.Holder{ID: run, Who: fmt.Sprintf("%s, %s", r.services.Who, operation)},
		Now:     r.services.Now,
		Progress: func(line string) {
			tflog.Info(ctx, line, map[string]any{"cluster": cluster.Name})
			r.services.Progress(cluster.Name, line)
		},
	}, nil
}
