package node

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// installScript reads a store's archive from stdin and installs it. Variables say which store it is.
//
//go:embed install.sh
var installScript string

// Install installs the store with this hash on the host for a run of a cluster, unless it is there already. The script
// unpacks and verifies the archive beside its place and renames it. An upload that is cut short leaves nothing. No run
// of another cluster removes the store before the cluster has selected it.
func (n *Node) Install(ctx context.Context, cluster, store string) error {
	archive, err := n.stores.Archive(store)
	if err != nil {
		return err
	}
	variables := []string{"root=" + ssh.Quote(api.StoreRoot), "hash=" + ssh.Quote(store), "wanted=" + ssh.Quote(api.WantedStore(cluster, store)), fmt.Sprintf("silence=%d", int(api.LockSilence.Seconds()))}
	script := strings.Join(variables, "\n") + "\n" + installScript
	if err := n.run(ctx, "install.sh", script, bytes.NewReader(archive), io.Discard); err != nil {
		return fmt.Errorf("upload the store: %w", err)
	}
	return nil
}
