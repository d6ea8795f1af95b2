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

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/durable"
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
	if !sha256Hex.MatchString(r.SHA256) {
		return api.Arrived{}, refuse("%q is no SHA-256 of an upload", r.SHA256)
	}
	info, err := os.Lstat(m.path(arrivingFile(r.DataDir, r.SHA256)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return api.Arrived{}, nil
	case err != nil:
		return api.Arrived{}, err
	}
	return api.Arrived{Bytes: info.Size()}, nil
}

// receive takes an upload, behind what has come of it before, and writes it, in the clear, to a new file. What has come
// stays where the rest does not: the next call goes on from there. The whole is held against the SHA-256 that it was
// announced with.
func (m *Machine) receive(from *origin, r api.FetchRequest, path string) (*seal, error) {
	part := arrivingFile(r.DataDir, from.sha256)
	s, err := m.arrive(from, r.From, part)
	if err != nil {
		if !errors.Is(err, errCutOff) {
			err = errors.Join(err, remove(m.path(part)))
		}
		return nil, err
	}
	encrypted, err := m.isEncrypted(part)
	if err == nil && !encrypted {
		return s, os.Rename(m.path(part), m.path(path))
	}
	if err == nil {
		s, err = m.decrypt(part, from.size, r, path)
	}
	return s, errors.Join(err, remove(m.path(part)))
}

// errCutOff marks an upload that has not come to its end.
var errCutOff = errors.New("")

// arrive appends what comes to what has come before, in so many bytes, until all of it is there.
func (m *Machine) arrive(from *origin, before int64, part string) (whole *seal, err error) {
	file, err := os.OpenFile(m.path(part), os.O_RDWR|os.O_CREATE, keyFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil && info.Size() < before {
		err = fmt.Errorf("%d bytes of the snapshot that is sent are on the host, and not %d: apply again", info.Size(), before)
	}
	if err = errors.Join(err, file.Truncate(before)); err != nil {
		return nil, err
	}
	if err := reserve(file, from.size); err != nil {
		return nil, fmt.Errorf("%w%w", errCutOff, err) // what has come stays
	}
	defer func() { err = errors.Join(err, durable.Release(file)) }()
	sum, s := sha256.New(), newSeal()
	if _, err := io.Copy(io.MultiWriter(sum, s), file); err != nil {
		return nil, err
	}
	disk, coming := durable.NewWriter(file), &counted{from: io.LimitReader(from, from.size-before), hash: sum}
	_, err = io.Copy(io.MultiWriter(disk, s), coming)
	arrived := before + coming.bytes
	switch broken := coming.broken; {
	case broken != nil:
		return nil, fmt.Errorf("%w%d of %d bytes of %s have arrived, and stay: %w; apply again to go on from there", errCutOff, arrived, from.size, from.what, broken)
	case err != nil:
		return nil, fmt.Errorf("fetch %s: %w", from.what, err)
	case arrived < from.size:
		return nil, fmt.Errorf("%w%d of %d bytes of %s have arrived, and stay: it was cut off on its way; apply again to go on from there", errCutOff, arrived, from.size, from.what)
	case hex.EncodeToString(sum.Sum(nil)) != from.sha256:
		return nil, fmt.Errorf("%s has arrived with the SHA-256 %x, and was sent with %s: it was damaged on its way, or has changed meanwhile; apply again", from.what, sum.Sum(nil), from.sha256)
	}
	return s, disk.Sync()
}

// isEncrypted tells whether age has encrypted a file.
func (m *Machine) isEncrypted(path string) (bool, error) {
	file, err := os.Open(m.path(path))
	if err != nil {
		return false, err
	}
	defer file.Close()
	head := make([]byte, len(encryptedHeader))
	_, err = io.ReadFull(file, head)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return bytes.Equal(head, encryptedHeader), err
}

// decrypt writes an encrypted file in the clear.
func (m *Machine) decrypt(part string, size int64, r api.FetchRequest, path string) (*seal, error) {
	if err := m.mustHoldRestore(r.DataDir, size, size); err != nil {
		return nil, err
	}
	file, err := os.Open(m.path(part))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return m.download(&origin{ReadCloser: file, what: "the snapshot that was sent", size: size}, r.Identity, path)
}
