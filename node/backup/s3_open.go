package backup

import (
	"context"
	"fmt"
	"io"

	"github.com/minio/minio-go/v7"
)

// Open implements Source. It opens the object at once, so that a missing one is known immediately.
func (s *S3) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	o := &openObject{ctx: ctx, s3: s, key: key}
	if err := s.patiently(ctx, "read "+s.object(key), o.open); err != nil {
		return nil, err
	}
	return o, nil
}

// Resume opens an object that another call may have read in part. Nothing is transferred before the first read.
func (s *S3) Resume(ctx context.Context, key string) (Resumable, error) {
	o := &openObject{ctx: ctx, s3: s, key: key}
	err := s.patiently(ctx, "look at "+s.object(key), func() error {
		info, err := s.core.StatObject(ctx, s.config.Bucket, s.object(key), minio.StatObjectOptions{})
		o.opened, o.etag, o.size = true, info.ETag, info.Size
		return err
	})
	if err != nil {
		return nil, err
	}
	return o, nil
}

// openObject reads an object, and continues where it was when a connection breaks.
type openObject struct {
	ctx    context.Context
	s3     *S3
	key    string
	opened bool
	etag   string // of the object that the read began with: no other object continues it
	size   int64
	read   int64
	body   io.ReadCloser
}

// open requests what was not read yet.
func (o *openObject) open() error {
	var options minio.GetObjectOptions
	if o.etag != "" {
		if err := options.SetMatchETag(o.etag); err != nil {
			return err
		}
	}
	if o.read > 0 {
		if err := options.SetRange(o.read, 0); err != nil {
			return err
		}
	}
	body, info, header, err := o.s3.core.GetObject(o.ctx, o.s3.config.Bucket, o.s3.object(o.key), options)
	if err != nil {
		return err
	}
	if !o.opened {
		o.opened, o.etag, o.size = true, info.ETag, info.Size
	}
	skip, rest := int64(0), o.size-o.read
	if o.read > 0 && header.Get("Content-Range") == "" { // some storage always sends the whole object
		skip, rest = o.read, o.size
	}
	if info.ETag != o.etag || info.Size != rest {
		_ = body.Close()
		return ErrChanged
	}
	if _, err := io.CopyN(io.Discard, body, skip); err != nil {
		_ = body.Close()
		return err
	}
	o.body = body
	return nil
}

// Mark implements Resumable.
func (o *openObject) Mark() string {
	if o.etag == "" {
		return ""
	}
	return fmt.Sprintf("%s %s %s %s %d", o.s3.config.Endpoint, o.s3.config.Bucket, o.s3.object(o.key), o.etag, o.size)
}

// Skip implements Resumable.
func (o *openObject) Skip(bytes int64) error {
	if bytes < 0 || bytes > o.size {
		return fmt.Errorf("%s has %d bytes, and cannot be resumed after byte %d", o.s3.object(o.key), o.size, bytes)
	}
	if bytes != o.read {
		_ = o.Close() // the open request began at another byte
		o.read = bytes
	}
	return nil
}

func (o *openObject) Read(p []byte) (int, error) {
	if o.read >= o.size {
		return 0, io.EOF
	}
	var n int
	err := o.s3.patiently(o.ctx, "read "+o.s3.object(o.key), func() (err error) {
		if o.body == nil {
			if err := o.open(); err != nil {
				return err
			}
		}
		if n, err = o.body.Read(p); n > 0 {
			return nil // the next read meets the error again
		}
		_ = o.Close() // the connection is broken
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	})
	o.read += int64(n)
	return n, err
}

func (o *openObject) Close() error {
	if o.body == nil {
		return nil
	}
	body := o.body
	o.body = nil
	return body.Close()
}
