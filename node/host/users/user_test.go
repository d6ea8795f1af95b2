package users

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
)

func TestShadowFindsUsers(t *testing.T) {
	withoutGetent := func(context.Context, string, ...string) ([]byte, error) {
		return nil, fmt.Errorf("getent: %w", exec.ErrNotFound)
	}
	for name, run := range map[string]units.Runner{"by getent": units.Exec, "in the files": withoutGetent} {
		t.Run(name, func(t *testing.T) {
			s := Shadow{Run: run}
			if owner, found, err := s.Lookup(t.Context(), "root"); err != nil || !found || owner != files.RootUser {
				t.Errorf("root is %+v, %v, %v", owner, found, err)
			}
			if owner, found, err := s.Lookup(t.Context(), "nobody-has-this-name"); err != nil || found {
				t.Errorf("nobody is %+v, %v, %v", owner, found, err)
			}
		})
	}
}

// accounts are the users and groups that a host knows from any source, as lines of getent, by name. Its tools refuse an
// account that exists.
type accounts struct {
	users, groups map[string]string
	made          [][]string
	lost          bool // a new account does not appear
	broken        bool // the services that getent asks do not answer
}

func (a *accounts) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	exit := func(status int) ([]byte, error) { return units.Exec(ctx, "sh", "-c", fmt.Sprintf("exit %d", status)) }
	account := args[len(args)-1]
	if name == "getent" {
		line := map[string]map[string]string{"passwd": a.users, "group": a.groups}[args[0]][account]
		switch {
		case a.broken:
			return exit(1)
		case line == "":
			return exit(2)
		}
		return []byte(line + "\n"), nil
	}
	a.made = append(a.made, append([]string{name}, args...))
	isUser, makesGroup := name == "useradd", name == "groupadd" || slices.Contains(args, "--user-group")
	switch {
	case name != "useradd" && name != "groupadd":
		return nil, fmt.Errorf("%s is not to run", name)
	case isUser && a.users[account] != "", makesGroup && a.groups[account] != "":
		return exit(9)
	case a.lost:
		return nil, nil
	}
	if isUser {
		a.users[account] = account + ":x:900:901::/nonexistent:/usr/sbin/nologin"
	}
	if makesGroup {
		a.groups[account] = account + ":x:901:"
	}
	return nil, nil
}

// TestShadowEnsuresTheUserAndItsGroup holds that a host has the user and the group that the unit names afterwards,
// whichever of them it had before and from whatever source.
func TestShadowEnsuresTheUserAndItsGroup(t *testing.T) {
	const name = "nobody-has-this-name"
	useradd := func(group ...string) []string {
		args := []string{"useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"}
		return append(append(args, group...), name)
	}
	user := func(gid string) map[string]string {
		return map[string]string{name: name + ":x:232:" + gid + "::/:/bin/false"}
	}
	group := map[string]string{name: name + ":x:233:someone"}
	for title, test := range map[string]struct {
		users, groups map[string]string
		owner         files.Owner
		made          [][]string
	}{
		"neither":                 {owner: files.Owner{UID: 900, GID: 901}, made: [][]string{useradd("--user-group")}},
		"a group":                 {groups: group, owner: files.Owner{UID: 900, GID: 233}, made: [][]string{useradd("--gid", name)}},
		"both":                    {users: user("233"), groups: group, owner: files.Owner{UID: 232, GID: 233}},
		"a user of another group": {users: user("100"), groups: group, owner: files.Owner{UID: 232, GID: 233}},
		"a user of another group, no group of its": {users: user("100"), owner: files.Owner{UID: 232, GID: 901}, made: [][]string{{"groupadd", "--system", name}}},
	} {
		t.Run(title, func(t *testing.T) {
			a := &accounts{users: map[string]string{}, groups: map[string]string{}}
			maps.Copy(a.users, test.users)
			maps.Copy(a.groups, test.groups)
			s := Shadow{Run: a.run}
			_, found, err := s.Lookup(t.Context(), name)
			if there := test.made == nil; err != nil || found != there {
				t.Errorf("found before: %v, %v", found, err)
			}
			for range 2 {
				if owner, err := s.Ensure(t.Context(), name); err != nil || owner != test.owner {
					t.Errorf("the owner is %+v, and should be %+v; %v", owner, test.owner, err)
				}
			}
			if diff := cmp.Diff(test.made, a.made); diff != "" {
				t.Error(diff)
			}
			if owner, found, err := s.Lookup(t.Context(), name); err != nil || !found || owner != test.owner {
				t.Errorf("found after: %+v, %v, %v", owner, found, err)
			}
		})
	}
}

// TestShadowIsBounded asks services that never answer. Accounts in the files are found all the same, and no account
// counts as missing, neither for a lookup nor when one is about to be made.
func TestShadowIsBounded(t *testing.T) {
	asked := 0
	hangs := func(ctx context.Context, name string, _ ...string) ([]byte, error) {
		if name != "getent" {
			t.Errorf("%s runs", name)
		}
		asked++
		return units.Exec(ctx, "sleep", "infinity")
	}
	s := Shadow{Run: hangs, Within: 50 * time.Millisecond}
	if owner, found, err := s.Lookup(t.Context(), "root"); err != nil || !found || owner != files.RootUser {
		t.Errorf("root is %+v, %v, %v", owner, found, err)
	}
	const nobody = "nobody-has-this-name"
	if owner, found, err := s.Lookup(t.Context(), nobody); err == nil || !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("nobody is %+v, %v, %v", owner, found, err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if owner, found, err := s.Lookup(ended, nobody); err == nil {
		t.Errorf("with no time at all nobody is %+v, %v", owner, found)
	}
	if owner, err := s.Ensure(t.Context(), nobody); err == nil {
		t.Errorf("made %+v", owner)
	}
	if asked == 0 {
		t.Error("nobody was asked")
	}
}

func TestShadowTellsOfFailures(t *testing.T) {
	const name = "nobody-has-this-name"
	for says, a := range map[string]*accounts{
		"does not know both": {lost: true},
		"exit status 1":      {broken: true},
		"says \"x\\n\"":      {users: map[string]string{name: "x"}},
		"is no number":       {users: map[string]string{name: name + ":x:many:1"}},
	} {
		if owner, err := (Shadow{Run: a.run}).Ensure(t.Context(), name); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: it is %+v, %v", says, owner, err)
		}
	}
	run := func(_ context.Context, name string, _ ...string) ([]byte, error) {
		if name == "getent" {
			return nil, exec.ErrNotFound
		}
		return nil, errors.New("cannot lock /etc/passwd")
	}
	if _, err := (Shadow{Run: run}).Ensure(t.Context(), name); err == nil || !strings.Contains(err.Error(), "cannot lock") {
		t.Errorf("an error was swallowed: %v", err)
	}
}
