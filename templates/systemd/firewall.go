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
}

// RenderFirewall is the unit's text.
func RenderFirewall(o FirewallOptions) (string, error) {
	err := checkProgram(o.Cluster, o.Store)
	if err == nil && (!path.IsAbs(o.ConfigDir) || path.Clean(o.ConfigDir) != o.ConfigDir || strings.ContainsFunc(o.ConfigDir, special)) {
		err = fmt.Errorf("directory %q: give an absolute path in its shortest spelling", o.ConfigDir)
	}
	var text strings.Builder
	if err == nil {
		err = firewallUnit.Execute(&text, struct {
			FirewallOptions
			Writes []string
			Hidden string
		}{o, []string{o.ConfigDir}, ""})
	}
	if err != nil {
		return "", fmt.Errorf("render the unit of the firewall of cluster %s: %w", o.Cluster, err)
	}
	return text.String(), nil
}
