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

// installScript reads a store's archive on stdin and puts it in place. It is told which by variables.
//
//go:embed install.sh
var installScript string

// Install puts the store with this hash on the host for a run of a cluster, unless it is there. The archive is unpacked
// and verified beside its place and renamed into it; an upload that is cut short leaves nothing. No run of another
// cluster removes the store before the cluster has selected it.
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
