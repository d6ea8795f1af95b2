// Package inside lets root work in directories that other users can write to. The system user of members can put
// anything into its directories, at any time and between any two calls: a link to a file of root's, a pipe without a
// writer, another directory of the same name. So root reaches a directory without following any of that user's links,
// keeps a handle on it, and works by that handle.
package inside

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLink is returned for a link in a path that root does not follow.
var ErrLink = errors.New("it is a link that another user than root may have put there, and root does not follow it: remove it, or have root make it")

const (
	root = 0
	// writable are the permissions by which users other than its owner can write to a directory.
	writable = 0o022
)

// mostLinks is how many links a path may have, as in the kernel.
const mostLinks = 40

// walk opens a directory, and returns a handle from which walks can continue. If ensure is set, it makes the missing
// directories on the way.
//
// It follows links that only root can have made: links that root owns, such as one that gives the log a disk of its
// own, and links in directories that nobody else can write to.
func walk(path string, ensure bool) (handle int, err error) {
	handle, err = openDir(unix.AT_FDCWD, "/")
	links, rest := 0, parts(path)
	for err == nil && len(rest) > 0 {
		next, name := -1, rest[0]
		next, err = openDir(handle, name)
		if errors.Is(err, unix.ENOENT) && ensure {
			next, err = makeDir(handle, name)
		}
		rest = rest[1:]
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			var target string
			if target, err = targetOf(handle, name); err != nil {
				break
			}
			if links++; links > mostLinks {
				err = unix.ELOOP
				break
			}
			rest = append(parts(target), rest...)
			if !filepath.IsAbs(target) {
				continue
			}
			next, err = openDir(unix.AT_FDCWD, "/")
		}
		if err == nil {
			_ = unix.Close(handle)
			handle = next
		}
	}
	if err != nil {
		if handle >= 0 {
			_ = unix.Close(handle)
		}
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return handle, nil
}

// parts returns the names in a path, ".." included: from the target of a link, it leads to the target's parent.
func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// openDir opens a directory, and refuses a link to one. Opening it triggers an automount.
func openDir(at int, name string) (int, error) {
	return unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// makeDir makes a directory that root owns, and syncs its name.
func makeDir(at int, name string) (int, error) {
	if err := unix.Mkdirat(at, name, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, err
	}
	around, err := unix.Openat(at, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := errors.Join(unix.Fsync(around), unix.Close(around)); err != nil {
		return -1, err
	}
	return openDir(at, name)
}

// targetOf reads a link that may be followed.
func targetOf(at int, name string) (string, error) {
	link, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(link)
	var holder, is unix.Stat_t
	if err := errors.Join(unix.Fstat(at, &holder), unix.Fstat(link, &is)); err != nil {
		return "", err
	}
	if is.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", unix.ENOTDIR
	}
	if is.Uid != root && (holder.Uid != root || holder.Mode&writable != 0) {
		return "", fmt.Errorf("%s: %w", name, ErrLink)
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(link, "", target)
	if err == nil && n == 0 {
		err = unix.ENOENT
	}
	if err != nil {
		return "", err
	}
	return string(target[:n]), nil
}
