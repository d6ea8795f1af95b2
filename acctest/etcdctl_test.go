package acctest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// etcdctl is a client of the cluster, outside of its hosts: upstream's own program, with the
// certificates that the configuration wrote.
type etcdctl struct {
	*workspace
	flags []string
}

// client is the client that the configuration made a certificate for.
func (w *workspace) client() etcdctl {
	w.t.Helper()
	attributes, _ := w.state("etcd_cluster.prod")
	w.write("ca.crt", attributes["client_ca_certificate"].(string))
	file := func(name string) string { return filepath.Join(w.dir, name) }
	return etcdctl{w, []string{"--cacert=" + file("ca.crt"), "--cert=" + file("client.crt"), "--key=" + file("client.key")}}
}

// without is the same client without some of its flags.
func (c etcdctl) without(flags ...string) etcdctl {
	kept := slices.DeleteFunc(slices.Clone(c.flags), func(flag string) bool {
		name, _, _ := strings.Cut(flag, "=")
		return slices.Contains(flags, name)
	})
	return etcdctl{c.workspace, kept}
}

// run runs one command against one endpoint.
func (c etcdctl) run(endpoint string, args ...string) (string, error) {
	return c.within(5*time.Second, endpoint, args...)
}

// within is run with a time in which the endpoint has to take a connection, and then twice that for the command.
func (c etcdctl) within(dial time.Duration, endpoint string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute+3*dial)
	defer cancel()
	all := append([]string{"--endpoints=" + endpoint, fmt.Sprint("--dial-timeout=", dial), fmt.Sprint("--command-timeout=", 2*dial)}, c.flags...)
	output, err := c.lab.Command(ctx, os.Getenv("ETCD_ETCDCTL"), append(all, args...)...).CombinedOutput()
	return string(output), err
}

// must runs one command and fails the test where it fails.
func (c etcdctl) must(endpoint string, args ...string) string {
	c.t.Helper()
	output, err := c.within(30*time.Second, endpoint, args...) // a busy machine takes some time
	if err != nil {
		c.t.Fatalf("etcdctl --endpoints=%s %s: %v\n%s", endpoint, strings.Join(args, " "), err, output)
	}
	return output
}

// await runs one command against every endpoint until each has served it.
func (c etcdctl) await(endpoints []string, args ...string) {
	c.t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for _, endpoint := range endpoints {
		for {
			output, err := c.run(endpoint, args...)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				c.t.Fatalf("%s does not serve: %v\n%s", endpoint, err, output)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// endpoints are the client URLs that the cluster's resource gives.
func (w *workspace) endpoints() []string {
	w.t.Helper()
	attributes, _ := w.state("etcd_cluster.prod")
	return texts(w.t, attributes["endpoints"])
}

// clusterID is the ID that the cluster's resource gives.
func (w *workspace) clusterID() string {
	w.t.Helper()
	attributes, _ := w.state("etcd_cluster.prod")
	id, _ := attributes["cluster_id"].(string)
	if id == "" {
		w.t.Fatalf("the state holds no cluster ID: %v", attributes)
	}
	return id
}

// mustRollOut fails the test where the last rollout has no step that holds each of the texts.
func (w *workspace) mustRollOut(steps ...string) {
	w.t.Helper()
	attributes, _ := w.state("etcd_cluster.prod")
	rollout := strings.Join(texts(w.t, attributes["rollout"]), "\n")
	for _, step := range steps {
		if !strings.Contains(rollout, step) {
			w.t.Errorf("rollout has no step %q:\n%s", step, rollout)
		}
	}
}

// texts reads a list of strings out of a state.
func texts(t testing.TB, value any) []string {
	t.Helper()
	list, ok := value.([]any)
	if !ok {
		t.Fatalf("%v is no list", value)
	}
	var result []string
	for _, element := range list {
		result = append(result, element.(string))
	}
	return result
}

// etcdutl is the program of that name: a store is what it is called.
func etcdutl(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "etcdutl")
	if err := os.Symlink(os.Getenv("ETCD_ETCDCTL"), path); err != nil {
		t.Fatal(err)
	}
	return path
}
