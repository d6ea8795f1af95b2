// Command labctl boots and drives a lab from the shell; `labctl help` lists what it can do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

const usage = `labctl boots real hosts on this machine, as root, in a network that nothing leads out of.

  labctl up [-hosts N]             boot hosts a, b, c, ...; they run until labctl down
      -user NAME  -port N          who logs in (default root), where sshd listens (22)
      -device SIZE                 give each a disk of its own, /dev/sdb, of 500M, 1G, ...
      -bastion                     put one more host in front, the only way to the others' sshd
  labctl down                      end them; nothing is left, also where there were none
  labctl status                    what there is, as JSON
  labctl tfvars                    the same as variables for terraform: private_key_file, hosts

  labctl ssh HOST [PROGRAM ...]    log in as the user, or run a program
  labctl run HOST PROGRAM ...      run a program as root, past sshd and network
  labctl cat HOST FILE             print a file, also of a host that is off
  labctl exec PROGRAM ...          run a program of this machine in the lab's network

  labctl reboot HOST               from inside, in order
  labctl power-off HOST            cut its power; labctl power-on HOST boots it again
  labctl cut HOST                  take it off the network; labctl join HOST puts it back
  labctl throttle HOST [RATE]      limit what it receives to 8mbit, ...; without RATE: no more
  labctl wipe HOST                 boot it from a fresh image with a fresh disk
  labctl wipe-new-key HOST         and with another host key: another machine at its addresses

  labctl image                     make the image that hosts boot from, unless it is there
  labctl packages                  the Debian packages that a machine needs for all this

All take -name LAB after the verb, before their arguments, for another lab than "demo".
`

func main() {
	lab.Main()
	// The first Ctrl-C ends what is going on in order: a lab that is half up goes down again.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := do(ctx, os.Args[1:])
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit) && exit.Exited():
		fmt.Fprintln(os.Stderr, "labctl:", err)
		os.Exit(exit.ExitCode())
	default:
		fmt.Fprintln(os.Stderr, "labctl:", err)
		os.Exit(1)
	}
}

func do(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("do what? labctl help tells")
	}
	verb := args[0]
	switch verb {
	case "help", "-h", "--help":
		fmt.Print(usage)
		return nil
	case "packages":
		fmt.Println(strings.Join(lab.Packages(), " "))
		return nil
	case "image":
		return lab.MakeImage(ctx)
	}
	onLab, onHost := labVerbs[verb], hostVerbs[verb]
	if verb != "up" && onLab == nil && onHost == nil {
		return fmt.Errorf("there is no verb %q; labctl help lists them", verb)
	}
	var config wanted
	flags := flag.NewFlagSet("labctl "+verb, flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	name := flags.String("name", "demo", "the lab's name")
	if verb == "up" {
		config.declare(flags)
	}
	if err := flags.Parse(args[1:]); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	rest := flags.Args()
	if verb == "up" {
		return config.up(ctx, *name, rest)
	}
	l, err := lab.Open(*name)
	if errors.Is(err, lab.ErrNoLab) && verb == "down" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: labctl up -name %s boots one", err, *name)
	}
	if onLab != nil {
		return onLab(ctx, l, rest)
	}
	if len(rest) == 0 {
		return fmt.Errorf("%s which host? There are %s", verb, hosts(l))
	}
	for _, h := range l.Hosts {
		if h.Config.Name == rest[0] {
			return onHost(ctx, l, h, rest[1:])
		}
	}
	return fmt.Errorf("there is no host %q: there are %s", rest[0], hosts(l))
}
