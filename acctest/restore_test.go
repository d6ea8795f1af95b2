package acctest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// saved is a cluster of which a snapshot was taken, and that was written to since.
type saved struct {
	*workspace
	setup    setup
	revision int64  // of the snapshot
	seen     int64  // the newest that any client has seen
	id       string // the cluster's
}

// snapshotOf is the resource that saves the cluster into a file of the workspace.
const snapshotOf = `
resource "etcd_snapshot" "prod" {
  cluster = {
    name    = etcd_cluster.prod.name
    owner   = etcd_cluster.prod.owner
    members = etcd_cluster.prod.members
  }
  file = "prod.db"
}
`

// kept are the keys that a snapshot has, and later those that are only written after it.
const (
	kept  = 50
	later = 30
)

// savedCluster forms a cluster, writes to it, saves it, and writes more.
func savedCluster(t *testing.T, l *lab.Lab, s setup) *saved {
	t.Helper()
	v := &saved{workspace: newWorkspace(t, l, configuration(t, l, s)), setup: s}
	v.apply()
	v.fill("kept", kept)
	v.awaitStorageVersions()
	v.write("main.tf", configuration(t, l, s)+snapshotOf)
	v.apply()
	attributes, _ := v.state("etcd_snapshot.prod")
	v.revision, v.id = int64(attributes["revision"].(float64)), v.clusterID()
	v.fill("later", later)
	v.seen = v.revisionNow()
	return v
}

// awaitStorageVersions waits until every member has written its version into its database: etcd does so within seconds
// of its first start, and calls a database without one 3.5.
func (v *saved) awaitStorageVersions() {
	v.t.Helper()
	c, deadline := v.client(), time.Now().Add(time.Minute)
	for _, endpoint := range v.endpoints() {
		for !strings.Contains(c.must(endpoint, "endpoint", "status", "--write-out=json"), `"storageVersion":"3.7`) {
			if time.Now().After(deadline) {
				v.t.Fatalf("%s has no storage version", endpoint)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// fill puts keys into the cluster, through one of its members after the other.
func (v *saved) fill(prefix string, n int) {
	v.t.Helper()
	c, endpoints := v.client(), v.endpoints()
	for i := range n {
		c.must(endpoints[i%len(endpoints)], "put", fmt.Sprintf("%s/%03d", prefix, i), strconv.Itoa(i))
	}
}

// revisionNow is the cluster's revision.
func (v *saved) revisionNow() int64 {
	v.t.Helper()
	var answer struct {
		Header struct {
			Revision int64 `json:"revision"`
		} `json:"header"`
	}
	if err := json.Unmarshal([]byte(v.client().must(v.endpoints()[0], "get", "--write-out=json", "kept/000")), &answer); err != nil {
		v.t.Fatal(err)
	}
	return answer.Header.Revision
}

// restoring is the configuration that restores the snapshot, on these hosts.
func (v *saved) restoring(at map[string]string, more string) {
	v.t.Helper()
	s := setup{ssh: v.setup.ssh, at: at, cluster: v.setup.cluster + fmt.Sprintf("\n  restore = {\n    file = %q\n    overwrite_cluster_id = %q\n    %s\n  }\n", "prod.db", v.id, more)}
	v.write("main.tf", configuration(v.t, v.lab, s))
}

// mustBeRestored fails the test where the cluster is not the one of the snapshot, whole and alone: all of its keys and
// none written since, on every member, with revisions above all that clients have seen.
func (v *saved) mustBeRestored() {
	v.t.Helper()
	if v.clusterID() == v.id {
		v.t.Errorf("it is cluster %s still", v.id)
	}
	c, now := v.client(), v.revisionNow()
	for _, endpoint := range v.endpoints() { // each of which has come that far once it has counted
		if n := v.count(c, endpoint, "kept/"); n != kept {
			v.t.Errorf("%s has %d keys of the snapshot, and should have %d", endpoint, n, kept)
		}
		if n := v.count(c, endpoint, "later/"); n != 0 {
			v.t.Errorf("%s has %d keys that were written after the snapshot", endpoint, n)
		}
	}
	if now <= v.seen {
		v.t.Errorf("it goes on with revision %d, and clients have seen %d", now, v.seen)
	}
	var hashes []string // of one revision: backups write to the cluster whom they are made by
	for _, endpoint := range v.endpoints() {
		hashes = append(hashes, hashOf.FindString(c.must(endpoint, "endpoint", "hashkv", fmt.Sprintf("--rev=%d", now), "--write-out=fields")))
	}
	if slices.Sort(hashes); len(slices.Compact(hashes)) != 1 {
		v.t.Errorf("hashes differ: %v", hashes)
	}
	v.mustBeSettled()
}

var hashOf, countOf = regexp.MustCompile(`"Hash" : \d+`), regexp.MustCompile(`"Count" : (\d+)`)

// count is how many keys begin with prefix.
func (v *saved) count(c etcdctl, endpoint, prefix string) int {
	v.t.Helper()
	found := countOf.FindStringSubmatch(c.must(endpoint, "get", "--prefix", "--count-only", "--write-out=fields", prefix))
	if found == nil {
		v.t.Fatalf("%s counts nothing", endpoint)
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

// TestRestoreOverARunningCluster takes a snapshot to a file, restores it over the cluster, which has been written to
// since, and reboots all hosts. A watcher that asks for a revision that it has not seen yet is told that it is
// compacted, and not given another's.
func TestRestoreOverARunningCluster(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	v := savedCluster(t, l, setup{})
	v.mustBeVerified()
	v.restoring(nil, "")
	v.apply()
	v.mustRollOut("fetch a", "fence b", "restore c", "open a", "snapshot ")
	v.mustBeRestored()
	v.mustWatchNothing(v.seen + 1)
	v.mustLieAside("a", "b", "c")
	for _, h := range l.Hosts {
		if journal := inHost(t, h, "journalctl", "--no-pager", "-u", "etcd@prod"); waitedForAPeer(journal) || !strings.Contains(journal, "InitialCorruptCheck=false") {
			t.Errorf("members that were started together have waited for one another: the journal of %s\n%s", h.Config.Name, journal)
		}
	}

	for _, h := range l.Hosts {
		if err := h.PowerOff(); err != nil {
			t.Fatal(err)
		}
	}
	v.powerOn()
	v.client().await(v.endpoints(), "endpoint", "health")
	v.mustBeRestored()
}

// waitedForAPeer tells whether a member has waited for the hash of a peer that did not answer. Who refuses a connection
// is not waited for.
func waitedForAPeer(journal string) bool {
	for line := range strings.Lines(journal) {
		if strings.Contains(line, "failed hash kv request") && !strings.Contains(line, "connection refused") {
			return true
		}
	}
	return false
}

// mustBeVerified fails the test where upstream's own program reads something else out of the snapshot than the resource
// says.
func (v *saved) mustBeVerified() {
	v.t.Helper()
	output, err := v.lab.Command(v.t.Context(), etcdutl(v.t), "snapshot", "status", filepath.Join(v.dir, "prod.db"), "--write-out=json").Output()
	var status struct {
		Revision int64  `json:"revision"`
		Version  string `json:"version"`
	}
	if err == nil {
		err = json.Unmarshal(output, &status)
	}
	if err != nil || status.Revision != v.revision || !strings.HasPrefix(status.Version, "3.7") {
		v.t.Errorf("etcdutl snapshot status: %v, %s; the resource says revision %d", err, output, v.revision)
	}
}

// mustWatchNothing fails the test where a watch from a revision on is given any event, or is not told that the revision
// is compacted.
func (v *saved) mustWatchNothing(revision int64) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 30*time.Second)
	defer cancel()
	c := v.client()
	c.must(v.endpoints()[0], "put", "fresh", "1")
	args := append([]string{"--endpoints=" + v.endpoints()[0], "watch", "--prefix", "", "--rev=" + strconv.FormatInt(revision, 10)}, c.flags...)
	output, err := v.lab.Command(ctx, os.Getenv("ETCD_ETCDCTL"), args...).CombinedOutput()
	if err == nil && ctx.Err() != nil || !strings.Contains(string(output), "required revision has been compacted") {
		v.t.Errorf("a watch from revision %d on: %v\n%s", revision, err, output)
	}
	c.must(v.endpoints()[0], "del", "fresh")
}

// mustLieAside fails the test where the data of before is not kept on hosts.
func (v *saved) mustLieAside(hosts ...string) {
	v.t.Helper()
	for _, name := range hosts {
		if kept := inHost(v.t, v.lab.Host(name), "sh", "-c", "ls -d /var/lib/etcd/prod.aside-restore-*"); !strings.Contains(kept, "aside-restore-") {
			v.t.Errorf("the data of before is not on %s: %s", name, kept)
		}
	}
}

// TestRestoreElsewhere restores into five members, of which two are on the old hosts; the third old host was off
// meanwhile, and its member comes back to nobody. Then it restores once more, back into three, over hosts that were
// wiped.
func TestRestoreElsewhere(t *testing.T) {
	sample.Leave(t, "TestRestoreOverARunningCluster restores on booted hosts, and the golden plans have all places")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c", "d", "e", "f")})
	// A host that is off is asked again and again.
	ssh := fmt.Sprintf("user = \"root\"\n    private_key_file = %q\n    connect_timeout = \"5s\"", l.KeyFile())
	v := savedCluster(t, l, setup{ssh: ssh, at: on("a", "b", "c")})
	if err := l.Host("c").PowerOff(); err != nil {
		t.Fatal(err)
	}
	v.restoring(on("a", "b", "c@d", "e", "f"), "")
	v.apply()
	v.mustBeRestored()
	v.powerOn()
	time.Sleep(5 * time.Second) // for the old member to find the others
	v.mustBeRestored()
	c := v.client()
	if list := c.must(v.endpoints()[0], "member", "list"); strings.Contains(list, l.Host("c").Address()+":") || strings.Count(list, "started") != 5 {
		t.Errorf("the members are\n%s", list)
	}

	at, seen := on("a", "b", "c@d"), v.revisionNow()
	for _, host := range at {
		if err := l.Host(host).Wipe(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	v.id, v.seen = v.clusterID(), seen
	v.restoring(at, `triggers = { at = "again" }`)
	v.apply()
	v.mustRollOut("fence e", "retire f")
	v.mustBeRestored()
	mustBeBare(t, l.Host("e"))
}

// TestRestoreAsANewCluster makes a second cluster from the snapshot of the first, which goes on.
func TestRestoreAsANewCluster(t *testing.T) {
	sample.Leave(t, "the resources have a test of this name")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b")})
	v := savedCluster(t, l, setup{at: on("a")})
	v.write("main.tf", configuration(t, l, v.setup)+fmt.Sprintf(`
resource "etcd_cluster" "copy" {
  name                = "copy"
  pki                 = etcd_pki.prod.authority
  deletion_protection = false
  members             = { b = { address = %q, host_key = %q } }
  restore             = { file = "prod.db" }
}
`, l.Host("b").Address(), hostKey(t, l.Host("b"))))
	v.apply()
	c := v.client()
	copied := "https://" + l.Host("b").Address() + ":2379"
	if n := v.count(c, copied, "kept/"); n != kept {
		t.Errorf("the copy has %d keys of the snapshot, and should have %d", n, kept)
	}
	if n := v.count(c, copied, "later/"); n != 0 {
		t.Errorf("the copy has %d keys that were written after the snapshot", n)
	}
	if n := v.count(c, v.endpoints()[0], "later/"); n != later {
		t.Errorf("the first cluster has %d of %d keys that were written since", n, later)
	}
	v.mustBeSettled()
}

// TestBadSnapshots has restores of what is none fail before any member is stopped.
func TestBadSnapshots(t *testing.T) {
	sample.Leave(t, "TestFetchRefuses has the same snapshots")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	v := savedCluster(t, l, setup{cluster: `version = "3.7"`})
	good := v.read("prod.db")
	started := inHost(t, l.Host("a"), "systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "etcd@prod")
	for name, test := range map[string]struct {
		content, more string
		says          []string
	}{
		"cut off":        {good[:len(good)-4096], "", []string{"its SHA-256 is"}},
		"one bit":        {good[:10000] + string(good[10000]^1) + good[10001:], "", []string{"its SHA-256 is"}},
		"another sum":    {good, `sha256 = "` + strings.Repeat("ab", 32) + `"`, []string{strings.Repeat("ab", 32)}},
		"no snapshot":    {strings.Repeat("x", 512*20+32), "", []string{"its SHA-256 is"}},
		"no identity":    {"age-encryption.org/v1\n" + strings.Repeat("x", 1000), "", []string{"identity"}},
		"empty":          {"", "", []string{"is empty"}},
		"not a whole DB": {"hello", "", []string{"it was cut off, or is no snapshot of etcd's"}},
	} {
		v.write("prod.db", test.content)
		v.restoring(nil, test.more)
		t.Log(name)
		v.applyFails(test.says...)
	}
	v.write("prod.db", good)
	v.write("main.tf", configuration(t, l, v.setup))
	v.mustBeSettled()
	if now := inHost(t, l.Host("a"), "systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "etcd@prod"); now != started || v.clusterID() != v.id {
		t.Errorf("a member was restarted: %s, and before %s", now, started)
	}

	// A snapshot of a newer minor version.
	v.restoring(nil, "")
	v.write("main.tf", strings.Replace(v.read("main.tf"), `version = "3.7"`, `version = "3.6"`, 1))
	v.applyFails("3.7", "3.6")
	if v.count(v.client(), v.endpoints()[0], "later/") != later {
		t.Error("keys were lost")
	}
}
