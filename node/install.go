package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// installScript reads a store's archive from stdin and installs it. Variables say which store it is.
//
//go:embed install.sh
var installScript string

// Install installs the store with this hash on the host for a run of a cluster, unless it is there already. The script
// receives, unpacks and verifies the archive beside its place and renames it. What has arrived of an upload that is cut
// off stays, and the next upload of the archive goes on from there. No run of another cluster removes the store before
// the cluster has selected it. Another machine than the target's refuses.
func (n *Node) Install(ctx context.Context, cluster, store string, target api.Target) error {
	archive, err := n.stores.Archive(store)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(archive)
	named := hex.EncodeToString(sum[:])
	variables := []string{
		"root=" + ssh.Quote(api.StoreRoot), "hash=" + ssh.Quote(store), "wanted=" + ssh.Quote(api.WantedStore(cluster, store)),
		"cluster=" + ssh.Quote(cluster), "archive=" + named, fmt.Sprintf("bytes=%d", len(archive)),
		fmt.Sprintf("silence=%d", int(api.LockSilence.Seconds())), "machine=" + ssh.Quote(target.MachineID), "booted=" + ssh.Quote(target.BootID),
	}
	script := strings.Join(variables, "\n") + "\n" + installScript
	resumed := resume(archive, named)
	defer close(resumed.over)
	if err := n.run(ctx, "install.sh", script, resumed, resumed); err != nil {
		return fmt.Errorf("upload the store: %w", err)
	}
	return nil
}

// resumed is an archive that is sent from where the host says that its part ends.
type resumed struct {
	archive []byte
	named   string        // its SHA-256
	line    []byte        // that the host has begun to say
	told    chan int      // how much the host has
	over    chan struct{} // is closed once nobody waits any more
	rest    *bytes.Reader // nil: the host has not said how much it has
}

func resume(archive []byte, named string) *resumed {
	return &resumed{archive: archive, named: named, told: make(chan int, 1), over: make(chan struct{})}
}

// Write reads what the host says, of which a login shell may have said more before.
func (r *resumed) Write(p []byte) (int, error) {
	for _, char := range p {
		if char != '\n' {
			if len(r.line) <= len(r.named)+20 { // no line that matters is longer
				r.line = append(r.line, char)
			}
			continue
		}
		has, isOurs := strings.CutPrefix(string(r.line), r.named+" has ")
		if r.line = nil; !isOurs {
			continue
		}
		bytes, err := strconv.Atoi(strings.TrimSpace(has))
		if err != nil || bytes < 0 || bytes > len(r.archive) {
			return 0, fmt.Errorf("the host says that it has %q of %d bytes", has, len(r.archive))
		}
		select {
		case r.told <- bytes:
		default: // it has said so already
		}
	}
	return len(p), nil
}

// Read returns what the host does not have, once the host has said what that is.
func (r *resumed) Read(p []byte) (int, error) {
	if r.rest == nil {
		select {
		case has := <-r.told:
			r.rest = bytes.NewReader(r.archive[has:])
		case <-r.over:
			return 0, io.EOF
		}
	}
	return r.rest.Read(p)
}
