package host

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/durable"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// arrivingName is what an upload is called of which only a part has come: it is gone on with.
var arrivingName = regexp.MustCompile(`^arriving-[0-9a-f]{64}$`)

// arrivingFile is where an upload lies that is on its way, as it was sent.
func arrivingFile(dataDir, sha256 string) string {
	return filepath.Join(api.SnapshotDir(dataDir), "arriving-"+sha256)
}

// Arrived says how much of an upload has come with a call that was cut short.
func (m *Machine) Arrived(r api.ArrivedRequest) (api.Arrived, error) {
	if err := systemd.CheckDataDir(r.DataDir); err != nil {
		return api.Arrived{}, refuse("data directory %q: %s", r.DataDir, err)
	}
	if err := api.CheckSHA256(r.SHA256, "an upload"); err != nil {
		return api.Arrived{}, err
	}
	has, err := m.trusted(arrivingFile(r.DataDir, r.SHA256))
	return api.Arrived{Bytes: has}, err
}

// trusted is how much of a part can be gone on with. Since the host has booted, that is all that was written. A power cut
// may have taken the end from the disk and left the file its length, so of an older part the end counts as not come: nobody
// would notice before the whole has come, and all of it would be brought again.
func (m *Machine) trusted(part string) (int64, error) {
	info, err := os.Lstat(m.path(part))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	switch _, err := os.Lstat(m.path(sinceBoot(part))); {
	case errors.Is(err, fs.ErrNotExist):
		return max(0, info.Size()-durable.Unsynced), nil
	case err != nil:
		return 0, err
	}
	return info.Size(), nil
}

// sinceBoot is a file that says that a part, or a snapshot that was fetched, has been written to since the host has booted, and
// how long after that.
func sinceBoot(part string) string {
	sum := sha256.Sum256([]byte(part))
	return filepath.Join(api.RunDir, "arriving-"+hex.EncodeToString(sum[:8]))
}

// noteSinceBoot says so. All that the part has is on the disk by then: what a power cut may take is what is written next.
func (m *Machine) noteSinceBoot(part string) error {
	if err := m.files().EnsureDir(api.RunDir, files.RootUser, 0o700); err != nil {
		return err
	}
	up := ""
	if at, known := m.proc().Uptime(); known {
		up = strconv.FormatFloat(at.Seconds(), 'f', 2, 64) + "\n"
	}
	return os.WriteFile(m.path(sinceBoot(part)), []byte(up), 0o600)
}

// begun says where what comes from far away lies until all of it is there, and how much of it came before, with calls
// that were cut short. No name: it cannot be gone on with.
func (m *Machine) begun(from *snapshots.Source, r api.FetchRequest) (before int64, part string, err error) {
	if r.Source.Upload != nil {
		part = arrivingFile(r.DataDir, from.SHA256)
		if err := m.release(part); err != nil {
			return 0, "", err
		}
		return r.From, part, m.cutTo(part, r.From) // who sends it says how much it leaves out
	}
	if part = partFile(from, r.DataDir); part == "" {
		return 0, "", nil
	}
	if err := m.release(part); err != nil {
		return 0, "", err
	}
	if before, err = m.trusted(part); err != nil {
		return 0, "", err
	}
	if before > from.Size {
		before = 0
	}
	if err := m.cutTo(part, before); err != nil {
		return 0, "", err
	}
	if m.disks().MustHoldRestore(r.DataDir, 2*from.Size-before, from.Size) != nil {
		encrypted, err := m.comesEncrypted(from, before, part)
		if err != nil || encrypted { // there is no room for it both as it comes and in the clear
			return 0, "", errors.Join(err, from.Skip(0))
		}
	}
	return before, part, from.Skip(before)
}

// cutTo takes off a part what comes again, before anybody looks for room: it would be taken by what came before, and wanted
// for what comes. What stays is on the disk, and counts as such from now on.
func (m *Machine) cutTo(part string, before int64) error {
	has, err := m.trusted(part)
	if err != nil || has < before {
		return err // whoever goes on with it refuses
	}
	return m.inPart(part, func(file *os.File, size int64) error {
		if size <= before {
			return nil
		}
		return errors.Join(file.Truncate(before), file.Sync(), m.noteSinceBoot(part))
	})
}

// release gives back what a call that was killed had set aside for a part: it would count as taken by another.
func (m *Machine) release(part string) error {
	return m.inPart(part, func(file *os.File, _ int64) error { return durable.Release(file) })
}

// inPart does something in a part, if it is there, which keeps the age by which it counts as given up.
func (m *Machine) inPart(part string, do func(file *os.File, size int64) error) error {
	file, err := inside.OpenFile(m.path(part), os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	return errors.Join(do(file, info.Size()), os.Chtimes(inside.PathOf(file), time.Time{}, info.ModTime()))
}

// comesEncrypted tells whether age has encrypted what comes behind what has come before.
func (m *Machine) comesEncrypted(from *snapshots.Source, before int64, part string) (bool, error) {
	if before >= int64(len(encryptedHeader)) {
		return m.isEncrypted(part)
	}
	return beginsEncrypted(from)
}

// errStays marks an error after which what has come stays, for the next call to go on with.
var errStays = errors.New("")

// receive takes what comes from far away, behind what has come of it before, and says where it lies in the clear: where it
// has arrived, or, where it is encrypted, in a new file. What has come stays where the rest does not. The whole is held
// against the SHA-256 that it was announced with.
func (m *Machine) receive(from *snapshots.Source, r api.FetchRequest, before int64, part, unfinished string) (clear string, s *etcdfs.Checksum, err error) {
	if s, err = m.arrive(from, before, part); err != nil {
		return "", nil, err
	}
	encrypted, err := m.isEncrypted(part)
	if err != nil || !encrypted {
		return part, s, err
	}
	s, err = m.decrypt(from, part, r, unfinished)
	return unfinished, s, err
}

// arrive appends what comes to what has come before, in so many bytes, until all of it is there.
func (m *Machine) arrive(from *snapshots.Source, before int64, part string) (whole *etcdfs.Checksum, err error) {
	file, err := inside.OpenFile(m.path(part), os.O_RDWR|os.O_CREATE, files.KeyFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	has, err := m.trusted(part)
	if err == nil && has < before {
		err = fmt.Errorf("%d bytes of %s are on the host, and not %d: apply again", has, from.What, before)
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(file.Truncate(before), file.Sync(), m.noteSinceBoot(part)); err != nil {
		return nil, err
	}
	if err := disks.Reserve(file, from.Size); err != nil {
		return nil, fmt.Errorf("%w%w", errStays, err) // what has come stays
	}
	defer func() { err = errors.Join(err, durable.Release(file)) }()
	sum, s := sha256.New(), etcdfs.NewChecksum()
	if _, err := io.Copy(io.MultiWriter(sum, s), file); err != nil {
		return nil, err
	}
	disk, coming := durable.NewWriter(file), &snapshots.Counted{From: io.LimitReader(from, from.Size-before), Hash: sum}
	_, err = io.Copy(io.MultiWriter(disk, s), coming)
	arrived := before + coming.Bytes
	switch broken := coming.Broken; {
	case broken != nil:
		return nil, fmt.Errorf("%w%d of %d bytes of %s have arrived, and stay: %w; apply again to go on from there", errStays, arrived, from.Size, from.What, broken)
	case err != nil:
		return nil, fmt.Errorf("fetch %s: %w", from.What, err)
	case arrived < from.Size:
		return nil, fmt.Errorf("%w%d of %d bytes of %s have arrived, and stay: it was cut off on its way; apply again to go on from there", errStays, arrived, from.Size, from.What)
	case from.SHA256 != "" && hex.EncodeToString(sum.Sum(nil)) != from.SHA256:
		return nil, fmt.Errorf("%s has arrived with the SHA-256 %x, and was sent with %s: it was damaged on its way, or has changed meanwhile; apply again", from.What, sum.Sum(nil), from.SHA256)
	}
	return s, disk.Sync()
}

// isEncrypted tells whether age has encrypted a file.
func (m *Machine) isEncrypted(path string) (bool, error) {
	file, err := inside.OpenFile(m.path(path), os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer file.Close()
	return beginsEncrypted(file)
}

func beginsEncrypted(content io.Reader) (bool, error) {
	head := make([]byte, len(encryptedHeader))
	_, err := io.ReadFull(content, head)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return bytes.Equal(head, encryptedHeader), err
}

// decrypt writes what has arrived encrypted in the clear.
func (m *Machine) decrypt(from *snapshots.Source, part string, r api.FetchRequest, path string) (*etcdfs.Checksum, error) {
	if err := m.disks().MustHoldRestore(r.DataDir, from.Size, from.Size); err != nil {
		return nil, fmt.Errorf("%w%w", errStays, err)
	}
	file, err := inside.OpenFile(m.path(part), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return m.download(&snapshots.Source{ReadCloser: file, What: from.What, Size: from.Size}, r.Identity.Reveal(), path)
}
