package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// ssh logs in to a host on this terminal, through the bastion where it is behind one.
func ssh(ctx context.Context, l *lab.Lab, host *lab.Host, program []string) error {
	known, err := knownHosts(l)
	if err != nil {
		return err
	}
	defer os.Remove(known)
	to := func(h *lab.Host) []string {
		return []string{"-i", l.KeyFile(), "-o", "IdentitiesOnly=yes", "-o", "UserKnownHostsFile=" + known,
			"-p", strconv.Itoa(h.Config.Port), "-l", h.Config.User}
	}
	args := to(host)
	if bastion := host.Bastion(); bastion != nil {
		jump := slices.Concat([]string{"ssh"}, to(bastion), []string{"-W", "[%h]:%p", bastion.Address()})
		args = append(args, "-o", "ProxyCommand="+strings.Join(jump, " "))
	}
	args = append(args, host.Address())
	return attached(l.Command(ctx, "ssh", append(args, program...)...))
}

// knownHosts writes the lab's host keys to a file of its own.
func knownHosts(l *lab.Lab) (string, error) {
	text, err := l.KnownHosts()
	if err != nil {
		return "", err
	}
	file, err := os.CreateTemp("", "known_hosts")
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(text)
	return file.Name(), errors.Join(err, file.Close())
}
