// Package damage finds out whether damage in a member's files keeps etcd from starting, and remembers the result until
// the host boots.
package damage

import (
	"context"
	"errors"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// Reader reads the files of one member.
type Reader struct {
	Files    files.Tree
	Now      func() time.Time
	Dir      string // the data directory
	Restarts int    // how often systemd has started the member in vain; 0: unknown, or never
}

func (r Reader) data() etcdfs.Data { return etcdfs.Data{Root: r.Files.Root, Dir: r.Dir} }

// Known returns what is known of the damage while a process that may soon crash has the files open: what the log shows,
// which can be read meanwhile, and what was found before in files that have not changed since. The second value tells
// whether nothing more can be found out.
func (r Reader) Known(ctx context.Context) (string, bool) {
	if !r.data().AreFiles() {
		return "", true
	}
	known, all := r.examined(), true
	for i, check := range r.data().Checks() {
		if i == 0 {
			// The result counts once it is kept: then nobody has written to the log meanwhile.
			_ = known.once(check.Name, check.Files, func(at *etcdfs.Position) error { return check.Do(ctx, at) })
		}
		says, kept := known.kept(check.Name, check.Files)
		if says != "" {
			return says, true
		}
		all = all && kept
	}
	return "", all
}

// Find returns which damage keeps etcd from starting, or "" if it sees none. It reads all of the log and of the
// database, as etcd does when it starts. A file that cannot be read, because the disk fails, a process has it open, or
// ctx ends, is not known to be damaged. If ctx ends while Find reads a database, the next call continues there: a
// database may take longer than any observation lasts.
func (r Reader) Find(ctx context.Context) string {
	if !r.data().AreFiles() {
		return "" // etcd has not made what lies there, and reading it may never end
	}
	known := r.examined()
	for _, check := range r.data().Checks() {
		err := known.once(check.Name, check.Files, func(at *etcdfs.Position) error { return check.Do(ctx, at) })
		var found etcdfs.Damaged
		if errors.As(err, &found) {
			return string(found)
		}
		if ctx.Err() != nil {
			return ""
		}
	}
	return ""
}
