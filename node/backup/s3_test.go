package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup/s3test"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

const bucket = "backups"

// configOf returns the configuration by which a server's owner reaches it.
func configOf(server *s3test.Server) S3Config {
	return S3Config{
		Endpoint: server.Endpoint(), Region: s3test.Region, Bucket: bucket, Prefix: "etcd/lab", PathStyle: true,
		Credentials: Credentials{AccessKeyID: s3test.AccessKeyID, SecretAccessKey: secret.New(s3test.SecretAccessKey)},
		Patience:    time.Minute,
	}
}

func newS3(t *testing.T, c S3Config) *S3 {
	t.Helper()
	s, err := NewS3(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func startS3(t *testing.T) (*s3test.Server, *S3) {
	t.Helper()
	server := s3test.Start(t, s3test.Options{})
	server.MakeBucket(t, bucket)
	return server, newS3(t, configOf(server))
}

func TestS3StoresAndFetches(t *testing.T) {
	server, s := startS3(t)
	secret, public := identity(t)
	for revision, size := range []int{1, 1 << 20, minPart - 1, minPart, minPart + 1, 2*minPart + 12345} {
		text := noise(size, 1)
		m := mustStore(t, s, text, int64(revision+1), Recipients{})
		mustFetch(t, s, m, Identities{}, text)
		m = mustStore(t, s, text, int64(revision+11), recipients(t, public))
		mustFetch(t, s, m, secret, text)
		if _, err := os.Stat(server.File(bucket, "etcd/lab/"+m.Key())); err != nil {
			t.Error(err)
		}
	}
	if got := keys(t, s); len(got) != 24 || got[0] != "main/20260304T130000Z-r1-a.db" {
		t.Errorf("there are %q", got)
	}
	m := mustStore(t, s, noise(10, 1), 100, Recipients{})
	for range 2 {
		if err := Delete(t.Context(), s, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := Fetch(t.Context(), s, m, secret, io.Discard); !errors.Is(err, ErrNoObject) {
		t.Errorf("a backup that was removed: %v", err)
	}
}

// TestS3ServerKilled kills the server in the middle of an upload and of a download, and starts it again.
func TestS3ServerKilled(t *testing.T) {
	server, s := startS3(t)
	text := noise(3*minPart+99, 2)
	restarted := make(chan struct{})
	again := func() {
		server.Kill(t)
		go func() {
			defer close(restarted)
			<-time.After(time.Second) // requests fail meanwhile
			server.Restart(t)
		}()
	}
	m, err := Store(t.Context(), s, snapshotOf(text, 1), after(bytes.NewReader(text), 2*minPart, again), Recipients{})
	if err != nil {
		t.Fatal(err)
	}
	<-restarted
	restarted = make(chan struct{})
	var got bytes.Buffer
	object, err := s.Open(t.Context(), m.Key())
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	if _, err := io.Copy(&got, after(object, minPart, again)); err != nil || !bytes.Equal(got.Bytes(), text) {
		t.Errorf("%d bytes came back of %d: %v", got.Len(), len(text), err)
	}
	<-restarted
}

// after calls do once this much was read.
func after(from io.Reader, size int64, do func()) io.Reader {
	return io.MultiReader(io.LimitReader(from, size), doReader{do}, from)
}

type doReader struct{ do func() }

func (r doReader) Read([]byte) (int, error) { r.do(); return 0, io.EOF }

func TestS3ServerGone(t *testing.T) {
	server, s := startS3(t)
	s.config.Patience = time.Second
	text := noise(3*minPart, 2)
	_, err := Store(t.Context(), s, snapshotOf(text, 1), after(bytes.NewReader(text), 2*minPart, func() { server.Kill(t) }), Recipients{})
	mustSay(t, err, server.Endpoint(), bucket, "correct the endpoint", "until it is swept")
	if errors.Is(err, ErrRefused) {
		t.Errorf("it is taken for one that somebody has to fix: %v", err)
	}
	server.Restart(t)
	if left := keys(t, s); len(left) != 0 {
		t.Errorf("there are %q", left)
	}
	// The rest of that upload is removed once it is old enough.
	left := func() int { return len(uploads(t, s)) }
	if left() != 1 {
		t.Fatalf("%d uploads are unfinished", left())
	}
	if err := s.Sweep(t.Context(), "main/", time.Now().Add(-24*time.Hour)); err != nil || left() != 1 {
		t.Errorf("after a sweep of old ones %d are left, %v", left(), err)
	}
	foreign, err := s.core.NewMultipartUpload(t.Context(), bucket, "etcd/lab/main/another.bin", minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	others, err := s.core.NewMultipartUpload(t.Context(), bucket, "etcd/lab/main2/20260304T120000Z-r1-a.db", minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context(), "main/", time.Now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
	got, want := uploads(t, s), []string{foreign, others}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("after a sweep of all of ours %q are left", got)
	}
}

// uploads returns the unfinished uploads.
func uploads(t *testing.T, s *S3) []string {
	t.Helper()
	var found []string
	for upload := range s.core.ListIncompleteUploads(t.Context(), bucket, "", true) {
		if upload.Err != nil {
			t.Fatal(upload.Err)
		}
		found = append(found, upload.UploadID)
	}
	return found
}

// TestS3ContentBreaks holds that an upload leaves nothing if its content fails or if it is interrupted.
func TestS3ContentBreaks(t *testing.T) {
	_, s := startS3(t)
	broken := errors.New("the stream broke")
	content := io.MultiReader(bytes.NewReader(noise(2*minPart, 1)), iotest.ErrReader(broken))
	if err := s.Put(t.Context(), "main/a.db", 3*minPart, content); !errors.Is(err, broken) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	text := bytes.NewReader(noise(3*minPart, 1))
	if err := s.Put(ctx, "main/a.db", 3*minPart, after(text, 2*minPart, cancel)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if left, unfinished := keys(t, s), uploads(t, s); len(left)+len(unfinished) != 0 {
		t.Errorf("%q and uploads %q are left", left, unfinished)
	}
}

// TestS3DamagedOnTheWay has a proxy flip one bit of an upload, once: the server refuses that part, and the part is sent
// again.
func TestS3DamagedOnTheWay(t *testing.T) {
	server, _ := startS3(t)
	target, err := url.Parse(server.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	var damage atomic.Int32
	var damaged atomic.Int32
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host // requests sign the host
		if r.In.Method == http.MethodPut && r.In.ContentLength > 1000 && damage.Add(-1) >= 0 {
			damaged.Add(1)
			text, _ := io.ReadAll(r.In.Body)
			text[len(text)/2] ^= 1
			r.Out.Body = io.NopCloser(bytes.NewReader(text))
		}
	}})
	defer proxy.Close()
	c := configOf(server)
	c.Endpoint = proxy.URL
	s := newS3(t, c)
	for revision, size := range []int{2000, 2*minPart + 5} {
		damage.Store(1)
		text := noise(size, 3)
		mustFetch(t, s, mustStore(t, s, text, int64(revision+1), Recipients{}), Identities{}, text)
	}
	if damaged.Load() != 2 {
		t.Errorf("%d requests were damaged", damaged.Load())
	}
	damage.Store(1000)
	s.config.Patience = time.Second
	text := noise(2000, 3)
	if _, err := Store(t.Context(), s, snapshotOf(text, 9), bytes.NewReader(text), Recipients{}); err == nil {
		t.Error("an upload that is always damaged is called a backup")
	}
	if got := keys(t, s); len(got) != 4 {
		t.Errorf("there are %q", got)
	}
}

func TestS3StoredByteFlipped(t *testing.T) {
	server, s := startS3(t)
	m := mustStore(t, s, noise(1<<20, 4), 1, Recipients{})
	path := server.File(bucket, "etcd/lab/"+m.Key())
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[1000] ^= 1
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(text); err != nil {
		t.Fatal(err)
	}
	file.Close()
	if err := Fetch(t.Context(), s, m, Identities{}, io.Discard); !errors.Is(err, ErrBackupDamaged) {
		t.Error(err)
	}
}

// TestS3Refusals holds how mistakes are reported, and that each is reported at once, without retries.
func TestS3Refusals(t *testing.T) {
	server, _ := startS3(t)
	const password = "a-user's-secret-9876543210"
	server.AddUser(t, "lab-user", password, bucket)
	users := configOf(server)
	users.Credentials = Credentials{AccessKeyID: "lab-user", SecretAccessKey: secret.New(password)}
	put(t, newS3(t, users), "main/a.db", "what the user may store")
	server.RevokeUser(t, "lab-user")

	for name, test := range map[string]struct {
		change func(*S3Config)
		says   []string
	}{
		"revoked":      {func(c *S3Config) { *c = users }, []string{"lab-user", "not known there", "correct the credentials"}},
		"wrong secret": {func(c *S3Config) { c.Credentials.SecretAccessKey = secret.New("wrong-" + password) }, []string{s3test.AccessKeyID, "secret access key does not belong"}},
		"no bucket":    {func(c *S3Config) { c.Bucket = "nobodys" }, []string{"bucket nobodys", "create the bucket"}},
	} {
		c := configOf(server)
		c.Patience = time.Hour
		test.change(&c)
		s := newS3(t, c)
		for what, err := range map[string]error{
			"list": second(s.List(t.Context(), "")), "open": second(s.Open(t.Context(), "main/a.db")),
			"put": s.Put(t.Context(), "main/b.db", 1, strings.NewReader("x")), "sweep": s.Sweep(t.Context(), "main/", noon),
		} {
			mustSay(t, err, append(test.says, server.Endpoint())...)
			if !errors.Is(err, ErrRefused) || strings.Contains(fmt.Sprint(err), password) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
	if printed := fmt.Sprintf("%v %+v %#v %v", users, users, users, newS3(t, users)); strings.Contains(printed, password) {
		t.Errorf("it prints %s", printed)
	}
}

func TestS3Unreachable(t *testing.T) {
	const closed = "127.0.0.1:1" // another test may soon use a port that a listener has closed
	s := newS3(t, S3Config{Endpoint: "http://" + closed, Region: "x", Bucket: bucket, PathStyle: true,
		Credentials: Credentials{AccessKeyID: "a", SecretAccessKey: secret.New("b")}, Patience: time.Second})
	mustSay(t, second(s.List(t.Context(), "")), closed, "refused", "correct the endpoint")
}

// TestS3ByTheHostsRole has a service of the machine provide the access key, as clouds do.
func TestS3ByTheHostsRole(t *testing.T) {
	server, _ := startS3(t)
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"Code":"Success","AccessKeyId":%q,"SecretAccessKey":%q,"Token":"","Expiration":%q}`,
			s3test.AccessKeyID, s3test.SecretAccessKey, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	defer metadata.Close()
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", metadata.URL+"/role")
	c := configOf(server)
	c.Credentials = Credentials{}
	put(t, newS3(t, c), "main/a.db", "what the role may store")

	metadata.Close()
	c.Patience = time.Second
	mustSay(t, second(newS3(t, c).List(t.Context(), "")), server.Endpoint(), "credentials that are available")
}

func TestS3ByAPrivateAuthority(t *testing.T) {
	cert, key := s3test.SelfSigned(t, "127.0.0.1")
	ca := textOf(t, cert)
	server := s3test.Start(t, s3test.Options{CertFile: cert, KeyFile: key})
	server.MakeBucket(t, bucket)
	c := configOf(server)
	c.CA = ca
	text := noise(minPart+1, 5)
	s := newS3(t, c)
	mustFetch(t, s, mustStore(t, s, text, 1, Recipients{}), Identities{}, text)

	c.Patience = time.Hour
	other, _ := s3test.SelfSigned(t, "127.0.0.1")
	another := textOf(t, other)
	for _, c.CA = range []string{"", another} {
		err := second(newS3(t, c).List(t.Context(), ""))
		mustSay(t, err, server.Endpoint(), "not trusted", "as ca")
		if !errors.Is(err, ErrRefused) {
			t.Error(err)
		}
	}
}

func textOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestS3ConfigsThatAreNone(t *testing.T) {
	good := S3Config{Endpoint: "https://s3.example.com", Bucket: bucket}
	for name, change := range map[string]func(*S3Config){
		"no scheme":  func(c *S3Config) { c.Endpoint = "s3.example.com" },
		"a path":     func(c *S3Config) { c.Endpoint += "/bucket" },
		"a password": func(c *S3Config) { c.Endpoint = "https://a:b@s3.example.com" },
		"half a key": func(c *S3Config) { c.Credentials.AccessKeyID = "a" },
		"no PEM":     func(c *S3Config) { c.CA = "MII" },
	} {
		c := good
		change(&c)
		if _, err := NewS3(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	newS3(t, good)
}

func TestPartSize(t *testing.T) {
	for _, size := range []int64{0, 1, minPart, 100 << 30, 156 << 30, 4 << 40} {
		part := partSize(size)
		if part < minPart || size > part*maxParts {
			t.Errorf("%d bytes go in parts of %d", size, part)
		}
	}
	if partSize(100<<30) != minPart {
		t.Errorf("100 GiB take %d bytes of memory", partSize(100<<30))
	}
}

// TestS3GoesOn holds that a read continues where another one stopped, even if storage sends the whole object whatever
// part was requested, and never with the content of another object that has replaced it, even if storage does not
// compare.
func TestS3GoesOn(t *testing.T) {
	server, direct := startS3(t)
	simple := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := os.ReadFile(server.File(bucket, strings.TrimPrefix(r.URL.Path, "/"+bucket+"/")))
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("ETag", fmt.Sprintf("%.8x", sha256.Sum256(text)))
		w.Header().Set("Last-Modified", noon.Format(http.TimeFormat))
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(text)
		}
	}))
	defer simple.Close()
	c := configOf(server)
	c.Endpoint = simple.URL
	for name, s := range map[string]*S3{"parts": direct, "no parts": newS3(t, c)} {
		t.Run(name, func(t *testing.T) {
			text := noise(100_000, 5)
			put(t, direct, "main/a.db", string(text))
			read := func(o Resumable, from int64) ([]byte, error) {
				if err := o.Skip(from); err != nil {
					return nil, err
				}
				defer o.Close()
				return io.ReadAll(o)
			}
			for _, from := range []int64{0, 1, 50_000, int64(len(text))} {
				o, err := s.Resume(t.Context(), "main/a.db")
				if err != nil || o.Mark() == "" {
					t.Fatal(err)
				}
				if got, err := read(o, from); err != nil || !bytes.Equal(got, text[from:]) {
					t.Errorf("from %d: %d bytes, %v", from, len(got), err)
				}
			}
			o, err := s.Resume(t.Context(), "main/a.db")
			if err != nil {
				t.Fatal(err)
			}
			before := o.Mark()
			put(t, direct, "main/a.db", string(noise(100_000, 6)))
			if got, err := read(o, 50_000); !errors.Is(err, ErrChanged) || len(got) > 0 {
				t.Errorf("of another object %d bytes, %v", len(got), err)
			}
			if o, err = s.Resume(t.Context(), "main/a.db"); err != nil || o.Mark() == before {
				t.Errorf("another object has the same mark, %v", err)
			}
			if _, err := read(o, 100_001); err == nil {
				t.Error("it goes on behind its end")
			}
			if _, err := s.Resume(t.Context(), "main/nothing.db"); !errors.Is(err, ErrNoObject) {
				t.Errorf("what is not there: %v", err)
			}
		})
	}
}
