package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// wanted is the lab that the flags of up ask for.
type wanted struct {
	hosts, port int
	device      size
	user        string
	bastion     bool
}

func (w *wanted) declare(flags *flag.FlagSet) {
	flags.IntVar(&w.hosts, "hosts", 3, "how many hosts, 1 to 26")
	flags.StringVar(&w.user, "user", "root", "who logs in to them")
	flags.IntVar(&w.port, "port", 22, "where their sshd listens")
	flags.Var(&w.device, "device", "size of a disk for each, such as 500M or 1G")
	flags.BoolVar(&w.bastion, "bastion", false, "put a bastion in front")
}

// up boots the lab, which stays until labctl down.
func (w *wanted) up(ctx context.Context, name string, rest []string) error {
	if len(rest) > 0 {
		return fmt.Errorf("up takes no arguments, but flags: what is %q?", rest[0])
	}
	const letters = "abcdefghijklmnopqrstuvwxyz"
	if w.hosts < 1 || w.hosts > len(letters) {
		return fmt.Errorf("-hosts %d: hosts are called a to z, so there are 1 to %d", w.hosts, len(letters))
	}
	config := lab.Config{Name: name, Bastion: w.bastion, Detached: true}
	for _, letter := range letters[:w.hosts] {
		config.Hosts = append(config.Hosts, lab.HostConfig{Name: string(letter), User: w.user, Port: w.port, DeviceBytes: int64(w.device)})
	}
	_, err := lab.Up(ctx, config)
	return err
}
