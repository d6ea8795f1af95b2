package host

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
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
)

// partFile is where what has come of it lies until all has; empty: it cannot be gone on with.
func partFile(o *snapshots.Source, dataDir string) string {
	far, ok := o.ReadCloser.(backup.Resumable)
	if !ok || far.Mark() == "" {
		return ""
	}
	mark := sha256.Sum256([]byte(far.Mark()))
	return arrivingFile(dataDir, hex.EncodeToString(mark[:]))
}

// open opens a source of snapshots of a cluster, for an owner.
func (m *Machine) open(ctx context.Context, cluster, owner string, s api.Source, input io.Reader) (*snapshots.Source, error) {
	switch s {
	case api.Source{Upload: s.Upload}:
		if s.Upload != nil {
			return fromUpload(*s.Upload, input)
		}
	case api.Source{Path: s.Path}:
		return m.fromPath(s.Path)
	case api.Source{S3: s.S3}:
		return fromS3(ctx, *s.S3)
	case api.Source{Backup: s.Backup, In: s.In}:
		if s.Backup != "" {
			return m.Backups().Open(ctx, cluster, owner, s.Backup, s.In)
		}
	}
	return nil, refuse("a snapshot comes from one place: an upload, a path of the host, S3, or a backup")
}

func fromUpload(u api.Upload, input io.Reader) (*snapshots.Source, error) {
	if u.SizeBytes < 0 {
		return nil, refuse("an upload of %d bytes is none", u.SizeBytes)
	}
	if err := api.CheckSHA256(u.SHA256, "an upload"); err != nil {
		return nil, err
	}
	return &snapshots.Source{ReadCloser: io.NopCloser(io.LimitReader(input, u.SizeBytes)), What: "the snapshot that was sent", Size: u.SizeBytes, SHA256: u.SHA256}, nil
}

func (m *Machine) fromPath(given string) (*snapshots.Source, error) {
	if !filepath.IsAbs(given) {
		return nil, refuse("%q is no absolute path of the host", given)
	}
	content, size, err := m.openGiven(given)
	if err != nil {
		return nil, err
	}
	at := takenAt(given, func(key string) (io.ReadCloser, error) {
		beside, _, err := m.openGiven(key)
		return beside, err
	})
	return &snapshots.Source{ReadCloser: content, What: given, Size: size, TakenAt: at}, nil
}

// openGiven opens a file at a path that a user has given, and says how many bytes it has. Where it lies on a file system
// whose server is gone, no call to it ever ends: each is given up once nothing comes of it.
func (m *Machine) openGiven(given string) (io.ReadCloser, int64, error) {
	size := make(chan int64, 1) // what was given up may come to its end
	content, err := backup.OpenBounded(given, m.Backups().HangsAfter(), func() (io.ReadCloser, error) {
		file, bytes, err := m.openFileGiven(given)
		size <- bytes
		return file, err
	})
	if errors.Is(err, backup.ErrHangs) {
		err = fmt.Errorf("open %w: see whether the server of its file system is there, or unmount it (umount -l)", err)
	}
	if err != nil {
		return nil, 0, err
	}
	return content, <-size, nil
}

// openFileGiven waits for nobody who is to write to a pipe. Other users of the host may put something else there at any time:
// what is no file is refused.
func (m *Machine) openFileGiven(given string) (io.ReadCloser, int64, error) {
	info, err := os.Stat(m.path(given))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, refuse("%s is not there", given)
	case err != nil:
		return nil, 0, err
	case !info.Mode().IsRegular(): // to open a device may do something to it
		return nil, 0, refuse("%s is no file", given)
	}
	file, err := os.OpenFile(m.path(given), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	if info, err = file.Stat(); err == nil && !info.Mode().IsRegular() {
		err = refuse("%s is no file", given)
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

func fromS3(ctx context.Context, s api.S3) (*snapshots.Source, error) {
	storage, err := s3(s)
	if err != nil {
		return nil, refuse("%s", err)
	}
	found, err := storage.List(ctx, s.Key)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].Key != s.Key {
		return nil, refuse("%s holds no %s", storage, s.Key)
	}
	content, err := storage.Resume(ctx, s.Key)
	if err != nil {
		return nil, err
	}
	at := takenAt(s.Key, func(key string) (io.ReadCloser, error) { return storage.Open(ctx, key) })
	return &snapshots.Source{ReadCloser: content, What: fmt.Sprintf("%s in %s", s.Key, storage), Size: found[0].Size, TakenAt: at}, nil
}

// s3 is storage whose objects are called by their whole keys.
func s3(s api.S3) (*backup.S3, error) {
	return backup.NewS3(backup.S3Config{
		Endpoint: s.Endpoint, Region: s.Region, Bucket: s.Bucket, PathStyle: s.PathStyle, CA: s.CA, Patience: backups.StoragePatience,
		Credentials: backup.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey},
	})
}

// largestManifest is how many bytes of a manifest are read: it has some hundreds, and what lies in its place may have any
// number.
const largestManifest = 1 << 20

// takenAt is when a snapshot was taken: its own name says so, where it was taken before a change, or the manifest of
// a backup beside it. Zero: nobody knows.
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
	text, err := io.ReadAll(io.LimitReader(beside, largestManifest))
	if err != nil || json.Unmarshal(text, &manifest) != nil {
		return time.Time{}
	}
	return manifest.TakenAt
}

// errEncrypted marks what is wrong with the identities for something that is encrypted.
var errEncrypted = errors.New("")

// encryptedHeader is how a file begins that age has encrypted.
var encryptedHeader = []byte("age-encryption.org/v1")

// inTheClear decrypts what is encrypted, by age identities, and leaves alone what is not.
func inTheClear(content io.Reader, identities string) (io.Reader, error) {
	buffered := bufio.NewReaderSize(content, contentFrame)
	head, err := buffered.Peek(len(encryptedHeader))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.Equal(head, encryptedHeader) {
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
