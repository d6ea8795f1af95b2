// Package node is one host as the provider sees it: it reaches the host over SSH, installs the store on it, and calls
// the store. Only the first contact and the upload use a shell; all else is a typed call to the store.
package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// Node is one host. Its methods may be called from several goroutines. They all use one SSH connection, which the pool
// opens with the first of them and keeps.
type Node struct {
	pool   *ssh.Pool
	target ssh.Target
	sudo   sudo
	stores Stores
	looks  bool // the caller goes on without an answer
}

// Stores finds the archive of a store by the SHA-256 of its binary, in hexadecimal.
type Stores interface {
	Archive(sha256 string) (gzip []byte, err error)
}

// New returns the host that target reaches. sudoPassword is for a user who is not root and needs a password for sudo;
// it may be empty.
func New(pool *ssh.Pool, target ssh.Target, sudoPassword secret.Text, stores Stores) *Node {
	return &Node{pool: pool, target: target, sudo: sudo{password: sudoPassword}, stores: stores}
}

// Briefly returns the same host for a caller that goes on without its answer. If the host cannot be reached, calls soon
// give up, and do not try again for a while.
func (n *Node) Briefly() *Node {
	brief := *n
	brief.looks = true
	return &brief
}

// exitNoStore is the exit status by which callLine's shell says that there is no store to call.
const exitNoStore = 97

// Call makes one call on a store of the host: the one with this hash, or, if store is empty, the one that the cluster
// selects. A call that a lost connection cuts off may still take effect on the host: the store finishes what it has
// begun, and the next call waits for that.
func (n *Node) Call(ctx context.Context, store string, request api.Request, result any) error {
	return n.exchange(ctx, store, request, nil, &answer{}, result)
}

// Upload makes a call, and sends content after the request.
func (n *Node) Upload(ctx context.Context, store string, request api.Request, content io.Reader, result any) error {
	return n.exchange(ctx, store, request, content, &answer{}, result)
}

// Download makes a call, and writes the content of the answer as it arrives. After an error the content is of no use
// but to a call that asks for the rest.
func (n *Node) Download(ctx context.Context, store string, request api.Request, content io.Writer, result any) error {
	return n.exchange(ctx, store, request, nil, &answer{content: content}, result)
}

// exchange makes a call; content may be nil.
func (n *Node) exchange(ctx context.Context, store string, request api.Request, content io.Reader, answer *answer, result any) error {
	request.Beats = content == nil // arriving content shows that the caller is alive
	line, err := encode(request)
	if err != nil {
		return err
	}
	var stdin io.Reader
	if content != nil {
		stdin = io.MultiReader(strings.NewReader(line), content)
	} else {
		speaking, silence := speak(line)
		defer silence()
		stdin = speaking
	}
	err = n.run(ctx, "store call", callLine(store, request.Cluster), stdin, answer)
	return n.outcome(answer, request.Operation, err, result)
}

// outcome returns the result of a call: the store's own error if there is one, and otherwise how the call ended.
func (n *Node) outcome(answer *answer, op api.Operation, ended error, result any) error {
	last, err := answer.last()
	switch {
	case last.Error != nil:
		return last.Error
	case isExit(ended, exitNoStore):
		return &api.Error{Code: api.CodeNoStore, Message: "there is no store on it to call"}
	case ended != nil:
		return fmt.Errorf("call %s: %w", op, ended)
	case err != nil:
		return fmt.Errorf("call %s: %w", op, err)
	case result == nil:
		return nil
	}
	if err := json.Unmarshal(last.Result, result); err != nil {
		return fmt.Errorf("call %s: result cannot be read: %w", op, err)
	}
	return nil
}

// run runs a shell script as root on the host. Errors call the script by name.
func (n *Node) run(ctx context.Context, name, script string, stdin io.Reader, stdout io.Writer) error {
	client, err := n.connect(ctx)
	if err != nil {
		return barred(err)
	}
	line, stdin := n.sudo.wrap(script, stdin)
	err = client.Run(ctx, ssh.Command{Name: name, Line: line, Stdin: stdin, Stdout: stdout})
	return barred(n.sudo.explain(n.target.User, err))
}

// connect returns the connection to the host.
func (n *Node) connect(ctx context.Context) (*ssh.Client, error) {
	if n.looks {
		return n.pool.Look(ctx, n.target)
	}
	return n.pool.Connect(ctx, n.target)
}

// callLine returns the shell line that passes a call to a store.
func callLine(store, cluster string) string {
	binary := api.SelectedStore(cluster) + "/store"
	if store != "" {
		binary = api.InstalledStore(store)
	}
	quoted := ssh.Quote(binary)
	return fmt.Sprintf("[ -x %s ] || exit %d; exec %s call", quoted, exitNoStore, quoted)
}

// encode returns a request as the one line that the store reads.
func encode(request api.Request) (string, error) {
	line, err := json.Marshal(request)
	if err != nil {
		return "", fmt.Errorf("encode the request %s: %w", request.Operation, err)
	}
	return string(line) + "\n", nil
}

// isExit tells whether a command ended by itself with this status.
func isExit(err error, status int) bool {
	var exit *ssh.ExitError
	return errors.As(err, &exit) && exit.Status == status
}
