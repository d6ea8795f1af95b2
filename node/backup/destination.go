package backup

import (
	"context"
	"errors"
	"io"
	"time"
)

// ErrNotThere is what opening an object says that does not exist.
var ErrNotThere = errors.New("it is not there")

// ErrRefused is what a destination says that will not do it the next time either, unless somebody changes
// something: credentials, a bucket, a certificate, space.
var ErrRefused = errors.New("somebody has to change something first")

// ErrChanged is what reading an object says once another one lies in its place: the read begins anew, or not at all.
var ErrChanged = errors.New("another object has been stored in its place")

// Object is something that is whole at a destination.
type Object struct {
	Key      string // path below the destination, with slashes
	Size     int64  // bytes
	Modified time.Time
}

// Source is where backups are read from.
type Source interface {
	// List returns all objects whose keys begin with a prefix, in the order of their keys.
	List(ctx context.Context, prefix string) ([]Object, error)
	// Open reads an object; a broken connection is mended on the way. What was read is for the caller to
	// verify.
	Open(ctx context.Context, key string) (io.ReadCloser, error)
}

// Resumable is an object that is read, and that another call can go on with where this one was cut short.
type Resumable interface {
	io.ReadCloser
	// Mark tells this content from any other that lies under the key, before or later; empty: nothing does.
	Mark() string
	// Skip goes on behind the first so many bytes. No more is read of them.
	Skip(bytes int64) error
}

// Far is a source that is far away.
type Far interface {
	// Resume opens an object that another call may have read a part of.
	Resume(ctx context.Context, key string) (Resumable, error)
}

// Destination is where backups are kept.
type Destination interface {
	Source
	// Put stores all that can be read, in place of what lay there. When it returns an error, of the content
	// too, the key is as it was. The size, in bytes, may be more than what comes, and not less.
	Put(ctx context.Context, key string, size int64, content io.Reader) error
	// Remove removes an object, if it is there.
	Remove(ctx context.Context, key string) error
	// Clock is what time it is by the clock that the times of objects go by.
	Clock(ctx context.Context) (time.Time, error)
	// Sweep removes what puts of keys that begin with a prefix, and that were cut short before a time, have left.
	Sweep(ctx context.Context, prefix string, before time.Time) error
}
