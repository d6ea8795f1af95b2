package arrivals

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
)

// partFile returns the file in which a transfer arrives, or "" if the source cannot be resumed.
func partFile(o *snapshots.Source, dataDir string) string {
	far, ok := o.ReadCloser.(backup.Resumable)
	if !ok || far.Mark() == "" {
		return ""
	}
	mark := sha256.Sum256([]byte(far.Mark()))
	return ArrivingFile(dataDir, hex.EncodeToString(mark[:]))
}

// Open opens a source of a snapshot of a cluster for the cluster's owner.
func (h Host) Open(ctx context.Context, cluster, owner string, s api.Source, input io.Reader) (*snapshots.Source, error) {
	switch s {
	case api.Source{Upload: s.Upload}:
		if s.Upload != nil {
			return fromUpload(*s.Upload, input)
		}
	case api.Source{Path: s.Path}:
		return h.fromPath(s.Path)
	case api.Source{S3: s.S3}:
		return fromS3(ctx, *s.S3)
	case api.Source{Backup: s.Backup, In: s.In}:
		if s.Backup != "" {
			return h.Backups.Open(ctx, cluster, owner, s.Backup, s.In)
		}
	}
	return nil, api.Refuse("a snapshot comes from one place: an upload, a path of the host, S3, or a backup")
}

func fromUpload(u api.Upload, input io.Reader) (*snapshots.Source, error) {
	if u.SizeBytes < 0 {
		return nil, api.Refuse("an upload of %d bytes is none", u.SizeBytes)
	}
	if err := api.CheckSHA256(u.SHA256, "an upload"); err != nil {
		return nil, err
	}
	return &snapshots.Source{ReadCloser: io.NopCloser(io.LimitReader(input, u.SizeBytes)), What: "the snapshot that was sent", Size: u.SizeBytes, SHA256: u.SHA256}, nil
}

func (h Host) fromPath(given string) (*snapshots.Source, error) {
	if !filepath.IsAbs(given) {
		return nil, api.Refuse("%q is no absolute path of the host", given)
	}
	content, size, err := h.openGiven(given)
	if err != nil {
		return nil, err
	}
	at := takenAt(given, func(key string) (io.ReadCloser, error) {
		beside, _, err := h.openGiven(key)
		return beside, err
	})
	return &snapshots.Source{ReadCloser: content, What: given, Size: size, TakenAt: at}, nil
}

// openGiven opens the file at a path that a user has given, and returns its size in bytes. If the server of the path's
// file system is gone, no call to the file ever ends, so each call is given up after a time without progress.
func (h Host) openGiven(given string) (io.ReadCloser, int64, error) {
	// Buffered, since a call that was given up may end after all.
	size := make(chan int64, 1)
	content, err := backup.OpenBounded(given, h.Hangs, func() (io.ReadCloser, error) {
		file, bytes, err := h.openFileGiven(given)
		size <- bytes
		return file, err
	})
	if errors.Is(err, backup.ErrStorageHangs) {
		err = fmt.Errorf("open %w: see whether the server of its file system is there, or unmount it (umount -l)", err)
	}
	if err != nil {
		return nil, 0, err
	}
	return content, <-size, nil
}

// openFileGiven opens a regular file, and does not wait for the writer of a pipe. It looks twice, since other users of
// the host may replace the file at any time.
func (h Host) openFileGiven(given string) (io.ReadCloser, int64, error) {
	info, err := os.Stat(h.Files.Path(given))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, api.Refuse("%s is not there", given)
	case err != nil:
		return nil, 0, err
	case !info.Mode().IsRegular(): // opening a device may have an effect
		return nil, 0, api.Refuse("%s is no file", given)
	}
	file, err := os.OpenFile(h.Files.Path(given), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	if info, err = file.Stat(); err == nil && !info.Mode().IsRegular() {
		err = api.Refuse("%s is no file", given)
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

func fromS3(ctx context.Context, s api.S3) (*snapshots.Source, error) {
	storage, err := Bucket(s)
	if err != nil {
		return nil, api.Refuse("%s", err)
	}
	found, err := storage.List(ctx, s.Key)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].Key != s.Key {
		return nil, api.Refuse("%s holds no %s", storage, s.Key)
	}
	content, err := storage.Resume(ctx, s.Key)
	if err != nil {
		return nil, err
	}
	at := takenAt(s.Key, func(key string) (io.ReadCloser, error) { return storage.Open(ctx, key) })
	return &snapshots.Source{ReadCloser: content, What: fmt.Sprintf("%s in %s", s.Key, storage), Size: found[0].Size, TakenAt: at}, nil
}

// Bucket returns a bucket as storage in which objects are named by their full keys.
func Bucket(s api.S3) (*backup.S3, error) {
	return backup.NewS3(backup.S3Config{
		Endpoint: s.Endpoint, Region: s.Region, Bucket: s.Bucket, PathStyle: s.PathStyle, CA: s.CA, Patience: backup.StoragePatience,
		Credentials: backup.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey},
	})
}

// LargestManifest bounds how many bytes of a manifest are read. A manifest has some hundreds, but any file may lie in
// its place.
const LargestManifest = 1 << 20

// takenAt returns when a snapshot was taken: by its own name if it was taken before a change, and otherwise by the
// backup's manifest beside it. It returns zero if neither says.
func takenAt(key string, open func(key string) (io.ReadCloser, error)) time.Time {
	if name := snapshots.Name.FindStringSubmatch(path.Base(key)); name != nil {
		if at, err := time.Parse(files.Stamp, name[1]); err == nil {
			return at
		}
	}
	beside, err := open(strings.TrimSuffix(strings.TrimSuffix(key, ".age"), ".db") + ".json")
	if err != nil {
		return time.Time{}
	}
	defer beside.Close()
	var manifest backup.Manifest
	text, err := io.ReadAll(io.LimitReader(beside, LargestManifest))
	if err != nil || json.Unmarshal(text, &manifest) != nil {
		return time.Time{}
	}
	return manifest.TakenAt
}

// errEncrypted marks an error that the identities are to blame for: the content is encrypted.
var errEncrypted = errors.New("")

// EncryptedHeader is how a file begins that age has encrypted.
var EncryptedHeader = []byte("age-encryption.org/v1")

// bufferSize is how many bytes of a source are read at once.
const bufferSize = 256 << 10

// inTheClear returns a reader of the decrypted content. It decrypts by age identities if the content is encrypted, and
// otherwise returns it as it is.
func inTheClear(content io.Reader, identities string) (io.Reader, error) {
	buffered := bufio.NewReaderSize(content, bufferSize)
	head, err := buffered.Peek(len(EncryptedHeader))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.Equal(head, EncryptedHeader) {
		return buffered, nil
	}
	var keys backup.Identities // none
	if strings.TrimSpace(identities) != "" {
		if keys, err = backup.ParseIdentities(identities); err != nil {
			return nil, fmt.Errorf("%w%w", errEncrypted, err)
		}
	}
	clear, err := keys.Decrypt(buffered)
	if err != nil {
		return nil, fmt.Errorf("%w%w", errEncrypted, err)
	}
	return clear, nil
}
