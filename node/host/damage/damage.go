// Package damage finds out whether what a member has written keeps etcd from starting on it, and remembers the result until
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
	Restarts int    // how often systemd has started the member in vain; 0: that says nothing
}

func (r Reader) data() etcdfs.Data { return etcdfs.Data{Root: r.Files.Root, Dir: r.Dir} }

// Known says what is known of the damage of a member's files while a process has them open that may soon end over them: what
// the log shows, which anybody may read, and what was found before in files that have not changed since. The second value
// tells whether that is all there is to know.
func (r Reader) Known(ctx context.Context) (string, bool) {
	if !r.data().AreFiles() {
		return "", true
	}
	known, all := r.examined(), true
	for i, check := range r.data().Checks() {
		if i == 0 {
			// What it says counts once it is kept: nobody has written to the log meanwhile.
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

// Find says what in a member's files keeps etcd from starting on them; empty: nothing that can be seen. It reads all of the
// log and of the database, as etcd does when it starts. What cannot be read because the disk fails, because a process has
// it open, or because ctx ends, is not known to be damaged. If ctx ends the reading of a database, the next call continues
// it: it may take longer than any observation lasts.
func (r Reader) Find(ctx context.Context) string {
	if !r.data().AreFiles() {
		return "" // what lies there is none of etcd's making, and may keep whoever reads it for ever
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
