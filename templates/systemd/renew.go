package systemd

import (
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strings"
)

var (
	//go:embed etcd-renew@.service
	renewService string
	//go:embed renew.timer
	renewTimer string
)

var (
	renewUnit      = runUnit("etcd-renew@.service", renewService)
	renewTimerUnit = runUnit("renew.timer", renewTimer)
)

// RenewOptions are what the units depend on by which one host renews the certificates of its member of one cluster.
type RenewOptions struct {
	Cluster   string   // the instance of the units
	Store     string   // path of the program that they run
	ConfigDir string   // with the certificates
	Metrics   string   // directory that a run writes to where it is there
	RunDir    string   // directory below /run with the locks
	Reaches   []string // IP addresses of whom a run talks to; nil: anybody's
}

// RenderRenewal are the units by which certificates are renewed, by the names of their files.
func RenderRenewal(o RenewOptions) (map[string]string, error) {
	units, err := renderRenewal(o)
	if err != nil {
		return nil, fmt.Errorf("render the units by which certificates of cluster %s are renewed: %w", o.Cluster, err)
	}
	return units, nil
}

func renderRenewal(o RenewOptions) (map[string]string, error) {
	if err := checkProgram(o.Cluster, o.Store); err != nil {
		return nil, err
	}
	for _, dir := range []string{o.ConfigDir, o.Metrics, o.RunDir} {
		if !path.IsAbs(dir) || path.Clean(dir) != dir || strings.ContainsFunc(dir, special) {
			return nil, fmt.Errorf("directory %q: give an absolute path in its shortest spelling", dir)
		}
	}
	for _, address := range o.Reaches {
		if _, err := netip.ParseAddr(address); err != nil {
			return nil, err
		}
	}
	values := struct {
		RenewOptions
		Writes []string
		Hidden string
		RunDir string // as systemd names it, below /run
	}{o, []string{o.ConfigDir, o.Metrics}, "", strings.TrimPrefix(o.RunDir, "/run/")}
	var service, timer strings.Builder
	err := errors.Join(renewUnit.Execute(&service, values), renewTimerUnit.Execute(&timer, values))
	name := "etcd-renew@" + o.Cluster
	return map[string]string{name + ".service": service.String(), name + ".timer": timer.String()}, err
}
