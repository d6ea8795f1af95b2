package backup

import (
	"bytes"
	"context"
	"crypto/md5" // S3 requires it
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

const (
	// minPart is the size of an upload's parts, and the memory that an upload takes. S3 accepts at most 10,000 parts:
	// 156 GiB.
	minPart  = 16 << 20
	maxParts = 10_000
	// noStreaming makes minio-go send the SHA-256 that we give it, despite the option's name. Without TLS it would
	// otherwise sign pieces of the content, and damaged content would look like a wrong secret.
	noStreaming = true
	// abortTimeout bounds the clean-up of an interrupted upload.
	abortTimeout = 10 * time.Second
)

// partSize returns a part size by which S3 accepts the whole. All parts have one size, as some storage requires.
func partSize(size int64) int64 { return max(minPart, (size+maxParts-1)/maxParts) }

// Put implements Destination. It uploads the content in parts, and retries each until it has arrived. Each part is
// signed with its SHA-256, so that storage refuses a part that was damaged on the way. It calls the context's beat for
// each byte that goes out.
func (s *S3) Put(ctx context.Context, key string, size int64, content io.Reader) error {
	defer s.traffic.follow(ctx)()
	content = withContext(ctx, content)
	buffer := make([]byte, min(partSize(size), size+1))
	n, err := io.ReadFull(content, buffer)
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return s.putWhole(ctx, key, buffer[:n])
	case err != nil:
		return err
	case int64(len(buffer)) > size:
		return fmt.Errorf("store %s: more than the %d bytes that were announced", key, size)
	}
	return s.putParts(ctx, key, buffer, content)
}

// putWhole stores content that fits into one request.
func (s *S3) putWhole(ctx context.Context, key string, text []byte) error {
	md5, sha256 := sums(text)
	return s.patiently(ctx, "store "+s.object(key), func() error {
		_, err := s.core.PutObject(ctx, s.config.Bucket, s.object(key), bytes.NewReader(text), int64(len(text)), md5, sha256, minio.PutObjectOptions{DisableContentSha256: noStreaming})
		return err
	})
}

// putParts stores the first part, which fills the buffer, and the rest.
func (s *S3) putParts(ctx context.Context, key string, buffer []byte, content io.Reader) error {
	var upload string
	err := s.patiently(ctx, "begin to store "+s.object(key), func() (err error) {
		upload, err = s.core.NewMultipartUpload(ctx, s.config.Bucket, s.object(key), minio.PutObjectOptions{})
		return err
	})
	if err != nil {
		return err
	}
	if err := s.fill(ctx, key, upload, buffer, content); err != nil {
		// Even after an interrupt no parts are left behind, which cost money and appear in no list.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer cancel()
		if failed := s.core.AbortMultipartUpload(ctx, s.config.Bucket, s.object(key), upload); failed != nil {
			err = errors.Join(err, fmt.Errorf("what was uploaded so far stays until it is swept: %w", failed))
		}
		return err
	}
	return nil
}

// fill uploads all parts and completes the object.
func (s *S3) fill(ctx context.Context, key, upload string, buffer []byte, content io.Reader) error {
	var parts []minio.CompletePart
	for n, last := len(buffer), false; n > 0; {
		part, err := s.putPart(ctx, key, upload, len(parts)+1, buffer[:n])
		if err != nil {
			return err
		}
		parts = append(parts, part)
		if last {
			break
		}
		n, err = io.ReadFull(content, buffer)
		if last = err == io.EOF || err == io.ErrUnexpectedEOF; err != nil && !last {
			return err
		}
	}
	return s.complete(ctx, key, upload, parts)
}

// putPart uploads one part, and retries it.
func (s *S3) putPart(ctx context.Context, key, upload string, number int, text []byte) (minio.CompletePart, error) {
	md5, sha256 := sums(text)
	var part minio.ObjectPart
	err := s.uploading(ctx, number-1, fmt.Sprintf("store part %d of %s", number, s.object(key)), func() (err error) {
		part, err = s.core.PutObjectPart(ctx, s.config.Bucket, s.object(key), upload, number, bytes.NewReader(text), int64(len(text)),
			minio.PutObjectPartOptions{Md5Base64: md5, Sha256Hex: sha256, DisableContentSha256: noStreaming})
		return err
	})
	return minio.CompletePart{PartNumber: number, ETag: part.ETag}, err
}

// complete makes an object of the parts. If the answer is lost and the upload is gone at the retry, the object exists:
// only its completion removes an upload that we do not abort.
func (s *S3) complete(ctx context.Context, key, upload string, parts []minio.CompletePart) error {
	tried := false
	return s.uploading(ctx, len(parts), "complete "+s.object(key), func() error {
		_, err := s.core.CompleteMultipartUpload(ctx, s.config.Bucket, s.object(key), upload, parts, minio.PutObjectOptions{})
		if tried && minio.ToErrorResponse(err).Code == "NoSuchUpload" {
			_, err = s.core.StatObject(ctx, s.config.Bucket, s.object(key), minio.StatObjectOptions{})
		}
		tried = true
		return err
	})
}

// sums returns the digests with which storage checks a request's content.
func sums(text []byte) (md5Base64, sha256Hex string) {
	m, s := md5.Sum(text), sha256.Sum256(text)
	return base64.StdEncoding.EncodeToString(m[:]), hex.EncodeToString(s[:])
}

// movedSince tells whether a part of an upload has arrived since a time: an upload may be older than anything that
// counts as abandoned, and still be under way.
func (s *S3) movedSince(ctx context.Context, upload minio.ObjectMultipartInfo, since time.Time) (moves bool, err error) {
	err = s.patiently(ctx, "list the parts of the upload of "+upload.Key, func() error {
		for after := 0; ; {
			beat(ctx)
			parts, err := s.core.ListObjectParts(ctx, s.config.Bucket, upload.Key, upload.UploadID, after, 0)
			if minio.ToErrorResponse(err).Code == "NoSuchUpload" {
				return nil
			}
			if err != nil {
				return err
			}
			moves = moves || slices.ContainsFunc(parts.ObjectParts, func(p minio.ObjectPart) bool { return !p.LastModified.Before(since) })
			if moves || !parts.IsTruncated || parts.NextPartNumberMarker <= after {
				return nil
			}
			after = parts.NextPartNumberMarker
		}
	})
	return moves, err
}

// Clock implements Destination. Storage refuses requests from a machine whose clock is off by more than a quarter of
// an hour, so this machine's clock will do.
func (s *S3) Clock(context.Context) (time.Time, error) { return time.Now(), nil }

// Sweep implements Destination.
func (s *S3) Sweep(ctx context.Context, prefix string, before time.Time) error {
	root := strings.TrimSuffix(s.object("x"), "x") + prefix
	var abandoned []minio.ObjectMultipartInfo
	err := s.patiently(ctx, "list unfinished uploads", func() error {
		abandoned = nil
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends the listing if it is left early
		for upload := range s.core.ListIncompleteUploads(ctx, s.config.Bucket, root, true) {
			if upload.Err != nil {
				return upload.Err
			}
			beat(ctx)
			if _, ours := nameAt(upload.Key); ours && upload.Initiated.Before(before) {
				abandoned = append(abandoned, upload)
			}
		}
		return ctx.Err()
	})
	for _, upload := range abandoned {
		moves, failed := s.movedSince(ctx, upload, before)
		if err = errors.Join(err, failed); moves || failed != nil {
			continue
		}
		err = errors.Join(err, s.patiently(ctx, "abort the upload of "+upload.Key, func() error {
			err := s.core.AbortMultipartUpload(ctx, s.config.Bucket, upload.Key, upload.UploadID)
			if minio.ToErrorResponse(err).Code == "NoSuchUpload" {
				return nil
			}
			return err
		}))
	}
	return err
}
