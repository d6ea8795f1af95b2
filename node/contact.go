package node

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// contactScript prints one line for each fact: KEY VALUE. Variables say what it looks at.
//
//go:embed contact.sh
var contactScript string

// Contact reads what can be read before any store is on the host. It changes nothing.
func (n *Node) Contact(ctx context.Context, cluster string, ask api.ObserveRequest) (api.Contact, error) {
	variables := []string{
		"root=" + ssh.Quote(api.StoreRoot),
		"marker=" + ssh.Quote(api.MarkerFile(cluster)),
		"data=" + ssh.Quote(ask.DataDir),
		"units=" + ssh.Quote(path.Dir(api.UnitFile(cluster))),
		"ports=" + ssh.Quote(hexadecimal(ask.Ports)),
	}
	// A run makes calls beside the lock that it holds. Only while one session is open can Contact tell whether sshd
	// opens another, and a fast host may have closed the first one by then. Lock checks this too.
	var spare error
	stdout := report{begins: func() { spare = n.hasSpare(ctx) }}
	if err := n.run(ctx, "contact.sh", withInventory(ask.Inventory)+strings.Join(variables, "\n")+"\n"+contactScript, nil, &stdout); err != nil {
		if errors.Is(err, ssh.ErrNoSession) {
			err = fmt.Errorf("%w: %w", api.ErrNotAsked, err)
		}
		return api.Contact{}, fmt.Errorf("first contact: %w", n.explainShell(stdout.String(), err))
	}
	contact, err := parseContact(stdout.String(), ask.Ports, ask.Inventory...)
	if err != nil {
		return api.Contact{}, &api.Barred{Barrier: api.BarrierProgram, Err: fmt.Errorf("first contact: %w", err)}
	}
	contact = ofCluster(contact, cluster)
	contact.OneSession = errors.Is(spare, ssh.ErrOneSession)
	return contact, nil
}

// longestContact bounds the answer to a first contact, in bytes. Most of an answer is a line for each port on which
// something listens.
const longestContact = 4 << 20

// report keeps a host's answer to a first contact.
type report struct {
	bytes.Buffer
	begins func() // is called before the first bytes are kept, once
}

func (r *report) Write(p []byte) (int, error) {
	if r.Len()+len(p) > longestContact {
		return 0, fmt.Errorf("the host has answered more than %d MiB, which is not what was asked", longestContact>>20)
	}
	if r.begins != nil {
		r.begins()
		r.begins = nil
	}
	return r.Buffer.Write(p)
}

// explainShell explains the error of a first contact that ended before the script began: the login shell may run no
// commands.
func (n *Node) explainShell(printed string, err error) error {
	var exit *ssh.ExitError
	if !errors.As(err, &exit) || exit.Status == exitNoSudo || strings.Contains(exit.Stderr, "sudo:") || strings.Contains("\n"+printed, "\nkernel ") {
		return err
	}
	said := ""
	if first := firstLine(strings.TrimSpace(printed)); first != "" {
		said = fmt.Sprintf(", and printed %.200q", first)
	}
	return fmt.Errorf("%w%s: the login shell of user %s ran no command: give the user a shell that does (chsh -s /bin/sh), or log in as another one (ssh.user)", err, said, n.target.User)
}

// parseContact reads the script's output. Of the ports on which something listens it keeps those in ports. The
// inventory is for paths; it is nil if there are none.
func parseContact(output string, ports []int, paths ...string) (api.Contact, error) {
	var c api.Contact
	if len(paths) > 0 {
		c.Inventory = newInventory(paths)
	}
	root, complete := api.StoreRoot, false
	told := map[string]string{}
	for line := range strings.Lines(output) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch key {
		case "kernel", "machine", "time", "init", "machine-id", "boot-id", "no-user-namespaces", "first-port", "read-only", "noexec", "free-kib", "data-free-kib", "root", "marker", "data", "end",
			"systemd", "memory-kib", "swap-kib", "cpus", "synchronized", "huge-pages", "cgroup", "selinux":
			// Each of these facts is printed once. If one comes twice, something else prints lines too.
			if first, again := told[key]; again {
				return c, fmt.Errorf("the host's shell said %s twice, %.80q and %.80q: does its login shell print something of its own, or a user of the host?", key, first, value)
			}
			told[key] = value
		}
		switch key {
		case "kernel":
			c.Kernel = value
		case "machine":
			c.Machine = value
		case "time":
			seconds, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return c, fmt.Errorf("the host's time reads %q, which is no number", value)
			}
			c.Time = time.Unix(seconds, 0).UTC()
		case "init":
			c.Systemd = value == "systemd"
		case "machine-id":
			c.MachineID = value
		case "boot-id":
			c.BootID = value
		case "missing":
			c.Missing = append(c.Missing, value)
		case "no-user-namespaces":
			c.NoUserNamespaces = true
		case "first-port":
			port, err := strconv.Atoi(value)
			if err != nil {
				return c, fmt.Errorf("the first port that users may bind reads %q, which is no number", value)
			}
			c.FirstPort = max(port, 1)
		case "read-only":
			c.ReadOnly = true
		case "noexec":
			c.NoExec = true
		case "unwritable":
			if !slices.Contains(c.Unwritable, value) {
				c.Unwritable = append(c.Unwritable, value)
			}
		case "free-kib":
			kib, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return c, fmt.Errorf("free space reads %q, which is no number", value)
			}
			c.FreeBytes = kib << 10
		case "data-free-kib":
			kib, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return c, fmt.Errorf("free space for the data reads %q, which is no number", value)
			}
			c.DataFreeBytes = max(kib<<10, 1)
		case "installed":
			c.Installed = append(c.Installed, value)
		case "marker":
			c.Marker, c.MarkerError = parseMarker(value)
		case "data":
			c.DataNotEmpty = true
		case "listen":
			port, err := strconv.ParseInt(value, 16, 32)
			if err == nil && slices.Contains(ports, int(port)) && !slices.Contains(c.Listening, int(port)) {
				c.Listening = append(c.Listening, int(port))
			}
		case "holder":
			if port, who := parseHolder(value); slices.Contains(ports, port) {
				if c.Holders == nil {
					c.Holders = map[int]string{}
				}
				c.Holders[port] = who
			}
		case "root":
			root = value // its resolved path, by which the kernel names programs
		case "etcd":
			if !strings.HasPrefix(value, api.StoreRoot+"/") && !strings.HasPrefix(value, root+"/") && !slices.Contains(c.ForeignEtcd, value) {
				c.ForeignEtcd = append(c.ForeignEtcd, value)
			}
		case "end":
			complete = true
		default:
			if c.Inventory != nil {
				takeInventory(c.Inventory, key, value)
			}
		}
	}
	if !complete {
		return c, fmt.Errorf("the host's shell answered %.200q, which is not what was asked: does its login shell print something of its own?", firstLine(output))
	}
	slices.Sort(c.Listening)
	slices.Sort(c.Installed)
	return c, nil
}

// hexadecimal spells ports as the kernel does.
func hexadecimal(ports []int) string {
	var words []string
	for _, port := range ports {
		words = append(words, fmt.Sprintf("%04X", port))
	}
	return strings.Join(words, " ")
}

// parseHolder reads which process listens on a port: its name, which the process itself has set, and its ID.
func parseHolder(value string) (port int, who string) {
	hexPort, rest, _ := strings.Cut(value, " ")
	pid, name, _ := strings.Cut(rest, " ")
	number, err := strconv.ParseInt(hexPort, 16, 32)
	if _, bad := strconv.Atoi(pid); err != nil || bad != nil {
		return 0, ""
	}
	name = strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) && r != utf8.RuneError {
			return r
		}
		return '?'
	}, name)
	return int(number), fmt.Sprintf("%.40s, process %s", cmp.Or(name, "a program"), pid)
}

// parseMarker decodes a marker, or returns why it cannot.
func parseMarker(encoded string) (*api.Marker, string) {
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err == nil {
		var marker api.Marker
		if err = json.Unmarshal(text, &marker); err == nil {
			return &marker, ""
		}
	}
	return nil, fmt.Sprintf("its cluster.json cannot be read (%s): something else has written it; find out what before this host is used", err)
}

// ofCluster takes a marker of another cluster for none that can be read, as the store does: it is in this one's place.
func ofCluster(c api.Contact, cluster string) api.Contact {
	if c.Marker != nil && c.Marker.Cluster != cluster {
		c.MarkerError = fmt.Sprintf("its cluster.json is of cluster %q: something else has written it; find out what before this host is used", c.Marker.Cluster)
		c.Marker = nil
	}
	return c
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
