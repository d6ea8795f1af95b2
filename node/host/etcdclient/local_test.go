package etcdclient

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestOnlyAPairThatDoesNotMatchIsReadAgain holds that looking at a host without keys takes no time: no renewal deletes
// a key.
func TestOnlyAPairThatDoesNotMatchIsReadAgain(t *testing.T) {
	for name, test := range map[string]struct {
		there []string // of the two files
		waits bool
		is    error
	}{
		"nothing is there":       {nil, false, fs.ErrNotExist},
		"the certificate alone":  {[]string{api.CertificateFile("main", api.KeyPeer)}, false, fs.ErrNotExist},
		"the key alone":          {[]string{api.KeyFile("main", api.KeyPeer)}, false, fs.ErrNotExist},
		"two that match nothing": {[]string{api.CertificateFile("main", api.KeyPeer), api.KeyFile("main", api.KeyPeer)}, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := Local{Root: t.TempDir(), Marker: api.Marker{Cluster: "main"}}
			for _, path := range test.there {
				if err := errors.Join(os.MkdirAll(filepath.Dir(l.path(path)), 0o700), os.WriteFile(l.path(path), []byte("half"), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now() // of the bubble: only a sleep moves its clock
				_, err := l.identify(api.KeyPeer, api.PeerCAFile("main"))
				if err == nil || test.is != nil && !errors.Is(err, test.is) {
					t.Errorf("it says %v", err)
				}
				if waits := !time.Now().Equal(begun); waits != test.waits {
					t.Errorf("it waits: %t", waits)
				}
			})
		})
	}
}
