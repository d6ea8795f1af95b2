// Command labctl boots and drives a lab from the shell; `labctl help` lists what it can do.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

const usage = `labctl VERB [flags] [arguments]

  up        boot a lab: -hosts N (a, b, c, ...), -user NAME, -port N, -bastion, -device BYTES
  down      end it; nothing of it is left
  status    what there is, as JSON
  tfvars    the same as variables of a configuration: private_key_file, hosts
  run       run a program on a host as root:      labctl run HOST PROGRAM ...
  cat       print a file of a host:               labctl cat HOST PATH
  ssh       log in to a host, or run a program:   labctl ssh HOST [PROGRAM ...]
  exec      run a program of this machine in the lab's network: labctl exec PROGRAM ...
  reboot, power-off, power-on, cut, join, wipe    labctl VERB HOST

Every verb takes -name LAB (default demo).
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := do(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "labctl:", err)
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			os.Exit(exit.ExitCode())
		}
		os.Exit(1)
	}
}

func do(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "help" {
		fmt.Print(usage)
		return nil
	}
	verb := args[0]
	flags := flag.NewFlagSet("labctl "+verb, flag.ContinueOnError)
	name := flags.String("name", "demo", "the lab's name")
	hosts := flags.Int("hosts", 3, "how many hosts")
	user := flags.String("user", "root", "who logs in to them")
	port := flags.Int("port", 22, "where their sshd listens")
	device := flags.Int64("device", 0, "size of a block device for each, in bytes")
	bastion := flags.Bool("bastion", false, "put a bastion in front")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if verb == "up" {
		config := lab.Config{Name: *name, Bastion: *bastion, Detached: true}
		for i := range *hosts {
			config.Hosts = append(config.Hosts, lab.HostConfig{Name: string(rune('a' + i)), User: *user, Port: *port, DeviceBytes: *device})
		}
		_, err := lab.Up(ctx, config)
		return err
	}
	l, err := lab.Open(*name)
	if err != nil {
		return err
	}
	switch rest := flags.Args(); verb {
	case "down":
		return l.Down()
	case "status":
		return status(l)
	case "tfvars":
		return tfvars(l)
	case "exec":
		if len(rest) == 0 {
			return errors.New("exec what?")
		}
		return attached(l.Command(ctx, rest[0], rest[1:]...))
	default:
		if len(rest) == 0 {
			return fmt.Errorf("%s which host?", verb)
		}
		host, err := find(l, rest[0])
		if err != nil {
			return err
		}
		return onHost(ctx, l, host, verb, rest[1:])
	}
}

// onHost does what a verb does to one host.
func onHost(ctx context.Context, l *lab.Lab, host *lab.Host, verb string, args []string) error {
	switch verb {
	case "run":
		text, err := host.Run(ctx, args...)
		fmt.Print(text)
		return err
	case "cat":
		if len(args) != 1 {
			return errors.New("cat which file?")
		}
		text, err := host.ReadFile(args[0])
		fmt.Print(text)
		return err
	case "ssh":
		key, err := host.HostKey()
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
		ssh := []string{"-i", l.KeyFile(), "-p", strconv.Itoa(host.Config.Port), "-o", "UserKnownHostsFile=" + known.Name(),
			"-o", "HostKeyAlias=lab-host", "-o", "IdentitiesOnly=yes", host.Config.User + "@" + host.Address()}
		return attached(l.Command(ctx, "ssh", append(ssh, args...)...))
	case "reboot":
		return host.Reboot(ctx)
	case "power-off":
		return host.PowerOff()
	case "power-on":
		return host.PowerOn(ctx)
	case "cut":
		return host.Cut()
	case "join":
		return host.Join()
	case "wipe":
		return host.Wipe(ctx)
	}
	return fmt.Errorf("there is no verb %q\n\n%s", verb, usage)
}

func find(l *lab.Lab, name string) (*lab.Host, error) {
	var names []string
	for _, h := range l.Hosts {
		if h.Config.Name == name {
			return h, nil
		}
		names = append(names, h.Config.Name)
	}
	return nil, fmt.Errorf("there is no host %q: there are %s", name, strings.Join(names, ", "))
}

// attached runs a program on this terminal.
func attached(command *exec.Cmd) error {
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	return command.Run()
}

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
