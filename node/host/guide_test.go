package host

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// documented is a row of the table of hosts' files in the guide for security reviewers.
type documented struct {
	patterns []string // of paths in the cluster's directory
	owner    files.Owner
	mode     fs.FileMode
}

var (
	rowOfFiles = regexp.MustCompile("(?m)^\\| (`[^|]*`) \\| [^|]* \\| (root|`etcd`)(, readable to `etcd`)?, (0[0-7]{3}) \\|$")
	quoted     = regexp.MustCompile("`([^`]*)`")
)

func documentedFiles(t *testing.T) (rows []documented) {
	t.Helper()
	guide, err := os.ReadFile("../../templates/docs/guides/security.md.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rowOfFiles.FindAllStringSubmatch(string(guide), -1) {
		is := documented{owner: files.RootUser}
		for _, pattern := range quoted.FindAllStringSubmatch(row[1], -1) {
			is.patterns = append(is.patterns, pattern[1])
		}
		switch {
		case row[2] != "root":
			is.owner = etcdOwner
		case row[3] != "":
			is.owner = files.RootFor(etcdOwner)
		}
		mode, err := strconv.ParseUint(row[4], 8, 32)
		if err != nil {
			t.Fatal(err)
		}
		is.mode = fs.FileMode(mode)
		rows = append(rows, is)
	}
	if len(rows) < 7 {
		t.Fatalf("the guide has the rows %+v", rows)
	}
	return rows
}

// TestFilesAreAsTheGuideSays compares the files of a host, with a backup, a recovery, a restore and a renewal that are
// under way, with those of the guide for security reviewers: which there are, whose they are and who may read them.
func TestFilesAreAsTheGuideSays(t *testing.T) {
	sample.LeaveToNewestMinor(t, "owners and modes are the same in each")
	m, _ := newMachine(t)
	r, ca := prepareOf("main"), newAuthority(t)
	c := configureOf(t, r, prepared(t, m, r), ca)
	c.ClientCRL = ca.revoking(t)
	must(t, m.Configure(t.Context(), "main", c))
	must(t, m.Backups().Put(c.Marker, api.Backup{Digest: "d", Directory: "/backups"}))
	must(t, m.records().PutProgress("main", records.Progress{Index: 1}))
	must(t, m.records().PutRestoration("main", &records.Restoration{Restoration: api.Restoration{Stage: api.StageFenced}}))
	signer := &api.SigningPlace{Digest: "d", Authority: ca.pem, URL: "https://192.0.2.8:8888", Key: secret.New("00112233445566778899aabbccddeeff")}
	tried := files.File{Path: api.RenewalFile("main"), Text: []byte(`{"peers":{"digest":"d"}}`), Owner: files.RootUser, Mode: files.KeyFile}
	if _, err := m.Renewals().Files.Put(tried); err != nil {
		t.Fatal(err)
	}
	must(t, m.Renewals().SetUp(t.Context(), "main", api.RenewOnHostRequest{Owner: c.Marker.Owner, Renewal: &api.Renewal{Peers: signer}, Of: api.RenewalPlaces{Peers: true, Clients: true}}))
	if err := m.Renewals().Run(t.Context(), "main", false, func(string) {}); err == nil {
		t.Error("a member that is no voter yet has been given certificates")
	}
	err := m.records().PutRecovery(c.Marker.Cluster, records.Recovery{Copy: "/copy"})
	must(t, err)
	prepared(t, m, api.PrepareRequest{Marker: r.Marker, Keys: keysOf("ecdsa-p384")}) // makes the keys that are next

	rows, seen := documentedFiles(t), map[string]bool{}
	base, secrets := m.path(api.ConfigDir("main")), regexp.MustCompile("PRIVATE KEY|identity|auth_key")
	must(t, filepath.WalkDir(base, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(at, base+"/")
		if entry.IsDir() {
			mustHave(t, m, path.Join(api.ConfigDir("main"), strings.TrimPrefix(at, base)), files.RootFor(etcdOwner), 0o750)
			return nil
		}
		beside := strings.Replace(name, ".next.", ".", 1)
		for _, row := range rows {
			for _, pattern := range row.patterns {
				if is, err := path.Match(pattern, beside); err != nil || !is {
					continue
				}
				seen[pattern], seen[name] = true, true
				mustHave(t, m, path.Join(api.ConfigDir("main"), name), row.owner, row.mode)
				if text, err := os.ReadFile(at); row.mode != 0o600 && (err != nil || secrets.Match(text)) {
					t.Errorf("%s is not for its owner alone, and holds a secret, %v", name, err)
				}
			}
		}
		if !seen[name] {
			t.Errorf("the guide says nothing of %s", name)
		}
		return nil
	}))
	for _, row := range rows {
		if i := slices.IndexFunc(row.patterns, func(pattern string) bool { return !seen[pattern] }); i >= 0 {
			t.Errorf("the guide says that there is %s", row.patterns[i])
		}
	}
	if !seen["tls/peer.next.key"] {
		t.Error("no key waits")
	}
}
