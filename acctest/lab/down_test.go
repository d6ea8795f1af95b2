package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestDown boots two labs of the same hosts at once. Each is by itself, and one ends without the other.
func TestDown(t *testing.T) {
	t.Parallel()
	hosts := []HostConfig{{Name: "a", DeviceBytes: 1 << 20, SmallUsr: 1 << 20}}
	machine(t)
	var labs [2]*Lab
	var failures [2]error
	var group sync.WaitGroup
	for i, suffix := range []string{"x", "y"} {
		group.Go(func() { labs[i], failures[i] = Up(t.Context(), Config{Name: labName(suffix), Hosts: hosts}) })
	}
	group.Wait()
	for i, l := range labs {
		if failures[i] != nil {
			t.Error(failures[i])
			continue
		}
		t.Cleanup(func() { gone(t, l) })
	}
	if t.Failed() {
		return
	}
	x, y := labs[0], labs[1]

	for i, l := range labs {
		on(t, l.Host("a"), "sh", "-c", "echo "+l.Name+" >/root/lab")
		if name := says(t, login{host: l.Host("a")}.ssh(t), "cat /root/lab"); name != l.Name {
			t.Errorf("the host of lab %s says %q", l.Name, name)
		}
		other, err := labs[1-i].Host("a").HostKey()
		must(t, err)
		refused(t, login{host: l.Host("a"), known: "* " + other}.ssh(t), "HAS CHANGED")
	}

	if _, err := Up(t.Context(), Config{Name: x.Name, Hosts: hosts}); err == nil || !strings.Contains(err.Error(), "is up already") {
		t.Errorf("booting it again: %v", err)
	}
	if _, err := Open(x.Name); err != nil || !x.Host("a").On() {
		t.Errorf("it is not up any more, %v", err)
	}

	want := []string{"cat", "ip", "losetup", "proc", "run", "sys", "var"}
	if seen := kinds(traces(t, x.Name)); !slices.Equal(seen, want) {
		t.Errorf("a lab that is up shows in %q, and not in %q", seen, want)
	}
	gone(t, x)
	gone(t, x) // again
	if _, err := Open(x.Name); err == nil {
		t.Error("it can be opened still")
	}
	if name := on(t, y.Host("a"), "cat", "/root/lab"); name != y.Name {
		t.Errorf("the host of lab %s says %q", y.Name, name)
	}
}

// TestInterrupted interrupts Up while it makes its hosts.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	machine(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := newLab(labName("i"))
	result := make(chan error)
	go func() {
		_, err := Up(ctx, Config{Name: l.Name, Hosts: []HostConfig{{Name: "a"}, {Name: "b"}}})
		result <- err
	}()
	becomes(t, "a host is being made", func() bool { return exists(l.dir + "/a/root/etc") })
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
	if left := traces(t, l.Name); len(left) > 0 {
		t.Errorf("it has left %q", left)
	}
}

// TestOtherDirectory boots a lab beside one of the same name, which another ETCD_LAB_DIR holds.
func TestOtherDirectory(t *testing.T) {
	config := Config{Name: labName("o"), Hosts: []HostConfig{{Name: "a"}}}
	l := up(t, config)
	dir := filepath.Join(stateDir(), "other"+l.Name)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	t.Setenv("ETCD_LAB_DIR", dir)
	if _, err := Up(t.Context(), config); err == nil || !strings.Contains(err.Error(), "is up already") {
		t.Errorf("it boots: %v", err)
	}
	if !l.Host("a").On() {
		t.Error("the one that was up has ended")
	}
}
