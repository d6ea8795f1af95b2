package acctest

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
)

// TestPeersOfOtherClusters has a running cluster under load come to accept only peers with its common name, whose
// authority signs for other clusters too: before that, the peer port answers whatever the authority has signed for
// peers, and afterwards the cluster's own alone, while no acknowledged write is lost and the members go on.
func TestPeersOfOtherClusters(t *testing.T) {
	sample.Leave(t, "TestMembersRefuseOtherCommonNames and TestCreateDemandsPeersOfItsCluster are its like without booted hosts")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c", "d")})
	v := loadedBesideOthers(t, l, setup{at: on("a", "b", "c")})
	signs := authorityOf(v.workspace, "peer")
	v.write("root.crt", string(signs.CertificatePEM()))
	v.answerPeers(signs, map[string]bool{"prod peers": true, "staging peers": true, "a": true})

	named := "peer_common_name = \"prod peers\""
	v.change("peers get a common name", setup{at: on("a", "b", "c"), cluster: named})
	v.answerPeers(signs, map[string]bool{"prod peers": true, "staging peers": false, "a": false})
	v.change("replace a healthy member", setup{at: on("a", "b", "c@d"), cluster: named})
	v.check(besideOthers)
}

// authorityOf is one of the two authorities of etcd_pki, "peer" or "client", with its key.
func authorityOf(w *workspace, kind string) *pki.Authority {
	w.t.Helper()
	attributes, _ := w.state("etcd_pki.prod")
	pair := attributes["authority"].(map[string]any)[kind].(map[string]any)
	authority, err := pki.ParseAuthority([]byte(pair["certificate"].(string)), []byte(pair["private_key"].(string)), time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return authority
}

// answerPeers has the peer port of every member answer certificates for peers with these common names, or refuse them.
func (v *underLoad) answerPeers(signs *pki.Authority, answers map[string]bool) {
	v.t.Helper()
	for name, opens := range answers {
		peer, err := signs.NewLeaf(v.t.Context(), pki.Request{Profile: pki.Peer, CommonName: name, IPs: []netip.Addr{netip.MustParseAddr(operator)}}, pki.ECDSAP256, time.Now())
		if err != nil {
			v.t.Fatal(err)
		}
		key, err := peer.PrivateKeyPEM()
		if err != nil {
			v.t.Fatal(err)
		}
		v.write("peer.crt", string(peer.CertificatePEM()))
		v.write("peer.key", string(key))
		for _, h := range v.lab.Hosts[:3] {
			if answered, output := v.answersPeer(h); answered != opens {
				v.t.Errorf("%s answers a peer with the common name %s: %t\n%s", h.Config.Name, name, answered, output)
			}
		}
	}
}

// answersPeer asks the peer port of a member with the certificate in peer.crt.
func (v *underLoad) answersPeer(h *lab.Host) (bool, string) {
	ctx, cancel := context.WithTimeout(v.t.Context(), time.Minute)
	defer cancel()
	file := func(name string) string { return filepath.Join(v.dir, name) }
	command := v.lab.Command(ctx, "openssl", "s_client", "-quiet", "-connect", h.Address()+":2380", "-tls1_2", "-CAfile", file("root.crt"), "-cert", file("peer.crt"), "-key", file("peer.key"))
	command.Stdin = strings.NewReader("GET /version HTTP/1.0\r\n\r\n")
	output, err := command.CombinedOutput() // it ends as the connection does
	return strings.Contains(string(output), `"etcdserver"`), fmt.Sprintf("%s%v", output, err)
}
