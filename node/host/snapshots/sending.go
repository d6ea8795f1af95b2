package snapshots

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// KeptFor is how long a snapshot stays on the host once its caller is gone, for the caller's next call to send the
// rest. The caller asks for less time (resumePatience in package upgrade), and may be noticed to be gone only after
// api.LockSilence.
const KeptFor = 5 * time.Minute

// Sending is a snapshot on its way to a caller. Its file has no name: it goes with the calls that have it open, however
// these end. The call that sends it keeps it open for KeptFor after its caller is gone. Meanwhile the caller's next
// call gets the open file from that process, through a socket. So nothing is left on a disk that anybody has to remove.
type Sending struct {
	file    *os.File
	size    int64
	checked chan struct{} // closed once the two below are set
	saved   api.Saved
	err     error
}

// NewSending returns a snapshot of this size to send. check verifies it meanwhile.
func NewSending(file *os.File, size int64, check func() (api.Saved, error)) *Sending {
	s := &Sending{file: file, size: size, checked: make(chan struct{})}
	go func() {
		defer close(s.checked)
		s.saved, s.err = check()
	}()
	return s
}

// Size is how many bytes the whole snapshot has.
func (s *Sending) Size() int64 { return s.size }

// Close waits until the snapshot was verified, and closes its file.
func (s *Sending) Close() error {
	<-s.checked
	return s.file.Close()
}

// errTaken ends the sending of a call whose caller has gone on with another call.
var errTaken = errors.New("another call of the same run sends the rest")

// Send sends the snapshot from byte from on, and returns what was found in the whole of it. If it turns out to be none,
// the sending ends. If offered is not nil and the caller is gone, Send keeps the snapshot for its next call.
func (s *Sending) Send(ctx context.Context, from int64, to io.Writer, offered *Offer) (api.Saved, error) {
	sending, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	sent := make(chan error, 1)
	go func() { sent <- sendAll(to, Until(sending, io.NewSectionReader(s.file, from, s.size-from))) }()
	var gone error // why the caller is
	var over <-chan time.Time
	for checked, underway := s.checked, sent; ; {
		select {
		case <-checked:
			checked = nil
			if s.err != nil {
				stop(s.err)
				if underway != nil {
					<-underway
				}
				return api.Saved{}, s.err
			}
		case gone = <-underway:
			underway = nil
			if gone != nil && offered == nil {
				return api.Saved{}, gone
			}
			if gone != nil {
				over = time.After(offered.keeps)
			}
		case conn := <-offered.asked():
			switch question := ask(conn); {
			case question == take:
				stop(errTaken)
				s.handOver(conn, offered)
				return api.Saved{}, errTaken
			case question == letGo && gone != nil:
				offered.Close()
				err := errors.Join(gone, s.Close())
				conn.Close() // whoever waits for the space has it now
				return api.Saved{}, err
			}
			conn.Close()
		case <-over:
			return api.Saved{}, gone
		}
		if checked == nil && underway == nil && gone == nil {
			return s.saved, nil
		}
	}
}

// sendAll sends all of it, also what the writer would keep for later.
func sendAll(to io.Writer, from io.Reader) error {
	_, err := io.Copy(to, from)
	if buffered, is := to.(interface{ Flush() error }); is && err == nil {
		err = buffered.Flush()
	}
	return err
}

// What is asked through the socket of an Offer, in one byte.
const (
	take  = 't' // answered with the file, and then with a verdict
	letGo = 'l' // the socket is closed once the file is
)

// askPatience bounds one exchange over a socket.
const askPatience = 10 * time.Second

// ask reads what a process wants that has connected; 0: nothing.
func ask(conn *net.UnixConn) byte {
	var question [1]byte
	_ = conn.SetDeadline(time.Now().Add(askPatience))
	if _, err := io.ReadFull(conn, question[:]); err != nil {
		return 0
	}
	return question[0]
}

// verdict is what a call has found in a snapshot that another call sends.
type verdict struct {
	Saved api.Saved `json:"saved"`
	Error string    `json:"error,omitempty"`
}

// handOver passes the open file to another call, and then what was found in it.
func (s *Sending) handOver(conn *net.UnixConn, offered *Offer) {
	defer conn.Close()
	offered.Close() // its name is for the other call
	if _, _, err := conn.WriteMsgUnix([]byte{take}, unix.UnixRights(int(s.file.Fd())), nil); err != nil {
		return // the other call reports it
	}
	<-s.checked
	found := verdict{Saved: s.saved}
	if s.err != nil {
		found.Error = s.err.Error()
	}
	_ = conn.SetDeadline(time.Now().Add(askPatience))
	_ = json.NewEncoder(conn).Encode(found) // the other call reports it
}

// Offer is a socket through which the caller's next call takes a snapshot over.
type Offer struct {
	in       *inside.Dir
	listener *net.UnixListener
	conns    chan *net.UnixConn
	closed   chan struct{}
	keeps    time.Duration
}

// offerPrefix begins the names of the sockets of a cluster, in api.RunDir, which is root's alone.
func offerPrefix(cluster string) string { return cluster + ".save-" }

// Offer makes the socket of a snapshot that is about to be sent, by the ID that its caller has given it.
func (h Host) Offer(cluster, id string) (*Offer, error) {
	if err := h.Files.EnsureDir(api.RunDir, files.RootUser, 0o700); err != nil {
		return nil, err
	}
	in, err := inside.Open(h.Files.Path(api.RunDir))
	if err != nil {
		return nil, err
	}
	at := &net.UnixAddr{Net: "unix", Name: in.Path(offerPrefix(cluster) + id)} // the name may be longer than a socket's
	listener, err := net.ListenUnix(at.Net, at)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("offer the snapshot to the caller's next call: %w", err), in.Close())
	}
	o := &Offer{in: in, listener: listener, conns: make(chan *net.UnixConn), closed: make(chan struct{}), keeps: cmp.Or(h.Keeps, KeptFor)}
	go o.accept()
	return o, nil
}

func (o *Offer) accept() {
	for {
		conn, err := o.listener.AcceptUnix()
		if err != nil {
			return
		}
		select {
		case o.conns <- conn:
		case <-o.closed:
			conn.Close()
		}
	}
}

// asked returns who has connected.
func (o *Offer) asked() <-chan *net.UnixConn {
	if o == nil {
		return nil
	}
	return o.conns
}

// Close removes the socket. It may be called more than once.
func (o *Offer) Close() {
	if o == nil {
		return
	}
	select {
	case <-o.closed:
		return
	default:
	}
	close(o.closed)
	_ = o.listener.Close() // removes its name
	_ = o.in.Close()
}

// TakeOver returns the snapshot that an earlier call of the same run was sending, or fs.ErrNotExist if there is none
// any more.
func (h Host) TakeOver(cluster, id string) (*Sending, error) {
	conn, err := h.dial(offerPrefix(cluster)+id, take)
	if err != nil {
		return nil, err
	}
	file, err := receiveFile(conn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("take over the snapshot that an earlier call has: %w", err), conn.Close())
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close(), conn.Close())
	}
	return NewSending(file, info.Size(), func() (api.Saved, error) {
		defer conn.Close()
		_ = conn.SetDeadline(time.Time{}) // a large one takes minutes
		var found verdict
		if err := json.NewDecoder(conn).Decode(&found); err != nil {
			return api.Saved{}, fmt.Errorf("the call that verifies the snapshot has ended before that: %w; apply again", err)
		}
		if found.Error != "" {
			return api.Saved{}, errors.New(found.Error)
		}
		return found.Saved, nil
	}), nil
}

// receiveFile receives an open file.
func receiveFile(conn *net.UnixConn) (*os.File, error) {
	answer, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	n, got, _, _, err := conn.ReadMsgUnix(answer, rights)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:got])
	if err != nil || n != 1 || len(messages) != 1 {
		return nil, errors.Join(err, errors.New("it has passed no file"))
	}
	handles, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(handles) != 1 {
		return nil, errors.Join(err, errors.New("it has passed no file"))
	}
	return os.NewFile(uintptr(handles[0]), "a snapshot that is sent"), nil
}

// dial connects to the socket of an Offer, and asks.
func (h Host) dial(name string, question byte) (*net.UnixConn, error) {
	in, err := inside.Open(h.Files.Path(api.RunDir))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	at := &net.UnixAddr{Net: "unix", Name: in.Path(name)}
	conn, err := net.DialUnix(at.Net, nil, at)
	if errors.Is(err, unix.ECONNREFUSED) { // a killed call has left its name
		err = errors.Join(fs.ErrNotExist, in.Remove(name))
	}
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(askPatience))
	if _, err := conn.Write([]byte{question}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// LetGo has the cluster's snapshots go whose callers are gone, for somebody who needs their space. Those that are being
// sent stay. What cannot be asked keeps nobody from what he is about to do: the space is looked at then.
func (h Host) LetGo(cluster string) {
	entries, err := inside.ReadDir(h.Files.Path(api.RunDir))
	if err != nil {
		return
	}
	for _, entry := range entries {
		if !strings.HasPrefix(filepath.Base(entry.Name()), offerPrefix(cluster)) {
			continue
		}
		if conn, err := h.dial(entry.Name(), letGo); err == nil {
			_, _ = conn.Read(make([]byte, 1)) // until it is closed
			_ = conn.Close()
		}
	}
}
