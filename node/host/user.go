package host

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strconv"
)

// Owner is who owns a file, by numbers.
type Owner struct{ UID, GID int }

// root owns what etcd may not change.
var root = Owner{0, 0}

// Shadow keeps users in /etc/passwd, by the tools of the shadow suite.
type Shadow struct{ Run Runner }

// Lookup finds a user in /etc/passwd.
func (Shadow) Lookup(name string) (Owner, bool, error) {
	found, err := user.Lookup(name)
	var unknown user.UnknownUserError
	if errors.As(err, &unknown) {
		return Owner{}, false, nil
	}
	if err != nil {
		return Owner{}, false, fmt.Errorf("look up user %s: %w", name, err)
	}
	uid, err := strconv.Atoi(found.Uid)
	if err != nil {
		return Owner{}, false, fmt.Errorf("look up user %s: user ID %q is no number", name, found.Uid)
	}
	gid, err := strconv.Atoi(found.Gid)
	if err != nil {
		return Owner{}, false, fmt.Errorf("look up user %s: group ID %q is no number", name, found.Gid)
	}
	return Owner{uid, gid}, true, nil
}

// Ensure makes the user and its group unless they are there. A group of that name that is there
// already becomes the user's.
func (s Shadow) Ensure(ctx context.Context, name string) (Owner, error) {
	owner, found, err := s.Lookup(name)
	if err != nil || found {
		return owner, err
	}
	group := []string{"--user-group"}
	var unknown user.UnknownGroupError
	if _, err := user.LookupGroup(name); err == nil {
		group = []string{"--gid", name}
	} else if !errors.As(err, &unknown) {
		return Owner{}, fmt.Errorf("look up group %s: %w", name, err)
	}
	args := append([]string{"--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"}, group...)
	if _, err := s.Run(ctx, "useradd", append(args, name)...); err != nil {
		return Owner{}, fmt.Errorf("make system user %s: %w", name, err)
	}
	owner, found, err = s.Lookup(name)
	if err == nil && !found {
		err = fmt.Errorf("make system user %s: useradd succeeded, and /etc/passwd does not hold it", name)
	}
	return owner, err
}
