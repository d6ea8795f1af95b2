package bootstrap

import (
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// servesOther says at which ports a member serves a certificate that is not the one in its file. etcd reads its files at each
// handshake, so that such a member has to be restarted. Of a port that nobody has looked at, it says nothing.
func (c Cluster) servesOther(o api.Observation) (serves membership.Served) {
	for _, key := range []string{api.KeyPeer, api.KeyServer} {
		served, seen := o.Served[key]
		leaf, err := cert.ParseLeaf([]byte(o.Certificates[key].PEM))
		if !seen || err != nil || !o.Certificates[key].HasKey || served.SHA256 == cert.InfoOf(leaf).SHA256 {
			continue
		}
		*api.ForKey(key, &serves.Peers, &serves.Clients) = fmt.Sprintf("it serves the certificate with serial %s at its %s, and its file has the one with serial %s", served.Serial, c.PortOf(key), cert.InfoOf(leaf).SerialNumber)
	}
	return serves
}

// PortOf names the port that serves a key's certificate.
func (c Cluster) PortOf(key string) string {
	if key == api.KeyPeer {
		return fmt.Sprintf("peer port %d", c.PeerPort)
	}
	return fmt.Sprintf("client port %d", c.ClientPort)
}
