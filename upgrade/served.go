package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// servedStall bounds the wait for a member that is to serve new certificates. etcd reads them at the next handshake, so that the
// first look finds them.
const servedStall = 10 * time.Second

// errServesOther is the error of a member that goes on serving what it served. It ends the run: what other members would make of
// their new certificates is not known.
var errServesOther = errors.New("no other member gets new certificates before it is known why")

// mustServe waits until a member's ports are seen to serve these certificates, by its host connecting to them.
func (r *changeRun) mustServe(ctx context.Context, m membership.Member, issued map[string]string, learner bool) error {
	want, serials := map[string]string{}, map[string]string{}
	for _, key := range []string{api.KeyPeer, api.KeyServer} {
		leaf, err := cert.ParseLeaf([]byte(issued[key]))
		if err != nil {
			return fmt.Errorf("read the new %s certificate: %w", key, err)
		}
		info := cert.InfoOf(leaf)
		want[key], serials[key] = info.SHA256, info.SerialNumber
	}
	o, err := ask[api.Observation](ctx, r.run, m, api.OpAwait, api.AwaitRequest{ObserveRequest: r.Cluster.Ask(), Learner: learner, Serving: want, Timeout: servedStall})
	if err != nil {
		return fmt.Errorf("see whether it serves its new certificates: %w", err)
	}
	if api.ServesAll(o.Served, want) {
		return nil
	}
	if o.Served == nil && o.Unit.ActiveState == "active" {
		r.say(fmt.Sprintf("%s: its store does not tell which certificates the member serves", m))
		return nil
	}
	var wrong []string
	for _, key := range []string{api.KeyPeer, api.KeyServer} {
		if o.Served[key].SHA256 == want[key] {
			continue
		}
		was := "shows no certificate"
		if served, shown := o.Served[key]; shown {
			was = "goes on serving the certificate with serial " + served.Serial
		}
		wrong = append(wrong, fmt.Sprintf("its %s %s, and its file has the new one with serial %s", r.Cluster.PortOf(key), was, serials[key]))
	}
	return fmt.Errorf("%s; %w: see journalctl -u etcd@%s on its host, and plan again: the plan restarts a member that serves another certificate than its file has",
		strings.Join(wrong, "; "), errServesOther, r.Cluster.Name)
}
