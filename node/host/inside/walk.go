// Package inside goes into directories that others than root may write to, as root. The system user of members may put
// into his directories what he likes, at any time and between any two calls: a link to a file of root's, a pipe that
// nobody writes to, a directory under the name of another one. So root comes to a directory by a way on which no link
// of his leads anywhere, keeps a handle on it, and does by that handle what there is to do.
package inside

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLink is a link on the way to something, which root does not go by.
var ErrLink = errors.New("it is a link that another user than root may have put there, and root does not follow it: remove it, or have root make it")

const (
	root = 0
	// writable are the permissions by which others than its owner write to a directory.
	writable = 0o022
)

// mostLinks is how many links a way may have, as in the kernel.
const mostLinks = 40

// walk goes to a directory, and returns a handle that is good for going on from there. Directories that are missing on
// the way are made where ensure is set.
//
// It follows links that only root can have put where they are: links of root's, such as one by which somebody has given
// the log a disk of its own, and those in directories that nobody else can write to.
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

// parts are the names on a way. That to .. goes from where a link has led to.
func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// openDir opens a directory, and no link to one. What is mounted there by need is mounted by that.
func openDir(at int, name string) (int, error) {
	return unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// makeDir makes a directory as root's own, and brings its name to the disk.
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
