package backup

import (
	"context"
	"errors"
	"io"
	"time"
)

// ErrNoObject is returned for an object that a destination does not have.
var ErrNoObject = errors.New("there is no such object")

// ErrRefused is returned if a retry cannot succeed before somebody changes something: credentials, a bucket, a
// certificate, space.
var ErrRefused = errors.New("somebody has to change something first")

// ErrChanged is returned by reads of an object once another one lies in its place: the read has to begin anew.
var ErrChanged = errors.New("another object has been stored in its place")

// Object is a complete object at a destination.
type Object struct {
	Key      string // path below the destination, with slashes
	Size     int64  // bytes
	Modified time.Time
}

// Source is a place to read backups from.
type Source interface {
	// List returns all objects whose keys begin with a prefix, in the order of their keys.
	List(ctx context.Context, prefix string) ([]Object, error)
	// Open reads an object, and reconnects if the connection breaks. The caller has to verify what was read.
	Open(ctx context.Context, key string) (io.ReadCloser, error)
}

// Resumable is an open object whose reading another call can continue after an interruption.
type Resumable interface {
	io.ReadCloser
	// Mark identifies this content among all that lie under the key over time; empty: nothing identifies it.
	Mark() string
	// Skip continues after the first so many bytes, without reading them.
	Skip(bytes int64) error
}

// Far is a remote source.
type Far interface {
	// Resume opens an object that another call may have read in part.
	Resume(ctx context.Context, key string) (Resumable, error)
}

// Destination is a place to keep backups.
type Destination interface {
	Source
	// Put stores content, in place of what lay there. If it returns an error, including one of content, the key is
	// unchanged. content may be shorter than size, in bytes, and not longer.
	Put(ctx context.Context, key string, size int64, content io.Reader) error
	// Remove removes an object if it exists.
	Remove(ctx context.Context, key string) error
	// Clock returns the time by the clock that stamps objects.
	Clock(ctx context.Context) (time.Time, error)
	// Sweep removes what puts that were interrupted before a time have left, of keys that begin with a prefix.
	Sweep(ctx context.Context, prefix string, before time.Time) error
}
