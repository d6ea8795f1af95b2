package arrivals

import (
	"bytes"
	"context"
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
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// ArrivingName matches the names of parts of snapshots: what has arrived of a transfer that can be resumed.
var ArrivingName = regexp.MustCompile(`^arriving-[0-9a-f]{64}$`)

// ArrivingFile is the path of the part of an upload with this SHA-256. It holds the upload as it was sent, encrypted or
// not.
func ArrivingFile(dataDir, sha256 string) string {
	return filepath.Join(api.SnapshotDir(dataDir), "arriving-"+sha256)
}

// Arrived returns how many bytes of an upload have arrived with calls that were cut short.
func (h Host) Arrived(r api.ArrivedRequest) (api.Arrived, error) {
	if err := systemd.CheckDataDir(r.DataDir); err != nil {
		return api.Arrived{}, api.Refuse("data directory %q: %s", r.DataDir, err)
	}
	if err := api.CheckSHA256(r.SHA256, "an upload"); err != nil {
		return api.Arrived{}, err
	}
	has, err := h.trusted(ArrivingFile(r.DataDir, r.SHA256))
	return api.Arrived{Bytes: has}, err
}

// trusted returns how many bytes of a part can be kept. If the part was written since the host has booted, these are
// all of them. A power cut may have lost the end of an older part and kept the length of its file, so the end does not
// count: the damage would show only once all has arrived, and then all would have to be sent again.
func (h Host) trusted(part string) (int64, error) {
	info, err := os.Lstat(h.Files.Path(part))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	switch _, err := os.Lstat(h.Files.Path(sinceBoot(part))); {
	case errors.Is(err, fs.ErrNotExist):
		return max(0, info.Size()-durable.Unsynced), nil
	case err != nil:
		return 0, err
	}
	return info.Size(), nil
}

// sinceBoot is the path of a file that exists if a part, or a fetched snapshot, was written to since the host has
// booted. The file says how long after the boot.
func sinceBoot(part string) string {
	sum := sha256.Sum256([]byte(part))
	return filepath.Join(api.RunDir, "arriving-"+hex.EncodeToString(sum[:8]))
}

// NoteSinceBoot writes the file that sinceBoot names. The caller has synced the part: a power cut can only lose what is
// written afterwards.
func (h Host) NoteSinceBoot(part string) error {
	if err := h.Files.EnsureDir(api.RunDir, files.RootUser, 0o700); err != nil {
		return err
	}
	up := ""
	if at, known := h.proc().Uptime(); known {
		up = strconv.FormatFloat(at.Seconds(), 'f', 2, 64) + "\n"
	}
	return os.WriteFile(h.Files.Path(sinceBoot(part)), []byte(up), 0o600)
}

// begun returns the file that a transfer arrives in, and how many bytes of it earlier calls have brought. part is "" if
// the transfer cannot be resumed.
func (h Host) begun(from *snapshots.Source, r api.FetchRequest) (before int64, part string, err error) {
	if r.Source.Upload != nil {
		part = ArrivingFile(r.DataDir, from.SHA256)
		if err := h.Release(part); err != nil {
			return 0, "", err
		}
		// The sender leaves out the first r.From bytes.
		return r.From, part, h.CutTo(part, r.From)
	}
	if part = partFile(from, r.DataDir); part == "" {
		return 0, "", nil
	}
	if err := h.Release(part); err != nil {
		return 0, "", err
	}
	if before, err = h.trusted(part); err != nil {
		return 0, "", err
	}
	if before > from.Size {
		before = 0
	}
	if err := h.CutTo(part, before); err != nil {
		return 0, "", err
	}
	if h.disks().MustHoldRestore(r.DataDir, 2*from.Size-before, from.Size) != nil {
		encrypted, err := h.comesEncrypted(from, before, part)
		// There is no room for both the encrypted and the decrypted snapshot.
		if err != nil || encrypted {
			return 0, "", errors.Join(err, from.Skip(0))
		}
	}
	return before, part, from.Skip(before)
}

// CutTo truncates a part to the bytes that are kept, before free space is checked: otherwise the bytes that arrive
// again would take their space twice. What stays is synced, and counts as trusted from now on.
func (h Host) CutTo(part string, before int64) error {
	has, err := h.trusted(part)
	if err != nil || has < before {
		return err // Arrive refuses a part that is too short
	}
	return h.inPart(part, func(file *os.File, size int64) error {
		if size <= before {
			return nil
		}
		return errors.Join(file.Truncate(before), file.Sync(), h.NoteSinceBoot(part))
	})
}

// Release frees the space that a killed call has reserved for a part: it would count as used by something else.
func (h Host) Release(part string) error {
	return h.inPart(part, func(file *os.File, _ int64) error { return durable.Release(file) })
}

// inPart runs do on a part, if the part exists, and keeps the part's modification time, by which it counts as left
// behind.
func (h Host) inPart(part string, do func(file *os.File, size int64) error) error {
	file, err := inside.OpenFile(h.Files.Path(part), os.O_WRONLY, 0)
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

// comesEncrypted tells whether age has encrypted the snapshot, of which the first before bytes are in part.
func (h Host) comesEncrypted(from *snapshots.Source, before int64, part string) (bool, error) {
	if before >= int64(len(EncryptedHeader)) {
		return h.isEncrypted(part)
	}
	return beginsEncrypted(from)
}

// errStays marks an error after which the part stays, for the next call to resume.
var errStays = errors.New("")

// receive completes a part with what arrives from the source, and compares the whole with the SHA-256 that was
// announced. It returns the path of the decrypted snapshot: the part itself, or the new file unfinished if the part is
// encrypted.
func (h Host) receive(ctx context.Context, from *snapshots.Source, r api.FetchRequest, before int64, part, unfinished string) (clear string, s *api.Checksum, err error) {
	if s, err = h.Arrive(from, before, part); err != nil {
		return "", nil, err
	}
	arrived, err := inside.OpenFile(h.Files.Path(part), os.O_RDONLY, 0)
	if err != nil {
		return "", nil, err
	}
	defer arrived.Close()
	encrypted, err := beginsEncrypted(arrived)
	if err != nil || !encrypted {
		return part, s, err
	}
	if _, err := arrived.Seek(0, io.SeekStart); err != nil {
		return "", nil, err
	}
	s, err = h.decrypt(ctx, from, arrived, r, unfinished)
	return unfinished, s, err
}

// Arrive appends what the source sends to the first before bytes of a part, until all has arrived. It returns the
// checksum of the whole.
func (h Host) Arrive(from *snapshots.Source, before int64, part string) (whole *api.Checksum, err error) {
	file, err := inside.OpenFile(h.Files.Path(part), os.O_RDWR|os.O_CREATE, files.KeyFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	has, err := h.trusted(part)
	if err == nil && has < before {
		err = fmt.Errorf("%d bytes of %s are on the host, and not %d: apply again", has, from.What, before)
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(file.Truncate(before), file.Sync(), h.NoteSinceBoot(part)); err != nil {
		return nil, err
	}
	if err := disks.Reserve(file, from.Size); err != nil {
		return nil, fmt.Errorf("%w%w", errStays, err)
	}
	defer func() { err = errors.Join(err, durable.Release(file)) }()
	sum, s := sha256.New(), api.NewChecksum()
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
func (h Host) isEncrypted(path string) (bool, error) {
	file, err := inside.OpenFile(h.Files.Path(path), os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer file.Close()
	return beginsEncrypted(file)
}

func beginsEncrypted(content io.Reader) (bool, error) {
	head := make([]byte, len(EncryptedHeader))
	_, err := io.ReadFull(content, head)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return bytes.Equal(head, EncryptedHeader), err
}

// decrypt decrypts what has arrived into a new file at path.
func (h Host) decrypt(ctx context.Context, from *snapshots.Source, arrived *os.File, r api.FetchRequest, path string) (*api.Checksum, error) {
	if err := h.disks().MustHoldRestore(r.DataDir, from.Size, from.Size); err != nil {
		return nil, fmt.Errorf("%w%w", errStays, err)
	}
	return h.download(ctx, &snapshots.Source{ReadCloser: arrived, What: from.What, Size: from.Size}, r.Identity.Reveal(), path)
}
