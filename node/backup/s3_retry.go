package backup

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
)

const (
	firstPause = 200 * time.Millisecond
	maxPause   = 10 * time.Second
)

// patiently retries a request while it fails for passing reasons, for as long as the configuration says. Only time in
// which no byte moves counts, since a part of an upload may take longer over a slow connection than any patience.
func (s *S3) patiently(ctx context.Context, what string, try func() error) error {
	return s.repeat(ctx, s.config.Patience, what, try)
}

// uploading does what patiently does, for a request of an upload of which this many parts have arrived.
func (s *S3) uploading(ctx context.Context, parts int, what string, try func() error) error {
	patience := s.config.Patience
	if parts > 0 {
		patience = max(patience, s.config.UploadPatience)
	}
	return s.repeat(ctx, patience, what, try)
}

func (s *S3) repeat(ctx context.Context, patience time.Duration, what string, try func() error) error {
	quiet := time.Duration(0)
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		began := s.traffic.clock()
		err := try()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil { // the context's cause says more than the endpoint's error
			return s.interrupted(ctx, what)
		}
		if !retryable(err) {
			return s.explain(what, err)
		}
		if quiet += s.traffic.clock() - max(began, s.traffic.last()); quiet >= patience {
			return s.explain(what, err)
		}
		pause = min(pause, patience-quiet)
		select {
		case <-ctx.Done():
			return errors.Join(s.interrupted(ctx, what), s.explain(what, err))
		case <-time.After(pause):
			quiet += pause
		}
	}
}

// traffic records when a byte last moved, on any connection to the storage, and tells uploads of those that go out.
type traffic struct {
	began time.Time
	moved atomic.Int64 // nanoseconds since began

	mu      sync.Mutex
	uploads map[*upload]struct{}
}

// upload is an upload that is under way.
type upload struct{ moves func() }

// follow reports each byte that goes out as progress of an upload, until done is called. Otherwise, progress would show
// only when the next part is read, and a slow connection may take longer for one part than anybody waits.
func (t *traffic) follow(ctx context.Context) (done func()) {
	of := &upload{func() { beat(ctx) }}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.uploads == nil {
		t.uploads = map[*upload]struct{}{}
	}
	t.uploads[of] = struct{}{}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.uploads, of)
	}
}

// clock returns the time since the first request.
func (t *traffic) clock() time.Duration { return time.Since(t.began) }

// last returns when a byte last moved.
func (t *traffic) last() time.Duration { return time.Duration(t.moved.Load()) }

// move records that bytes have moved.
func (t *traffic) move(bytes int) {
	if bytes > 0 {
		t.moved.Store(int64(t.clock()))
	}
}

// send records that bytes have gone out, if any. Bytes that come in are no progress of an upload: storage that refuses
// every part answers too.
func (t *traffic) send(bytes int) {
	t.move(bytes)
	if bytes <= 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for of := range t.uploads {
		of.moves()
	}
}

// interrupted returns the error of a request that was not waited for any longer.
func (s *S3) interrupted(ctx context.Context, what string) error {
	return fmt.Errorf("%s in %s: it was interrupted: %w", what, s, context.Cause(ctx))
}

// retryable tells whether the same request may succeed later. Unknown errors are retryable: nothing is lost by a
// retry.
func retryable(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, ErrChanged) || untrusted(err) {
		return false
	}
	answer := minio.ToErrorResponse(err)
	switch answer.Code {
	case "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "RequestTimeout", "IncompleteBody":
		return true // damaged or cut off on the way
	}
	return answer.StatusCode < 400 || answer.StatusCode >= 500 && answer.StatusCode != http.StatusNotImplemented ||
		answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusRequestTimeout
}

// untrusted tells whether the endpoint's certificate was refused.
func untrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &name)
}

// explain adds to an error what to do about it.
func (s *S3) explain(what string, err error) error {
	why := func(remedy string, kind error) error {
		return fmt.Errorf("%s in %s: %w: %s: %w", what, s, err, remedy, kind)
	}
	if errors.Is(err, ErrChanged) {
		return fmt.Errorf("%s in %s: %w", what, s, err)
	}
	if untrusted(err) {
		return why("the endpoint's certificate is not trusted: give its authority as ca, or the endpoint by a name that is in the certificate", ErrRefused)
	}
	answer := minio.ToErrorResponse(err)
	who := s.config.Credentials.name()
	switch answer.Code {
	case minio.NoSuchBucket:
		return why("create the bucket, or correct bucket, endpoint and region", ErrRefused)
	case minio.NoSuchKey:
		return fmt.Errorf("%s in %s: %w", what, s, ErrNoObject)
	case minio.PreconditionFailed, "InvalidRange":
		return fmt.Errorf("%s in %s: %w", what, s, ErrChanged)
	case "InvalidAccessKeyId":
		return why(who+" is not known there: correct the credentials", ErrRefused)
	case "SignatureDoesNotMatch":
		return why("the secret access key does not belong to "+who+": correct the credentials", ErrRefused)
	case "ExpiredToken", "InvalidToken", "InvalidTokenId":
		return why("the session token of "+who+" has expired or is none: give other credentials", ErrRefused)
	case minio.AccessDenied:
		return why(who+" may not do this: allow it to list, read, write and delete objects in the bucket, and to list and abort multipart uploads", ErrRefused)
	case "RequestTimeTooSkewed":
		return why("the clocks of this machine and of the endpoint differ: set them right", ErrRefused)
	}
	switch {
	case answer.StatusCode == http.StatusForbidden:
		return why(who+" is refused: correct the credentials, or what they allow", ErrRefused)
	case answer.StatusCode == 0 || answer.Code == "":
		return fmt.Errorf("%s in %s: %w: correct the endpoint, or make sure that it can be reached from here, with credentials that are available", what, s, err)
	}
	return fmt.Errorf("%s in %s: %w", what, s, err)
}
