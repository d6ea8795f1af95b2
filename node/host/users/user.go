// Package users finds and makes the system user that members run as.
package users

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
)

// Shadow makes users by the tools of the shadow suite. It also finds users that the machine knows from elsewhere:
// systemd runs units as those too, and useradd makes no second user of the same name.
type Shadow struct {
	Run    units.Runner
	Within time.Duration // how long a lookup waits; 0: units.Timeout
}

// Lookup finds a user and the group of the same name, since the unit names both; the user's primary group may be
// another. False: the user or the group is missing. Lookup gives a service that answers no question about accounts, a
// hung sssd for example, no longer than Within.
func (s Shadow) Lookup(ctx context.Context, name string) (files.Owner, bool, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	uid, isUser, err := s.id(ctx, users, name)
	if err != nil || !isUser {
		return files.Owner{}, false, err
	}
	gid, isGroup, err := s.id(ctx, groups, name)
	if err != nil || !isGroup {
		return files.Owner{}, false, err
	}
	return files.Owner{UID: uid, GID: gid}, true, nil
}

// Ensure makes the user, and the group of the same name, unless they exist. If only the group exists, Ensure makes the
// user in that group.
func (s Shadow) Ensure(ctx context.Context, name string) (files.Owner, error) {
	isUser, isGroup, err := s.has(ctx, name)
	if err != nil {
		return files.Owner{}, err
	}
	args := []string{"--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"}
	switch {
	case !isUser && !isGroup:
		_, err = s.Run(ctx, "useradd", append(args, "--user-group", name)...)
	case !isUser:
		_, err = s.Run(ctx, "useradd", append(args, "--gid", name, name)...)
	case !isGroup:
		_, err = s.Run(ctx, "groupadd", "--system", name)
	}
	if err != nil {
		return files.Owner{}, fmt.Errorf("make system user %s and its group: %w", name, err)
	}
	owner, found, err := s.Lookup(ctx, name)
	if err == nil && !found {
		err = fmt.Errorf("make system user %s and its group: the host does not know both after that: see `getent passwd %[1]s` and `getent group %[1]s` there", name)
	}
	return owner, err
}

// has tells whether a user and whether a group of this name exist.
func (s Shadow) has(ctx context.Context, name string) (isUser, isGroup bool, err error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	if _, isUser, err = s.id(ctx, users, name); err == nil {
		_, isGroup, err = s.id(ctx, groups, name)
	}
	return isUser, isGroup, err
}

// bounded ends a lookup that no service answers.
func (s Shadow) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	within := s.Within
	if within == 0 {
		within = units.Timeout
	}
	return context.WithTimeout(ctx, within)
}

// The databases of getent.
const (
	users  = "passwd"
	groups = "group"
)

// notFound is the exit status of getent that says that there is no such name.
const notFound = 2

// id finds the number of a user or a group; false: the machine knows none of that name. It asks getent, since users may
// come from sssd, from an image (altfiles) or from systemd-userdbd, and the store, which is linked without the C
// library, reads only /etc/passwd and /etc/group by itself. id goes by the files if getent is missing, has not noticed
// a change of the files yet, or does not answer in time. A name that is not in the files then is unknown, and not
// missing.
func (s Shadow) id(ctx context.Context, database, name string) (int, bool, error) {
	text, err := s.Run(ctx, "getent", database, name)
	if err == nil {
		fields := strings.Split(strings.TrimSpace(string(text)), ":") // NAME:PASSWORD:ID:...
		if len(fields) < 3 {
			return 0, false, fmt.Errorf("look up %s: getent %s says %q", name, database, text)
		}
		return number(database, name, fields[2])
	}
	if ctx.Err() != nil {
		if id, found, failed := idInFiles(database, name); found && failed == nil {
			return id, true, nil
		}
		return 0, false, fmt.Errorf("look up %s: getent did not answer: see what provides this host's accounts (/etc/nsswitch.conf): %w", name, err)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() != notFound {
		return 0, false, fmt.Errorf("look up %s: %w", name, err)
	}
	return idInFiles(database, name)
}

// idInFiles finds the number of a user in /etc/passwd, or of a group in /etc/group.
func idInFiles(database, name string) (int, bool, error) {
	var text string
	var err error
	if database == users {
		var found *user.User
		if found, err = user.Lookup(name); err == nil {
			text = found.Uid
		}
	} else {
		var found *user.Group
		if found, err = user.LookupGroup(name); err == nil {
			text = found.Gid
		}
	}
	var noUser user.UnknownUserError
	var noGroup user.UnknownGroupError
	switch {
	case errors.As(err, &noUser), errors.As(err, &noGroup):
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("look up %s in /etc/%s: %w", name, database, err)
	}
	return number(database, name, text)
}

func number(database, name, text string) (int, bool, error) {
	id, err := strconv.Atoi(text)
	if err != nil {
		return 0, false, fmt.Errorf("look up %s in %s: %q is no number", name, database, text)
	}
	return id, true, nil
}
