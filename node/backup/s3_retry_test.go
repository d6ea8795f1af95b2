package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// TestPatienceCountsTheTimeInWhichNothingMoves retries requests that fail, over connections of which one carries a part
// for longer than the patience lasts.
func TestPatienceCountsTheTimeInWhichNothingMoves(t *testing.T) {
	fails := errors.New("connection reset by peer")
	for name, test := range map[string]struct {
		takes    time.Duration // to carry the whole part
		silent   time.Duration // from then until the request fails
		failures int
		ends     bool // the request is given up
	}{
		"a slow connection, and once":  {20 * time.Minute, 0, 1, false},
		"a slow connection, and often": {134 * time.Second, 0, 20, false},
		"a line that breaks, twice":    {20 * time.Minute, time.Minute, 2, false},
		"an endpoint that is gone":     {0, 10 * time.Second, 1 << 20, true},
		"one that answers nothing":     {0, 2 * time.Minute, 1 << 20, true},
		"one that refuses each part":   {134 * time.Second, 0, 1 << 20, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &S3{config: S3Config{Patience: 5 * time.Minute}, traffic: &traffic{began: time.Now()}}
			tries, quiet := 0, time.Duration(0)
			began := time.Now()
			err := s.patiently(t.Context(), "store a part", func() error {
				for range int(test.takes / time.Second) {
					time.Sleep(time.Second)
					s.traffic.move(1)
				}
				if tries++; tries > test.failures {
					return nil
				}
				time.Sleep(test.silent)
				return fails
			})
			quiet = time.Since(began) - time.Duration(tries)*test.takes
			if errors.Is(err, fails) != test.ends || (err != nil) != test.ends || tries != test.failures+1 && !test.ends {
				t.Errorf("%s: after %d tries: %v", name, tries, err)
			}
			if test.ends && (quiet < s.config.Patience || quiet > s.config.Patience+test.silent) {
				t.Errorf("%s: it was given up after %s in which nothing has moved", name, quiet)
			}
		})
	}
}

// TestAnUploadOutlastsAnOutage holds that an upload continues after an outage if some of its parts have arrived, and is
// given up if none has.
func TestAnUploadOutlastsAnOutage(t *testing.T) {
	const patience, outage = 100 * time.Millisecond, 2 * time.Second
	for name, test := range map[string]struct {
		from, parts int // the parts that are sent before the outage, and all parts
		ends        bool
	}{
		"between two parts":  {1, 3, true},
		"before it is made":  {3, 3, true},
		"before a part came": {0, 3, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var begun, came atomic.Int32
			var over atomic.Pointer[time.Time]
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				query := r.URL.Query()
				if query.Has("uploads") {
					begun.Add(1)
					fmt.Fprint(w, `<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>`)
					return
				}
				if r.Method != http.MethodDelete && int(came.Load()) == test.from {
					end := time.Now().Add(outage)
					over.CompareAndSwap(nil, &end)
					if time.Now().Before(*over.Load()) {
						w.WriteHeader(http.StatusServiceUnavailable)
						return
					}
				}
				if query.Has("partNumber") {
					came.Add(1)
					w.Header().Set("ETag", "part")
				} else if r.Method == http.MethodPost {
					fmt.Fprint(w, `<CompleteMultipartUploadResult><Bucket>backups</Bucket><Key>main/x</Key><ETag>whole</ETag></CompleteMultipartUploadResult>`)
				}
			}))
			defer server.Close()
			s := newS3(t, S3Config{Endpoint: server.URL, Region: "us-east-1", Bucket: "backups", PathStyle: true, Patience: patience, UploadPatience: time.Minute, Credentials: Credentials{AccessKeyID: "i", SecretAccessKey: secret.New("s")}})
			text := noise(2*minPart+1, 1)
			err := s.Put(t.Context(), "main/x", int64(len(text)), bytes.NewReader(text))
			if (err == nil) != test.ends || begun.Load() != 1 || test.ends && int(came.Load()) != test.parts {
				t.Errorf("%d uploads were begun, and %d parts came: %v", begun.Load(), came.Load(), err)
			}
		})
	}
}

// TestAPartThatTakesLongerThanThePatienceIsRepeated has storage fail after it has received a whole part.
func TestAPartThatTakesLongerThanThePatienceIsRepeated(t *testing.T) {
	var tries atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if tries.Add(1) == 1 {
			time.Sleep(1500 * time.Millisecond)
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	s := newS3(t, S3Config{Endpoint: server.URL, Region: "us-east-1", Bucket: "backups", PathStyle: true, Patience: time.Second, Credentials: Credentials{AccessKeyID: "i", SecretAccessKey: secret.New("s")}})
	if err := s.Put(t.Context(), "main/x", 1, strings.NewReader("x")); err != nil || tries.Load() != 2 {
		t.Errorf("after %d tries: %v", tries.Load(), err)
	}
}
