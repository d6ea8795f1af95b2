package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
		"ssh":          ssh,
		"run":          run,
		"cat":          cat,
		"reboot":       func(ctx context.Context, _ *lab.Lab, h *lab.Host, _ []string) error { return h.Reboot(ctx) },
		"power-off":    func(_ context.Context, _ *lab.Lab, h *lab.Host, _ []string) error { return h.PowerOff() },
		"power-on":     func(ctx context.Context, _ *lab.Lab, h *lab.Host, _ []string) error { return h.PowerOn(ctx) },
		"cut":          func(_ context.Context, _ *lab.Lab, h *lab.Host, _ []string) error { return h.Cut() },
		"join":         func(_ context.Context, _ *lab.Lab, h *lab.Host, _ []string) error { return h.Join() },
		"throttle":     throttle,
		"wipe":         func(ctx context.Context, _ *lab.Lab, h *lab.Host, _ []string) error { return h.Wipe(ctx) },
		"wipe-new-key": func(ctx context.Context, _ *lab.Lab, h *lab.Host, _ []string) error { return h.WipeWithNewKey(ctx) },
	}
)

// hosts returns the names of a lab's hosts.
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
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return errors.New("run which program?")
	}
	command, err := h.Command(ctx, args...)
	if err != nil {
		return err
	}
	return attached(command)
}

func cat(_ context.Context, _ *lab.Lab, h *lab.Host, args []string) error {
	if len(args) != 1 {
		return errors.New("cat which file?")
	}
	text, err := h.ReadFile(args[0])
	fmt.Print(text)
	return err
}

func throttle(_ context.Context, _ *lab.Lab, h *lab.Host, args []string) error {
	switch len(args) {
	case 0:
		return h.Unthrottle()
	case 1:
		return h.Throttle(args[0])
	}
	return errors.New("throttle to which one rate?")
}

// attached runs a program on this terminal.
func attached(command *exec.Cmd) error {
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	return command.Run()
}
