// Package agree marks everything that a stopped member has logged as committed. A recovery does so before it starts the
// member alone by force: etcd then drops entries that the member does not know to be committed, and a member learns
// that late. Entries that the leader acknowledged just before it died would be among those.
//
// etcd's code opens and creates files by name, in a directory of the system user, who may have put links there. So it
// runs in a process of that user, for whom such links lead only to the user's own files.
package agree

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/pace"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
)

// Command is the command of the store that Log runs as the system user, and that calls Run.
const Command = "agree"

const (
	// logDir is the file descriptor on which that process has the log's directory.
	logDir = 3
	// kept is how many bytes of the process's output are kept.
	kept = 4 << 10
)

// Host is a host with a member's data.
type Host struct {
	Files files.Tree
	Proc  procfs.FS
	// SystemUser finds the user that members run as.
	SystemUser func() (files.Owner, error)
	// Patience is how long the process may make no progress. A long log on a slow disk takes its time, and reading a
	// pipe would never end.
	Patience time.Duration
}

// Log marks everything in the log of a data directory as committed.
func (h Host) Log(dataDir string) error {
	if err := h.log(etcdfs.LogDir(dataDir)); err != nil {
		return fmt.Errorf("have what %s holds count as agreed on: %w", etcdfs.LogDir(dataDir), err)
	}
	return nil
}

func (h Host) log(dir string) error {
	etcd, err := h.SystemUser()
	if err != nil {
		return err
	}
	if etcd.UID == files.RootUser.UID || etcd.GID == files.RootUser.GID {
		return fmt.Errorf("there is no system user %s that is not root", api.SystemUser)
	}
	log, err := inside.Open(h.Files.Path(dir))
	if err != nil {
		return err
	}
	defer log.Close()
	said := &head{room: kept}
	// The store runs its own binary by a handle: the system user may not be allowed to enter its directory.
	command := exec.Command("/proc/self/exe")
	command.Args = []string{"store", Command}
	command.Env = []string{}
	command.Stderr = said
	command.WaitDelay = time.Second
	command.ExtraFiles = []*os.File{log.File()} // the first is logDir
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(etcd.UID), Gid: uint32(etcd.GID)}}
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	watched := make(chan error)
	go func() { watched <- h.endIfIdle(command.Process, ended) }()
	err = command.Wait()
	close(ended)
	if err = errors.Join(<-watched, err); err != nil {
		return fmt.Errorf("as user %s: %w: %s", api.SystemUser, err, strings.TrimSpace(said.String()))
	}
	return nil
}

// endIfIdle ends a process that has neither read nor computed for Patience.
func (h Host) endIfIdle(process *os.Process, ended <-chan struct{}) error {
	poll := time.NewTicker(pace.Poll)
	defer poll.Stop()
	mark, since := h.Proc.Work(process.Pid), time.Now()
	for {
		select {
		case <-ended:
			return nil
		case <-poll.C:
		}
		if now := h.Proc.Work(process.Pid); now.Read-mark.Read >= pace.LeastRead || now.Busy-mark.Busy >= h.Patience/pace.BusyShare {
			mark, since = now, time.Now()
		}
		if time.Since(since) >= h.Patience {
			return errors.Join(fmt.Errorf("nothing has come of it for %s", h.Patience), process.Kill())
		}
	}
}

// Run is what Command runs: it marks everything in the log of the directory behind logDir as committed. It refuses to
// run as root.
func Run() error {
	if os.Geteuid() == files.RootUser.UID || os.Getegid() == files.RootUser.GID {
		return errors.New("this is done as the system user of members, and not as root")
	}
	if err := os.NewFile(logDir, "the directory of the log").Chdir(); err != nil {
		return err
	}
	return etcdfs.Agree(".")
}

// head keeps the first bytes of what is written to it.
type head struct {
	bytes.Buffer
	room int
}

func (h *head) Write(p []byte) (int, error) {
	kept := min(len(p), h.room)
	h.room -= kept
	h.Buffer.Write(p[:kept])
	return len(p), nil
}
