package acctest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup/s3test"
)

// storageIn is a real S3 server in a lab's network, that takes connections.
func storageIn(t *testing.T, l *lab.Lab, o s3test.Options) *s3test.Server {
	t.Helper()
	o.Address, o.Wrap = "192.0.2.1:9000", []string{"ip", "netns", "exec", l.Namespace()}
	storage := s3test.Start(t, o)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		conn, err := l.Dial(t.Context(), "tcp", storage.Address)
		if err == nil {
			conn.Close()
			return storage
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestSnapshotsThroughS3 has a host upload a snapshot to a real S3 server, and every host download it for a restore.
// Wrong credentials and an object that is not there end it before any member is stopped, and the secret is nowhere
// afterwards. Then terraform's machine downloads it from an address, whose signature is told to nobody but the state.
func TestSnapshotsThroughS3(t *testing.T) {
	sample.Leave(t, "TestBackupsFromTerraform has hosts upload to S3 and restore from it, and tests of the snapshots have the rest")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a")})
	certificate, key := s3test.SelfSigned(t, "192.0.2.1")
	storage := storageIn(t, l, s3test.Options{CertFile: certificate, KeyFile: key})
	storage.MakeBucket(t, "backups")
	const secret = "swordfish-0123456789abcdef"
	storage.AddUser(t, "saver", secret, "backups")

	object := func(key, secret string) string {
		return fmt.Sprintf(`s3 = {
    endpoint          = %q
    region            = %q
    bucket            = "backups"
    key               = %q
    path_style        = true
    ca_certificate    = file(%q)
    access_key_id     = "saver"
    secret_access_key = %q
  }`, storage.Endpoint(), s3test.Region, key, certificate, secret)
	}
	v := &saved{workspace: newWorkspace(t, l, configuration(t, l, setup{}))}
	v.apply()
	v.fill("kept", kept)
	v.write("main.tf", configuration(t, l, setup{})+strings.Replace(snapshotOf, `file = "prod.db"`, object("prod/1.db", secret), 1))
	printed := v.apply()
	attributes, _ := v.state("etcd_snapshot.prod")
	if attributes["revision"].(float64) < kept || attributes["sha256"] == "" {
		t.Errorf("the snapshot is %v", attributes)
	}
	v.id = v.clusterID()
	v.fill("later", later)
	v.seen = v.revisionNow()

	restoring := func(from string) {
		v.write("main.tf", configuration(t, l, setup{cluster: fmt.Sprintf("restore = {\n overwrite_cluster_id = %q\n %s\n}", v.id, from)}))
	}
	restoring(object("prod/1.db", "wrong-"+secret))
	printed += v.applyFails("access_key_id")
	restoring(object("prod/2.db", secret))
	printed += v.applyFails("prod/2.db")
	if n := v.count(v.client(), v.endpoints()[0], "later/"); n != later {
		t.Errorf("%d of %d keys are left of a cluster that was not restored", n, later)
	}
	restoring(object("prod/1.db", secret))
	printed += v.apply()
	v.mustBeRestored()

	v.id = v.clusterID()
	v.fill("later", later)
	v.seen = v.revisionNow()
	address := storage.Presigned(t, "backups", "prod/1.db")
	fromWeb := func(sha256 any) string { return fmt.Sprintf("url = %q\n sha256 = %q", address, sha256) }
	restoring(fromWeb(attributes["sha256"]))
	v.applyFails("certificate signed by unknown authority")
	v.env = append(v.env, "SSL_CERT_FILE="+certificate)
	restoring(fromWeb(strings.Repeat("ab", 32)))
	v.applyFails("it is another snapshot")
	restoring(fromWeb(attributes["sha256"]))
	v.apply()
	v.mustBeRestored()
	_, signature, _ := strings.Cut(address, "X-Amz-Signature=")
	if found := inHost(t, l.Host("a"), "sh", "-c", "grep -rl "+signature+" /etc /var/lib/etcd* /root; journalctl | grep "+signature+"; true"); strings.TrimSpace(found) != "" || strings.Contains(v.read("progress.log"), signature) {
		t.Errorf("the signature is told: %s", found)
	}

	for _, text := range []string{printed, v.read("progress.log"), v.read("terraform.tfstate")} {
		if strings.Contains(text, "swordfish") {
			t.Error("what was printed, logged or kept in the state has the secret")
		}
	}
	if found := inHost(t, l.Host("a"), "sh", "-c", "grep -rl swordfish /etc /var/lib/etcd* /var/log /run/log /tmp /root 2>/dev/null; journalctl | grep swordfish; true"); strings.TrimSpace(found) != "" {
		t.Errorf("the secret lies on the host: %s", found)
	}
}
