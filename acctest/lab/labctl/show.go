package main

import (
	"encoding/json"
	"os"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// status prints what a script needs to know of a lab.
func status(l *lab.Lab) error {
	type host struct {
		Name, Address, Address6, User, HostKey string
		Port                                   int
		On                                     bool
	}
	shown := struct {
		Name, Namespace, KeyFile string
		Hosts                    []host
	}{Name: l.Name, Namespace: l.Namespace(), KeyFile: l.KeyFile()}
	for _, h := range l.Hosts {
		key, err := h.HostKey()
		if err != nil {
			return err
		}
		shown.Hosts = append(shown.Hosts, host{h.Config.Name, h.Address(), h.Address6(), h.Config.User, key, h.Config.Port, h.On()})
	}
	return show(shown)
}

// tfvars prints the hosts as a configuration takes them: by name, each with address and host key.
func tfvars(l *lab.Lab) error {
	hosts := map[string]map[string]any{}
	for _, h := range l.Hosts {
		key, err := h.HostKey()
		if err != nil {
			return err
		}
		hosts[h.Config.Name] = member(h.Config, h.Address(), key)
	}
	return show(map[string]any{"private_key_file": l.KeyFile(), "hosts": hosts})
}

// member is a host as a configuration takes it. It says how to log in where that is not as root on port 22.
func member(config lab.HostConfig, address, key string) map[string]any {
	m := map[string]any{"address": address, "host_key": key}
	if config.User != "root" {
		m["ssh_user"] = config.User
	}
	if config.Port != 22 {
		m["ssh_port"] = config.Port
	}
	return m
}

// show prints a value as JSON.
func show(value any) error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
