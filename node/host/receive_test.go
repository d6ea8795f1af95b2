package host

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"filippo.io/age"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
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
			r.Identity = identity.String()
			asked := api.ArrivedRequest{DataDir: r.DataDir, SHA256: r.Source.Upload.SHA256}
			mustHaveArrived := func(want int) {
				t.Helper()
				if got, err := m.Arrived(asked); err != nil || got.Bytes != int64(want) {
					t.Fatalf("%d bytes have arrived, and should have %d; %v", got.Bytes, want, err)
				}
			}
			mustHaveArrived(0)
			// One line that ends, one that breaks, one that falls silent: each brings a third.
			third := len(sent) / 3
			cuts := []io.Reader{bytes.NewReader(sent[:third]), io.MultiReader(bytes.NewReader(sent[third:2*third]), iotest.ErrReader(errCallerGone))}
			for i, cut := range cuts {
				r.From = int64(i * third)
				_, err := m.Fetch(t.Context(), "main", r, cut)
				mustFail(t, err, api.CodeFailed, "bytes of the snapshot that was sent have arrived, and stay")
				mustHaveArrived((i + 1) * third)
			}
			mustHaveFetched(t, m, "arriving-"+asked.SHA256)

			// What is on the host is believed no more than what comes.
			part := m.path(arrivingFile(r.DataDir, asked.SHA256))
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
			_, err = m.Fetch(t.Context(), "main", r, bytes.NewReader(sent[2*third:]))
			mustFail(t, err, api.CodeFailed, "was damaged on its way")
			mustHaveArrived(0)
			_, err = m.Fetch(t.Context(), "main", r, bytes.NewReader(sent[2*third:]))
			mustFail(t, err, api.CodeFailed, "are on the host, and not")

			if err := os.WriteFile(part, good, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := m.Fetch(t.Context(), "main", r, bytes.NewReader(sent[2*third:]))
			if err != nil || got.SHA256 != saved.SHA256 {
				t.Fatalf("fetched is %+v, %v", got, err)
			}
			mustHaveFetched(t, m, "restore-"+saved.SHA256+".db")
		})
	}
	t.Run("another's part goes", func(t *testing.T) {
		m, _ := newMachine(t)
		writeFile(t, m, arrivingFile(dataDir, strings.Repeat("0", 64)), "of another restore")
		if _, err := m.Fetch(t.Context(), "main", upload(content), bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		mustHaveFetched(t, m, "restore-"+saved.SHA256+".db")
	})
	t.Run("no such part", func(t *testing.T) {
		m, _ := newMachine(t)
		for _, from := range []int64{-1, int64(len(content)) + 1} {
			r := upload(content)
			r.From = from
			_, err := m.Fetch(t.Context(), "main", r, bytes.NewReader(nil))
			mustRefuse(t, err, "cannot be gone on with")
		}
	})
}
