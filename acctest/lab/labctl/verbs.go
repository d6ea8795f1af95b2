package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// labVerbs are done to a lab, hostVerbs to one of its hosts.
var (
	labVerbs = map[string]func(ctx context.Context, l *lab.Lab, args []string) error{
		"down":   func(_ context.Context, l *lab.Lab, _ []string) error { return l.Down() },
		"status": func(_ context.Context, l *lab.Lab, _ []string) error { return status(l) },
		"tfvars": func(_ context.Context, l *lab.Lab, _ []string) error { return tfvars(l) },
		"exec":   execute,
	}
	hostVerbs = map[string]func(ctx context.Context, l *lab.Lab, h *lab.Host, args []string) error{
		"ssh":       ssh,
		"run":       run,
		"cat":       cat,
		"reboot":    func(ctx context.Context, _ *lab.Lab, h *lab.Host, _ []string) error { return h.Reboot(ctx) },
		"power-off": func(_ context.Context, _ *lab.Lab, h *lab.Host, _ []string) error { return h.PowerOff() },
		"power-on":  func(ctx context.Context, _ *lab.Lab, h *lab.Host, _ []string) error { return h.PowerOn(ctx) },
		"cut":       func(_ context.Context, _ *lab.Lab, h *lab.Host, _ []string) error { return h.Cut() },
		"join":      func(_ context.Context, _ *lab.Lab, h *lab.Host, _ []string) error { return h.Join() },
		"wipe":      func(ctx context.Context, _ *lab.Lab, h *lab.Host, _ []string) error { return h.Wipe(ctx) },
	}
)

// hosts are the names of a lab's hosts.
func hosts(l *lab.Lab) string {
	var names []string
	for _, h := range l.Hosts {
		names = append(names, h.Config.Name)
	}
	return strings.Join(names, ", ")
}

func execute(ctx context.Context, l *lab.Lab, args []string) error {
	if len(args) == 0 {
		return errors.New("exec which program?")
	}
	return attached(l.Command(ctx, args[0], args[1:]...))
}

func run(ctx context.Context, _ *lab.Lab, h *lab.Host, args []string) error {
	if len(args) == 0 {
		return errors.New("run which program?")
	}
	text, err := h.Run(ctx, args...)
	fmt.Print(text)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit // what the program had to say has been printed
	}
	return err
}

func cat(_ context.Context, _ *lab.Lab, h *lab.Host, args []string) error {
	if len(args) != 1 {
		return errors.New("cat which file?")
	}
	text, err := h.ReadFile(args[0])
	fmt.Print(text)
	return err
}

func ssh(ctx context.Context, l *lab.Lab, h *lab.Host, args []string) error {
	key, err := h.HostKey()
	if err != nil {
		return err
	}
	known, err := os.CreateTemp("", "known_hosts")
	if err != nil {
		return err
	}
	defer os.Remove(known.Name())
	if _, err := fmt.Fprintf(known, "lab-host %s\n", key); err != nil {
		return err
	}
	options := []string{"-i", l.KeyFile(), "-p", strconv.Itoa(h.Config.Port), "-o", "UserKnownHostsFile=" + known.Name(),
		"-o", "HostKeyAlias=lab-host", "-o", "IdentitiesOnly=yes", h.Config.User + "@" + h.Address()}
	return attached(l.Command(ctx, "ssh", append(options, args...)...))
}

// attached runs a program on this terminal.
func attached(command *exec.Cmd) error {
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	return command.Run()
}
