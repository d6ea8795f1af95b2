package host

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"filippo.io/age"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/durable"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/arrivals"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// TestUploadIsGoneOnWith holds that what has come of an upload that was cut short stays, and that it is whole with the
// rest of it, in the clear or encrypted; and that no part that was damaged, or is another's, becomes a snapshot.
func TestUploadIsGoneOnWith(t *testing.T) {
	_, saved, content := aSnapshot(t)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var encrypted bytes.Buffer
	to, err := age.Encrypt(&encrypted, identity.Recipient())
	if err == nil {
		_, err = to.Write(content)
	}
	if err = errors.Join(err, to.Close()); err != nil {
		t.Fatal(err)
	}
	for name, sent := range map[string][]byte{"in the clear": content, "encrypted": encrypted.Bytes()} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			r := upload(sent)
			r.Identity = secret.New(identity.String())
			asked := api.ArrivedRequest{DataDir: r.DataDir, SHA256: r.Source.Upload.SHA256}
			mustHaveArrived := func(want int) {
				t.Helper()
				if got, err := m.arrivals().Arrived(asked); err != nil || got.Bytes != int64(want) {
					t.Fatalf("%d bytes have arrived, and should have %d; %v", got.Bytes, want, err)
				}
			}
			mustHaveArrived(0)
			// One line that ends, one that breaks, one that falls silent: each brings a third.
			third := len(sent) / 3
			cuts := []io.Reader{bytes.NewReader(sent[:third]), io.MultiReader(bytes.NewReader(sent[third:2*third]), iotest.ErrReader(locks.ErrSilent))}
			for i, cut := range cuts {
				r.From = int64(i * third)
				_, err := m.arrivals().Fetch(t.Context(), "main", r, cut)
				mustFail(t, err, api.CodeFailed, "bytes of the snapshot that was sent have arrived, and stay")
				mustHaveArrived((i + 1) * third)
			}
			mustHaveFetched(t, m, "arriving-"+asked.SHA256)

			// What is on the host is believed no more than what comes.
			part := m.path(arrivals.ArrivingFile(r.DataDir, asked.SHA256))
			good, err := os.ReadFile(part)
			if err != nil {
				t.Fatal(err)
			}
			bad := bytes.Clone(good)
			bad[100] ^= 1
			if err := os.WriteFile(part, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			r.From = int64(2 * third)
			_, err = m.arrivals().Fetch(t.Context(), "main", r, bytes.NewReader(sent[2*third:]))
			mustFail(t, err, api.CodeFailed, "was damaged on its way")
			mustHaveArrived(0)
			_, err = m.arrivals().Fetch(t.Context(), "main", r, bytes.NewReader(sent[2*third:]))
			mustFail(t, err, api.CodeFailed, "are on the host, and not")

			if err := os.WriteFile(part, good, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := m.arrivals().Fetch(t.Context(), "main", r, bytes.NewReader(sent[2*third:]))
			if err != nil || got.SHA256 != saved.SHA256 {
				t.Fatalf("fetched is %+v, %v", got, err)
			}
			mustHaveFetched(t, m, "restore-"+saved.SHA256+".db")
		})
	}
	t.Run("its caller goes while it is decrypted", func(t *testing.T) {
		m, _ := newMachine(t)
		r := upload(encrypted.Bytes())
		r.Identity = secret.New(identity.String())
		ctx, gone := context.WithCancelCause(t.Context())
		last := readsBy(func([]byte) (int, error) { gone(locks.ErrSilent); return 0, io.EOF })
		_, err := m.arrivals().Fetch(ctx, "main", r, io.MultiReader(bytes.NewReader(encrypted.Bytes()[:encrypted.Len()-1]), last, bytes.NewReader(encrypted.Bytes()[encrypted.Len()-1:])))
		if !errors.Is(err, locks.ErrSilent) {
			t.Errorf("it ends with %v", err)
		}
		mustHaveFetched(t, m, "arriving-"+r.Source.Upload.SHA256)
		r.From = r.Source.Upload.SizeBytes
		if got, err := m.arrivals().Fetch(t.Context(), "main", r, bytes.NewReader(nil)); err != nil || got.SHA256 != saved.SHA256 {
			t.Errorf("fetched is %+v, %v", got, err)
		}
	})
	t.Run("another's part goes", func(t *testing.T) {
		m, _ := newMachine(t)
		writeFile(t, m, arrivals.ArrivingFile(dataDir, strings.Repeat("0", 64)), "of another restore")
		if _, err := m.arrivals().Fetch(t.Context(), "main", upload(content), bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		mustHaveFetched(t, m, "restore-"+saved.SHA256+".db")
	})
	t.Run("no such part", func(t *testing.T) {
		m, _ := newMachine(t)
		for _, from := range []int64{-1, int64(len(content)) + 1} {
			r := upload(content)
			r.From = from
			_, err := m.arrivals().Fetch(t.Context(), "main", r, bytes.NewReader(nil))
			mustRefuse(t, err, "cannot be resumed")
		}
	})
}

// TestPartOfAnEarlierBootIsTrustedForWhatTheDiskHad holds that of a part that was written before the host has booted,
// the end counts as not come that a power cut may have taken, and that all of it counts which was written since.
func TestPartOfAnEarlierBootIsTrustedForWhatTheDiskHad(t *testing.T) {
	_, saved, content := aSnapshot(t)
	m, _ := newMachine(t)
	r := upload(content)
	part := arrivals.ArrivingFile(r.DataDir, r.Source.Upload.SHA256)
	boot := func() {
		t.Helper()
		if err := os.RemoveAll(m.path(api.RunDir)); err != nil {
			t.Fatal(err)
		}
	}
	arrived := func() int64 {
		t.Helper()
		got, err := m.arrivals().Arrived(api.ArrivedRequest{DataDir: r.DataDir, SHA256: r.Source.Upload.SHA256})
		if err != nil {
			t.Fatal(err)
		}
		return got.Bytes
	}
	half := len(content) / 2
	_, err := m.arrivals().Fetch(t.Context(), "main", r, bytes.NewReader(content[:half]))
	mustFail(t, err, api.CodeFailed, "have arrived, and stay")
	if got := arrived(); got != int64(half) {
		t.Errorf("%d bytes count, of %d that have come since the boot", got, half)
	}
	// The power is cut: the file has its length, and not its end.
	if err := os.WriteFile(m.path(part), make([]byte, half), 0o600); err != nil {
		t.Fatal(err)
	}
	boot()
	if got := arrived(); got != 0 {
		t.Errorf("%d bytes count, none of which the disk may have", got)
	}
	r.From = int64(half)
	_, err = m.arrivals().Fetch(t.Context(), "main", r, bytes.NewReader(content[half:]))
	mustFail(t, err, api.CodeFailed, "are on the host, and not")

	// More has come than the disk may have missed.
	if err := os.WriteFile(m.path(part), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(m.path(part), durable.Unsynced+10); err != nil {
		t.Fatal(err)
	}
	if got := arrived(); got != 10 {
		t.Errorf("%d bytes count, of 10 that the disk had", got)
	}

	// What comes after the boot counts at once, and is whole with the rest.
	r.From = 0
	_, err = m.arrivals().Fetch(t.Context(), "main", r, bytes.NewReader(content[:half]))
	mustFail(t, err, api.CodeFailed, "have arrived, and stay")
	if got := arrived(); got != int64(half) {
		t.Errorf("%d bytes count, of %d that have come since the boot", got, half)
	}
	r.From = int64(half)
	got, err := m.arrivals().Fetch(t.Context(), "main", r, bytes.NewReader(content[half:]))
	if err != nil || got.SHA256 != saved.SHA256 {
		t.Fatalf("fetched is %+v, %v", got, err)
	}
	mustHaveFetched(t, m, "restore-"+saved.SHA256+".db")
}

// readsBy is a reader that is a function.
type readsBy func(p []byte) (int, error)

func (f readsBy) Read(p []byte) (int, error) { return f(p) }
