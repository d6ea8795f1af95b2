package resources_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

// unpacked returns the observation of the hosts in the private state of a resource, as text.
func unpacked(t *testing.T, private []byte) string {
	t.Helper()
	var kept map[string][]byte
	var packed []byte
	err := json.Unmarshal(private, &kept)
	if err == nil && kept["sight"] == nil { // no refresh has observed yet
		return string(kept["chains"])
	}
	if err == nil {
		err = json.Unmarshal(kept["sight"], &packed)
	}
	if err != nil {
		t.Fatalf("private state %.80s...: %v", private, err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + string(kept["chains"])
}

// TestReportsIsStill holds that two observations of hosts on which only time and data have changed leave the same
// private state.
func TestReportsIsStill(t *testing.T) {
	w := newWorld(t)
	var first []byte
	w.run(t, w.begun(t, three(unprotected)),
		tftest.TestStep{
			RefreshState: true,
			Check: func(*terraform.State) error {
				first = last(w.privately())
				w.put(t)
				w.Clock = w.Clock.Add(time.Hour)
				w.host(12).FreeBytes -= 1 << 30
				return nil
			},
		},
		tftest.TestStep{
			RefreshState: true,
			Check: func(*terraform.State) error {
				second := last(w.privately())
				if diff := cmp.Diff(unpacked(t, first), unpacked(t, second)); diff != "" || !bytes.Equal(first, second) {
					return errors.New("the second look differs:\n" + diff)
				}
				return nil
			},
		})
}

func last(all [][]byte) []byte { return all[len(all)-1] }
