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
	hosts := map[string]map[string]string{}
	for _, h := range l.Hosts {
		key, err := h.HostKey()
		if err != nil {
			return err
		}
		hosts[h.Config.Name] = map[string]string{"address": h.Address(), "host_key": key}
	}
	return show(map[string]any{"private_key_file": l.KeyFile(), "hosts": hosts})
}

// show prints a value as JSON.
func show(value any) error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
