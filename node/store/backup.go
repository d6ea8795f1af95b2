package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/backups"
)

// backUp runs the backup of a cluster.
func backUp(cluster string, now bool) int {
	return doRun("backup", cluster, func(ctx context.Context, h backups.Host) error {
		return h.RunBackup(ctx, cluster, now, say)
	})
}

// rehearse runs a rehearsal of a restore of a cluster.
func rehearse(cluster string, now bool) int {
	return doRun("rehearse", cluster, func(ctx context.Context, h backups.Host) error {
		return h.RunRehearsal(ctx, cluster, now, say)
	})
}

// cleanUp removes what a killed rehearsal has left. Units on hosts call it by its former name, tidy.
func cleanUp(cluster string) int {
	return doRun("tidy", cluster, func(_ context.Context, h backups.Host) error { return h.CleanUp(cluster) })
}

// reach finds out which of the directories that a cluster's runs write to respond.
func reach(cluster string) int {
	return doRun("reach", cluster, func(_ context.Context, h backups.Host) error { return h.Reach(cluster, say) })
}

// renew renews certificates of a cluster's member on this host.
func renew(cluster string, all bool) int {
	return inUnit("renew", cluster, func(ctx context.Context, m *host.Machine) error {
		return m.Renewals().Run(ctx, cluster, all, say)
	})
}

// layDown lays down who may reach a cluster's member on this host.
func layDown(cluster string) int {
	return inUnit("firewall", cluster, func(ctx context.Context, m *host.Machine) error { return m.Firewalls().LayDown(ctx, cluster) })
}

func doRun(command, cluster string, do func(context.Context, backups.Host) error) int {
	return inUnit(command, cluster, func(ctx context.Context, m *host.Machine) error { return do(ctx, m.Backups()) })
}

// inUnit carries out a command of a unit. A stopped run releases what it holds before it ends.
func inUnit(command, cluster string, do func(context.Context, *host.Machine) error) int {
	if !api.ClusterName.MatchString(cluster) {
		fmt.Fprintf(os.Stderr, "store: %q is no name of a cluster\n", cluster)
		return exitUsage
	}
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		got := <-signals
		signal.Stop(signals) // the next signal ends the process at once
		stop(fmt.Errorf("it was stopped (%s), by systemd or by hand", got))
	}()
	machine, err := thisMachine()
	if err == nil {
		err = do(ctx, machine)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "store %s: %s\n", command, err)
		return exitFailed
	}
	return exitDone
}

// say writes to the journal.
func say(text string) { fmt.Println(text) }
