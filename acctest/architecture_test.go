package acctest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// module is the path of this module, in front of the folders below.
const module = "github.com/etcd-on-hosts/terraform-provider-etcd"

// never holds what a folder's packages must not be linked with, however far down. A folder ends in
// "/..." where it stands for those below it too; "." is the provider's binary. What is forbidden is a
// folder as well, or the path of another module.
var never = []struct{ folder, forbidden, why string }{
	{".", "go.etcd.io/etcd/server/v3", "the provider carries stores, and is none"},
	{".", "go.etcd.io/etcd/etcdutl/v3", "the provider carries stores, and is none"},
	{".", "node/host/...", "what runs on a host runs in the store"},
	{".", "node/store", "what runs on a host runs in the store"},
	{".", "github.com/hashicorp/terraform-plugin-testing", "tests are not shipped"},
	{".", "pgregory.net/rapid", "tests are not shipped"},
	{".", "acctest/...", "tests are not shipped"},
	{"node/store", "github.com/hashicorp/terraform-plugin-framework", "hosts know nothing of Terraform"},
	{"node/store", "github.com/hashicorp/terraform-plugin-go", "hosts know nothing of Terraform"},
	{"node/store", "github.com/hashicorp/go-plugin", "hosts know nothing of Terraform"},
	{"node/store", "golang.org/x/crypto/ssh", "hosts are reached, and reach nobody"},
	{"node/store", "github.com/cloudflare/cfssl", "hosts request certificates, and sign none"},
	{"node/store", "pki", "hosts request certificates, and sign none"},
	{"node/store", "bootstrap/...", "hosts do, and decide nothing"},
	{"node/store", "upgrade/...", "hosts do, and decide nothing"},
	{"node/store", "node/ssh/...", "hosts are reached, and reach nobody"},
	{"node/store", "testing", "tests are not shipped"},
	{"node/host/...", "node/ssh/...", "hosts are reached, and reach nobody"},
	{"node/host/units", "node/host", "rooms know nothing of the calls"},
	{"node/host/procfs", "node/host", "rooms know nothing of the calls"},
	{"node/host/etcdclient", "node/host", "rooms know nothing of the calls"},
	{"node/host/etcdfs", "node/host", "rooms know nothing of the calls"},
	{"node/host/inside", "node/host", "rooms know nothing of the calls"},
	{"node/host/files", "node/host", "rooms know nothing of the calls"},
	{"node/host/disks", "node/host", "rooms know nothing of the calls"},
	{"node/host/records", "node/host", "rooms know nothing of the calls"},
	{"node/host/pace", "node/host", "rooms know nothing of the calls"},
	{"node/host/snapshots", "node/host", "rooms know nothing of the calls"},
	{"node/host/backups", "node/host", "rooms know nothing of the calls"},
	{"node/host/arrivals", "node/host", "rooms know nothing of the calls"},
	{"node/host/datadir", "node/host", "rooms know nothing of the calls"},
	{"node/host/users", "node/host", "rooms know nothing of the calls"},
	{"node/host/stores", "node/host", "rooms know nothing of the calls"},
	{"node/host/keys", "node/host", "rooms know nothing of the calls"},
	{"node/host/renewal", "node/host", "rooms know nothing of the calls"},
	{"node/host/firewall", "node/host", "rooms know nothing of the calls"},
	{"node/host/firewall", "go.etcd.io", "the kernel knows no etcd"},
	{"node/host/renewal", "go.etcd.io", "the member is asked elsewhere"},
	{"node/host/unitfiles", "node/host", "rooms know nothing of the calls"},
	{"node/host/locks", "node/host", "rooms know nothing of the calls"},
	{"node/host/damage", "node/host", "rooms know nothing of the calls"},
	{"node/host/agree", "node/host", "rooms know nothing of the calls"},
	{"node/host/preflight", "node/host", "rooms know nothing of the calls"},
	{"node/host/preflight", "go.etcd.io", "a disk and a network are anybody's"},
	{"node/host/units", "go.etcd.io", "units are systemd's"},
	{"node/host/locks", "go.etcd.io", "locks are anybody's"},
	{"node/host/files", "go.etcd.io", "files are anybody's"},
	{"node/host/disks", "go.etcd.io", "disks hold anything"},
	{"node/host/records", "go.etcd.io", "what is written down is ours"},
	{"node/host/inside", "go.etcd.io", "files are anybody's"},
	{"node/host/procfs", "go.etcd.io", "the kernel knows no etcd"},
	{"node/nodetest/model", "node/nodetest", "what members agree on knows no hosts"},
	{"node/backup", "go.etcd.io", "backups are streams, and the provider reads them too"},
	{"node/backup", "node/host/...", "backups are streams, and the provider reads them too"},
	{"node/backup", "github.com/hashicorp", "Terraform's face is on top"},
	{"bootstrap/...", "upgrade/...", "a running cluster builds on a new one"},
	{"bootstrap/...", "node", "planners reach no host"},
	{"bootstrap/...", "node/ssh/...", "planners reach no host"},
	{"bootstrap/...", "node/host/...", "planners reach no host"},
	{"bootstrap/...", "pki", "planners sign nothing"},
	{"bootstrap/...", "os/exec", "planners reach no host"},
	{"upgrade/plan", "upgrade", "planners carry nothing out"},
	{"upgrade/plan", "os/exec", "planners reach no host"},
	{"upgrade/plan", "github.com/hashicorp", "Terraform's face is on top"},
	{"upgrade/hashes", "upgrade", "it asks members, and changes none"},
	{"upgrade/hashes", "upgrade/plan", "it asks members, and changes none"},
	{"upgrade/...", "node", "the executor declares what it needs of a host"},
	{"upgrade/...", "node/ssh/...", "the executor declares what it needs of a host"},
	{"upgrade/...", "node/host/...", "the executor declares what it needs of a host"},
	{"upgrade/...", "pki", "the executor declares what it needs of a signer"},
	{"upgrade/...", "resources/...", "Terraform's face is on top"},
	{"upgrade", "github.com/hashicorp", "Terraform's face is on top"},
	{"upgrade/source", "github.com/hashicorp/terraform-plugin-go", "Terraform's face is on top"},
	{"bootstrap/...", "github.com/hashicorp", "Terraform's face is on top"},
	{"pki/...", "github.com/hashicorp/terraform-plugin-framework", "Terraform's face is on top"},
	{"pki/...", "github.com/hashicorp/terraform-plugin-go", "Terraform's face is on top"},
	{"pki", "github.com/hashicorp", "signing reaches nobody"},
	{"pki/order", "github.com/cloudflare/cfssl", "what is ordered is signed elsewhere"},
	{"pki/remote", "github.com/cloudflare/cfssl", "hosts ask too, and sign nothing"},
	{"pki/remote", "pki", "hosts ask too, and sign nothing"},
	{"pki/...", "upgrade/...", "signing knows no clusters"},
	{"node", "bootstrap/...", "a host knows no plans"},
	{"node", "upgrade/...", "a host knows no plans"},
	{"node/...", "resources/...", "Terraform's face is on top"},
	{"resources/...", "provider/...", "the provider registers resources"},
	{"resources/cluster/...", "resources/certificates", "rooms share what lies below them"},
	{"resources/cluster/...", "resources/snapshots", "rooms share what lies below them"},
	{"resources/certificates", "resources/cluster/...", "rooms share what lies below them"},
	{"resources/certificates", "resources/snapshots", "rooms share what lies below them"},
	{"resources/snapshots", "resources/cluster/...", "rooms share what lies below them"},
	{"resources/snapshots", "resources/certificates", "rooms share what lies below them"},
	{"resources/hosts", "resources/cluster/...", "rooms share what lies below them"},
	{"resources/hosts", "resources/certificates", "rooms share what lies below them"},
	{"resources/hosts", "resources/snapshots", "rooms share what lies below them"},
	{"resources/cluster/...", "resources/hosts", "rooms share what lies below them"},
	{"resources/cluster/backups", "resources/cluster", "an attribute knows nothing of the resource that has it"},
	{"resources/cluster/firewall", "resources/cluster", "an attribute knows nothing of the resource that has it"},
	{"resources/cluster/exchange", "resources/cluster", "an attribute knows nothing of the resource that has it"},
	{"resources/cluster/health", "resources/cluster", "an attribute knows nothing of the resource that has it"},
	{"resources/cluster/recovery", "resources/cluster", "an attribute knows nothing of the resource that has it"},
	{"resources/cluster/refreshed", "resources/cluster", "an attribute knows nothing of the resource that has it"},
	{"resources/cluster/renewal", "resources/cluster", "an attribute knows nothing of the resource that has it"},
	{"resources/cluster/restore", "resources/cluster", "an attribute knows nothing of the resource that has it"},
	{"resources/cluster/settings", "resources/cluster", "an attribute knows nothing of the resource that has it"},
	{"resources/authority", "upgrade/...", "authorities know no clusters"},
	{"resources/validate", "resources/providerdata", "a validator reads a value alone"},
	{"resources/value", "resources/providerdata", "values are anybody's"},
	{"templates/...", "bootstrap/...", "templates are told what to render"},
	{"templates/...", "node/...", "templates are told what to render"},
}

// alone holds who may import a thing directly: the folders in by, and nobody else.
var alone = []struct {
	thing string
	by    []string
	why   string
}{
	{"github.com/cloudflare/cfssl", []string{"pki/..."}, "one place signs"},
	{"golang.org/x/crypto/ssh", []string{"node/ssh/..."}, "one place speaks SSH"},
	{"github.com/hashicorp/terraform-plugin-framework", []string{".", "provider/...", "resources/..."}, "framework types end at the face"},
	{"github.com/hashicorp/terraform-plugin-log", []string{".", "provider/...", "resources/..."}, "planners and executor keep no log"},
	{"go.etcd.io/etcd/server/v3", []string{"node/store", "node/host/..."}, "etcd's server is the store's"},
	{"github.com/hashicorp/go-retryablehttp", []string{"upgrade/source", "pki/remote"}, "one place reads the web, and one has certificates signed"},
	{"filippo.io/age", []string{"node/backup"}, "one place encrypts backups"},
	{"github.com/minio/minio-go/v7", []string{"node/backup", "node/backup/s3test"}, "one place speaks S3, and one tests that"},
	{"node/nodetest", nil, "fakes are for tests"},
	{"node/nodetest/model", []string{"node/nodetest", "node/nodetest/signing"}, "fakes are for tests"},
	{"node/nodetest/signing", []string{"node/nodetest"}, "fakes are for tests"},
	{"node/backup/s3test", nil, "servers are for tests"},
	{"pki/remote/remotetest", nil, "servers are for tests"},
	{"node/ssh/sshtest", nil, "fakes are for tests"},
	{"resources/terraformtest", nil, "drivers are for tests"},
	{"resources/modeltest", nil, "what prints models is for tests"},
	{"pgregory.net/rapid", []string{"acctest/sample"}, "properties are for tests"},
}

// rooms holds which rooms below node/host build on which others. A room that is not listed fails the test.
var rooms = map[string][]string{
	"units":      nil,
	"keys":       {"files", "inside"},
	"locks":      {"files"},
	"damage":     {"etcdfs", "files", "inside"},
	"agree":      {"etcdfs", "files", "inside", "pace", "procfs"},
	"renewal":    {"files", "inside", "keys", "locks", "records", "unitfiles"},
	"unitfiles":  {"files", "inside", "units"},
	"stores":     {"files", "procfs"},
	"firewall":   {"files", "locks", "procfs", "records", "unitfiles"},
	"users":      {"files", "units"},
	"datadir":    {"disks", "etcdfs", "files", "inside"},
	"arrivals":   {"disks", "etcdfs", "files", "inside", "procfs", "records", "snapshots"},
	"backups":    {"disks", "etcdclient", "etcdfs", "files", "inside", "pace", "procfs", "records", "snapshots", "unitfiles", "units"},
	"preflight":  {"files"},
	"procfs":     nil,
	"inside":     nil,
	"etcdclient": {"inside"},
	"etcdfs":     {"inside"},
	"files":      {"inside"},
	"disks":      {"files", "inside"},
	"records":    {"files", "inside"},
	"pace":       {"etcdclient", "etcdfs", "inside", "procfs"},
	"snapshots":  {"disks", "etcdclient", "etcdfs", "files", "inside", "pace", "procfs"},
}

// pure holds the folders that import nothing but the standard library and each other.
var pure = []string{"bootstrap/membership", "bootstrap/clocks", "bootstrap/preflight", "node/api", "node/secret", "pki/cert", "pki/order", "pki/rotation"}

// TestArchitecture holds who may import whom. Test files may import what they like.
func TestArchitecture(t *testing.T) {
	graph := listPackages(t)
	for _, rule := range never {
		for _, p := range graph.in(t, rule.folder) {
			if chain := graph.path(p, rule.forbidden); chain != nil {
				t.Errorf("%s must not be linked with %s (%s), and is: %s", p, rule.forbidden, rule.why, strings.Join(chain, " -> "))
			}
		}
	}
	for _, rule := range alone {
		for _, p := range graph.in(t, "...") {
			allowed := slices.ContainsFunc(rule.by, func(folder string) bool { return within(p, folder) })
			for _, imported := range graph[p].Imports {
				if within(imported, rule.thing) && !allowed {
					t.Errorf("%s imports %s, and only %v may: %s", p, imported, rule.by, rule.why)
				}
			}
		}
	}
	for _, p := range graph.in(t, "node/host/...") {
		room := strings.TrimPrefix(p, module+"/node/host/")
		on, listed := rooms[room]
		if !listed && room != p {
			t.Errorf("%s is no room that is listed", p)
		}
		for _, imported := range graph[p].Imports {
			other, is := strings.CutPrefix(imported, module+"/node/host/")
			if is && room != p && !slices.Contains(on, other) {
				t.Errorf("room %s imports room %s, and may import %v", room, other, on)
			}
		}
	}
	for _, folder := range pure {
		for _, p := range graph.in(t, folder) {
			for _, imported := range graph[p].Imports {
				if !graph[imported].Standard && !slices.ContainsFunc(pure, func(folder string) bool { return within(imported, folder) }) {
					t.Errorf("%s imports %s, and should import nothing but the standard library and %v", p, imported, pure)
				}
			}
		}
	}
}

// pointer is a file in a table of docs/ARCHITECTURE.md, with the functions in it that are named behind it.
var pointer = regexp.MustCompile("`([a-z0-9_/]+\\.go)`((?:,? `[A-Za-z]+`)+)")

// TestPointersLeadSomewhere holds that what the design of record names is there.
func TestPointersLeadSomewhere(t *testing.T) {
	page, err := os.ReadFile("../docs/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	pointers := pointer.FindAllStringSubmatch(string(page), -1)
	if len(pointers) < 30 {
		t.Errorf("%d pointers were found", len(pointers))
	}
	for _, p := range pointers {
		text, err := os.ReadFile(filepath.Join("..", p[1]))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, name := range regexp.MustCompile("[A-Za-z]+").FindAllString(p[2], -1) {
			if !regexp.MustCompile(`(?m)^func (\([^)]+\) )?` + name + `[(\[]`).Match(text) {
				t.Errorf("%s has no function %s", p[1], name)
			}
		}
	}
	for _, name := range regexp.MustCompile("`([a-z]+/[a-z0-9_/]+\\.(?:go|sh))`").FindAllStringSubmatch(string(page), -1) {
		if _, err := os.Stat(filepath.Join("..", name[1])); err != nil {
			t.Error(err)
		}
	}
}

// longest is how many lines a file of Go may have: one that wants more holds two concepts.
const longest = 450

// TestFilesAreShort holds how long a file may become.
func TestFilesAreShort(t *testing.T) {
	files, err := exec.CommandContext(t.Context(), "git", "-C", "..", "ls-files", "*.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(files)) {
		name = strings.TrimSpace(name)
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Error(err)
			continue
		}
		if lines := bytes.Count(text, []byte("\n")); lines > longest {
			t.Errorf("%s has %d lines, and may have %d", name, lines, longest)
		}
	}
}

// most is how many files a package may have, tests aside: one that wants more holds several rooms. The calls are one
// contract.
const most = 20

var mayHaveMore = []string{"node/host"}

// TestPackagesAreSmall holds how many files a package may have.
func TestPackagesAreSmall(t *testing.T) {
	files, err := exec.CommandContext(t.Context(), "git", "-C", "..", "ls-files", "*.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := map[string]int{}
	for name := range strings.Lines(string(files)) {
		if name = strings.TrimSpace(name); !strings.HasSuffix(name, "_test.go") {
			packages[filepath.Dir(name)]++
		}
	}
	for folder, n := range packages {
		if n > most && !slices.Contains(mayHaveMore, folder) {
			t.Errorf("%s has %d files, and may have %d", folder, n, most)
		}
	}
	for _, folder := range mayHaveMore {
		if packages[folder] <= most {
			t.Errorf("%s has %d files, and need not be one that may have more than %d", folder, packages[folder], most)
		}
	}
}

// imports is what there is of packages, by path, with what each imports directly.
type imports map[string]listed

// listed is a package as `go list` shows it.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

// listPackages lists all packages of this module and all that they are linked with.
func listPackages(t *testing.T) imports {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports", "./...")
	command.Dir = ".."
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	graph := imports{}
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return graph
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		graph[p.ImportPath] = p
	}
}

// in are the packages of a folder of this module, sorted. A rule for a folder that is not there fails
// the test: it would hold nothing.
func (g imports) in(t *testing.T, folder string) []string {
	t.Helper()
	var found []string
	for p := range g {
		if (p == module || strings.HasPrefix(p, module+"/")) && within(p, folder) {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		t.Errorf("there is no folder %s", folder)
	}
	slices.Sort(found)
	return found
}

// path is a shortest way from a package to one within thing; nil: there is none. The package itself
// does not count.
func (g imports) path(from, thing string) []string {
	came := map[string]string{}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range g[queue[0]].Imports {
			if _, seen := came[next]; seen || next == from {
				continue
			}
			came[next] = queue[0]
			if within(next, thing) {
				chain := []string{next}
				for chain[0] != from {
					chain = append([]string{came[chain[0]]}, chain...)
				}
				return chain
			}
			queue = append(queue, next)
		}
	}
	return nil
}

// within tells whether a package is what a rule names: a folder of this module, with those below it
// where it ends in "/...", or any package of another module or of the standard library, those below it
// included.
func within(path, thing string) bool {
	if folder, ok := strings.CutPrefix(path, module); ok && isFolder(thing) {
		folder = strings.TrimPrefix(folder, "/")
		root, all := strings.CutSuffix(thing, "...")
		root = strings.TrimSuffix(root, "/")
		return folder == strings.TrimSuffix(root, ".") || all && (root == "" || strings.HasPrefix(folder, root+"/"))
	}
	return path == thing || strings.HasPrefix(path, thing+"/")
}

// isFolder tells whether a rule names a folder of this module. Other modules have a host's name in
// front, and the standard library's packages are named whole.
func isFolder(thing string) bool {
	first, _, _ := strings.Cut(thing, "/")
	switch first {
	case ".", "...", "acctest", "bootstrap", "node", "pki", "provider", "resources", "templates", "upgrade":
		return true
	}
	return false
}
