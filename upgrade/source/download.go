package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// breaks is how often in a row a transfer may break without a byte in between before it is given up. Until then, it is
// resumed.
const breaks = 5

// pausing is the time before a transfer is resumed, doubled each time. Tests have less.
var pausing = time.Second

// Download downloads the content at an address into a file of its own in dir, which only its owner can read. Close
// removes the file.
func Download(ctx context.Context, address, dir string) (*Content, error) {
	file, err := os.CreateTemp(dir, "snapshot-*.part") // made with mode 0600
	if err != nil {
		return nil, err
	}
	d := download{client: client(), address: address, file: file}
	if err = errors.Join(d.run(ctx), file.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("download %s: %w", Public(address), err), os.Remove(file.Name()))
	}
	c, err := made(file.Name())
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", Public(address), err)
	}
	return c, nil
}

// client retries if a server cannot be reached, or answers that it is unavailable.
func client() *http.Client {
	c := retryablehttp.NewClient()
	c.Logger = nil // the logger prints addresses, which may hold credentials
	c.RetryMax, c.RetryWaitMin = 4, pausing
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler // report the server's last answer, without the address
	return c.StandardClient()
}

// Public returns an address without what may be secret in it: credentials, and a signature in its query.
func Public(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the address"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// download is a download that may take several requests.
type download struct {
	client  *http.Client
	address string
	file    *os.File
	got     int64
	mark    string // tells this content from another at the same address; empty: the server gives none
}

// run downloads until the content is complete.
func (d *download) run(ctx context.Context) error {
	pause, left := pausing, breaks
	for {
		before := d.got
		done, err := d.fetch(ctx)
		if done || err != nil && !isBroken(err) {
			return err
		}
		if d.got > before {
			pause, left = pausing, breaks
		}
		if left--; left == 0 {
			return fmt.Errorf("after %d bytes: %w", d.got, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// broken is the error of a transfer that ended early.
type broken struct{ error }

func (b broken) Unwrap() error { return b.error }

func isBroken(err error) bool { var b broken; return errors.As(err, &b) }

// fetch makes one request for what is missing.
func (d *download) fetch(ctx context.Context) (done bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.address, nil)
	if err != nil {
		return false, errors.New("this is no address")
	}
	request.Header.Set("Accept-Encoding", "identity") // ranges are of the stored bytes
	if d.got > 0 {
		request.Header.Set("Range", "bytes="+strconv.FormatInt(d.got, 10)+"-")
		if d.mark != "" {
			request.Header.Set("If-Range", d.mark)
		}
	}
	response, err := d.client.Do(request)
	if err != nil {
		for told := (*url.Error)(nil); errors.As(err, &told); { // the error cites the address
			err = told.Err
		}
		return false, err
	}
	defer response.Body.Close()
	switch {
	case d.got > 0 && response.StatusCode == http.StatusPartialContent && begins(response, d.got):
	// This is all of it, from the beginning: the first time, or from a server that cannot resume.
	case response.StatusCode == http.StatusOK:
		if err := d.restart(); err != nil {
			return false, err
		}
	default:
		return false, fmt.Errorf("the server says %s", response.Status)
	}
	if tag := response.Header.Get("ETag"); !strings.HasPrefix(tag, "W/") {
		d.mark = tag
	}
	n, err := io.Copy(d.file, response.Body)
	d.got += n
	if err != nil {
		return false, broken{err}
	}
	if expected := response.ContentLength; expected >= 0 && n < expected {
		return false, broken{io.ErrUnexpectedEOF}
	}
	return true, nil
}

// begins tells whether a partial answer begins where it was requested.
func begins(response *http.Response, at int64) bool {
	return strings.HasPrefix(response.Header.Get("Content-Range"), "bytes "+strconv.FormatInt(at, 10)+"-")
}

// restart discards what was downloaded.
func (d *download) restart() error {
	d.got = 0
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return d.file.Truncate(0)
}
