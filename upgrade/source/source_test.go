package source

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	pausing = time.Millisecond
	os.Exit(m.Run())
}

// content is a snapshot by its size and the SHA-256 at its end; other is another snapshot.
var content, other = snapshot("0123456789abcdef", 2048), snapshot("x", 2)

// snapshot returns pages with a text, followed by their SHA-256.
func snapshot(text string, pages int) []byte {
	database := bytes.Repeat([]byte(text), 512/len(text)*pages)
	sum := sha256.Sum256(database)
	return append(database, sum[:]...)
}

// flipped returns a content with one bit of a byte changed.
func flipped(content []byte, at int) []byte {
	content = bytes.Clone(content)
	content[at] ^= 1
	return content
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct {
		text []byte
		want string // of the error; empty: none
	}{
		"a snapshot":               {content, ""},
		"an encrypted":             {[]byte("age-encryption.org/v1\n-> X25519 ..."), ""},
		"empty":                    {nil, "is empty"},
		"cut off":                  {content[:700], "has 700 bytes, which is no database with a SHA-256 behind it"},
		"a short text":             {[]byte("hello"), "has 5 bytes"},
		"a flipped bit":            {flipped(content, 700), "is damaged: its SHA-256 is "},
		"a flipped bit of the sum": {flipped(content, len(content)-1), "is damaged: its SHA-256 is "},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, test.text, 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := File(path)
			switch {
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Fatalf("error %v; want %q", err, test.want)
			case test.want == "" && err != nil:
				t.Fatal(err)
			case err != nil:
				return
			}
			mustHold(t, c, test.text)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("the file is not ours to remove: %v", err)
			}
		})
	}
	if _, err := File(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "is not there") {
		t.Errorf("of a file that is not there: %v", err)
	}
	if _, err := File(dir); err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("of a directory: %v", err)
	}
}

func TestReceived(t *testing.T) {
	for name, test := range map[string]struct {
		text []byte
		fill error
		want string // of the error; empty: none
	}{
		"a snapshot": {content, nil, ""},
		"half of it": {content[:700], nil, "has 700 bytes"},
		"damaged":    {flipped(content, 700), nil, "is damaged"},
		"a failure":  {content, errors.New("the host has gone"), "the host has gone"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c, err := Received(dir, func(to io.Writer) error {
				_, err := to.Write(test.text)
				return errors.Join(err, test.fill)
			})
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Fatalf("error %v; want %q", err, test.want)
			}
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				mustHold(t, c, test.text)
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("it has left %v, %v", left, err)
			}
		})
	}
}

// mustHold fails the test if a content does not hold this text, or describes it wrongly. It reads the content twice.
func mustHold(t *testing.T, c *Content, want []byte) {
	t.Helper()
	for range 2 {
		r, err := c.Open()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("it holds %d bytes, and another content than the %d that it should: %v", len(got), len(want), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(want)); c.SHA256 != sum || c.SizeBytes != int64(len(want)) {
		t.Errorf("it says %d bytes and %s, and has %d and %s", c.SizeBytes, c.SHA256, len(want), sum)
	}
}

// server serves a content, and breaks off after this many bytes of each answer; 0: never.
type server struct {
	content []byte
	breaks  int
	ranges  bool // the server can continue in the middle
	asked   atomic.Int32
	busy    int32  // how many first requests get a 503
	swap    []byte // content at the address after the first answer; nil: the same
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	nth := s.asked.Add(1)
	if nth <= s.busy {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	content := s.content
	if s.swap != nil && nth > s.busy+1 {
		content = s.swap
	}
	if s.breaks > 0 {
		w = &breaking{w, s.breaks}
	}
	if !s.ranges {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(content))))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// breaking breaks an answer off.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if len(p) > b.left {
		_, _ = b.ResponseWriter.Write(p[:b.left])
		_ = http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	b.left -= len(p)
	return b.ResponseWriter.Write(p)
}

func TestDownload(t *testing.T) {
	for name, s := range map[string]*server{
		"at once":                              {content: content},
		"from a server that is busy at first":  {content: content, busy: 1},
		"gone on with where it broke":          {content: content, ranges: true, breaks: len(content)/3 + 1},
		"that has changed in the middle, anew": {content: bytes.Repeat([]byte("x"), len(content)), ranges: true, breaks: len(content) - 1, swap: other},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			at := httptest.NewServer(s)
			defer at.Close()
			c, err := Download(t.Context(), at.URL+"/prod.db", dir)
			if err != nil {
				t.Fatal(err)
			}
			want := s.content
			if s.swap != nil {
				want = s.swap
			}
			mustHold(t, c, want)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			mustBeEmpty(t, dir)
		})
	}
}

// TestDownloadFails holds that a failed download leaves nothing, and that no error has a secret of its address.
func TestDownloadFails(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"not there":               {http.NotFound, "the server says 404 Not Found"},
		"empty":                   {func(http.ResponseWriter, *http.Request) {}, "is empty"},
		"no snapshot":             {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>please log in</html>") }, "is no snapshot of etcd's"},
		"damaged":                 {(&server{content: flipped(content, 700)}).ServeHTTP, "is damaged"},
		"broken, and no going on": {(&server{content: content, breaks: 1}).ServeHTTP, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			at := httptest.NewServer(test.handler)
			defer at.Close()
			address := strings.Replace(at.URL, "http://", "http://ops:hunter2@", 1) + "/prod.db?signature=swordfish"
			_, err := Download(t.Context(), address, dir)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v; want %q", err, test.want)
			}
			for _, secret := range []string{"hunter2", "swordfish"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error tells %s: %v", secret, err)
				}
			}
			mustBeEmpty(t, dir)
		})
	}
	if _, err := Download(t.Context(), "http://ops:hunter2@127.0.0.1:1/x?signature=swordfish", t.TempDir()); err == nil || !strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "swordfish") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("of a server that is not there: %v", err)
	}
}

func mustBeEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("%v lie there: %v", entries, err)
	}
}
