package provider

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// progressLog is a file that gets a line per step, for people to follow while Terraform only shows that it is busy.
type progressLog struct {
	path string
	now  func() time.Time

	mu sync.Mutex
}

// newProgressLog checks that the file can be written to. It creates the file readable only for its owner.
func newProgressLog(path string, now func() time.Time) (*progressLog, error) {
	path, err := ssh.ExpandHome(path)
	if err != nil {
		return nil, err
	}
	log := &progressLog{path: path, now: now}
	return log, log.append("")
}

// write adds a line about a cluster.
func (l *progressLog) write(cluster, line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A full disk must not stop a change of the cluster half way.
	_ = l.append(fmt.Sprintf("%s %s %s\n", l.now().UTC().Format(time.RFC3339), cluster, line))
}

// append opens the file for each line, so that it may be rotated, or shared with another run.
func (l *progressLog) append(text string) error {
	file, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if closing := file.Close(); err == nil {
		err = closing
	}
	return err
}
