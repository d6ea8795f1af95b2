package systemd

import (
	_ "embed"
	"fmt"
	"path"
	"strings"
)

//go:embed etcd-firewall@.service
var firewallService string

var firewallUnit = runUnit("etcd-firewall@.service", firewallService)

// FirewallOptions are what the unit depends on that lays down who may reach the member of one cluster on one host.
type FirewallOptions struct {
	Cluster   string // the instance of the unit
	Store     string // path of the program that it runs
	ConfigDir string // with what it goes by
	RunDir    string // directory below /run with its lock
}

// RenderFirewall is the unit's text.
func RenderFirewall(o FirewallOptions) (string, error) {
	err := checkProgram(o.Cluster, o.Store)
	for _, dir := range []string{o.ConfigDir, o.RunDir} {
		if err == nil && (!path.IsAbs(dir) || path.Clean(dir) != dir || strings.ContainsFunc(dir, special)) {
			err = fmt.Errorf("directory %q: give an absolute path in its shortest spelling", dir)
		}
	}
	var text strings.Builder
	if err == nil {
		err = firewallUnit.Execute(&text, struct {
			FirewallOptions
			Writes []string
			Hidden string
			RunDir string // as systemd names it, below /run
		}{o, []string{o.ConfigDir}, "", strings.TrimPrefix(o.RunDir, "/run/")})
	}
	if err != nil {
		return "", fmt.Errorf("render the unit of the firewall of cluster %s: %w", o.Cluster, err)
	}
	return text.String(), nil
}
