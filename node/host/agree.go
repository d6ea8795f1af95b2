package host

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
)

// AgreeCommand is the command of the store that carries out Agree as the system user.
const AgreeCommand = "agree"

const (
	// agreeDir is the file descriptor on which that process has the directory of the log.
	agreeDir = 3
	// agreeSays is how much of what it says is kept, in bytes.
	agreeSays = 4 << 10
)

// agree marks everything that a member has logged as agreed on. A member that is started alone by force drops entries
// that it does not know to be agreed on, and it learns of agreement late: entries that its leader acknowledged just
// before it died would be among those.
//
// etcd's code opens and creates files by name, in a directory of the system user, who may have put links there. So it
// runs in a process of that user, whom links lead to nothing that is not the user's own.
func (m *Machine) agree(dir string) error {
	if err := m.agreeAsUser(dir, pace.StallTimeout); err != nil {
		return fmt.Errorf("have what %s holds count as agreed on: %w", etcdfs.LogDir(dir), err)
	}
	return nil
}

// agreeAsUser is bounded by the progress of that process: a long log on a slow disk takes its time, and reading a pipe
// would never end.
func (m *Machine) agreeAsUser(dir string, patience time.Duration) error {
	etcd, err := m.systemUser()
	if err != nil {
		return err
	}
	if etcd.UID == files.RootUser.UID || etcd.GID == files.RootUser.GID {
		return fmt.Errorf("there is no system user %s that is not root", api.SystemUser)
	}
	log, err := inside.Open(m.path(etcdfs.LogDir(dir)))
	if err != nil {
		return err
	}
	defer log.Close()
	said := &head{room: agreeSays}
	// It runs its own program by a handle: the system user may not be allowed to enter the directory of the program.
	command := exec.Command("/proc/self/exe")
	command.Args = []string{"store", AgreeCommand}
	command.Env = []string{}
	command.Stderr = said
	command.WaitDelay = time.Second
	command.ExtraFiles = []*os.File{log.File()} // the first is agreeDir
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(etcd.UID), Gid: uint32(etcd.GID)}}
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	watched := make(chan error)
	go func() { watched <- m.endIfIdle(command.Process, patience, ended) }()
	err = command.Wait()
	close(ended)
	if err = errors.Join(<-watched, err); err != nil {
		return fmt.Errorf("as user %s: %w: %s", api.SystemUser, err, strings.TrimSpace(said.String()))
	}
	return nil
}

// endIfIdle ends a process that has neither read nor computed for this long.
func (m *Machine) endIfIdle(process *os.Process, patience time.Duration, ended <-chan struct{}) error {
	poll := time.NewTicker(pace.Poll)
	defer poll.Stop()
	mark, since := m.proc().Work(process.Pid), time.Now()
	for {
		select {
		case <-ended:
			return nil
		case <-poll.C:
		}
		if now := m.proc().Work(process.Pid); now.Read-mark.Read >= pace.LeastRead || now.Busy-mark.Busy >= patience/pace.BusyShare {
			mark, since = now, time.Now()
		}
		if time.Since(since) >= patience {
			return errors.Join(fmt.Errorf("nothing has come of it for %s", patience), process.Kill())
		}
	}
}

// Agree marks everything in the log of the directory behind agreeDir as agreed on. It refuses to run as root.
func Agree() error {
	if os.Geteuid() == files.RootUser.UID || os.Getegid() == files.RootUser.GID {
		return errors.New("this is done as the system user of members, and not as root")
	}
	if err := os.NewFile(agreeDir, "the directory of the log").Chdir(); err != nil {
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
