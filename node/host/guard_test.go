package host

import (
	"os"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		phase api.Phase
		host  func(t *testing.T, m *Machine)
		text  string // of the refusal; empty: it may start
	}{
		"first start":             {phase: api.PhaseForming},
		"formed, with data":       {api.PhaseFormed, func(t *testing.T, m *Machine) { writeFile(t, m, dataDir+"/member/wal/0.wal", "") }, ""},
		"formed, data lost":       {api.PhaseFormed, nil, "holds no member's data (0 entries)"},
		"formed, disk empty":      {api.PhaseFormed, func(t *testing.T, m *Machine) { writeFile(t, m, dataDir+"/lost+found/x", "") }, "mount that"},
		"formed, log lost":        {api.PhaseFormed, func(t *testing.T, m *Machine) { writeFile(t, m, dataDir+"/member/snap/db", "") }, "holds no member's data"},
		"formed, log emptied":     {api.PhaseFormed, func(t *testing.T, m *Machine) { writeFile(t, m, dataDir+"/member/wal/0.tmp", "") }, "holds no member's data"},
		"a learner's first start": {phase: api.PhaseJoining},
		"another file system": {api.PhaseForming, func(t *testing.T, m *Machine) {
			marker, _ := m.records().Marker("main")
			marker.Mount = "/data"
			record(t, m, *marker)
		}, "mounted on /data"},
		"set aside": {api.PhaseJoining, func(t *testing.T, m *Machine) {
			if _, err := m.SetAside(t.Context(), "main", api.SetAsideRequest{Owner: "owner-of-main", Why: "lost"}); err != nil {
				t.Fatal(err)
			}
		}, "set aside"},
		"directory lost": {api.PhaseForming, func(t *testing.T, m *Machine) {
			if err := os.Remove(m.path(dataDir)); err != nil {
				t.Fatal(err)
			}
		}, "is not there"},
		"another directory in the flags": {api.PhaseForming, func(t *testing.T, m *Machine) {
			writeFile(t, m, api.FlagsFile("main"), "--name=a\n--data-dir=/tmp/empty\n")
		}, `"/tmp/empty"`},
		"no flags": {api.PhaseForming, func(t *testing.T, m *Machine) {
			if err := os.Remove(m.path(api.FlagsFile("main"))); err != nil {
				t.Fatal(err)
			}
		}, "no flags"},
		"retired": {api.PhaseForming, func(t *testing.T, m *Machine) {
			if err := os.Remove(m.path(api.MarkerFile("main"))); err != nil {
				t.Fatal(err)
			}
		}, "there is no " + api.MarkerFile("main")},
		"a broken marker": {api.PhaseForming, func(t *testing.T, m *Machine) { writeFile(t, m, api.MarkerFile("main"), "{") }, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			c := configured(t, m, prepareOf("main"))
			c.Marker.Phase = test.phase
			if err := m.Configure(t.Context(), "main", c); err != nil {
				t.Fatal(err)
			}
			if test.host != nil {
				test.host(t, m)
			}
			err := m.Guard("main")
			if test.text == "" && err != nil {
				t.Errorf("it may not start: %v", err)
			}
			if test.text != "" && (err == nil || !strings.Contains(err.Error(), test.text)) {
				t.Errorf("want a refusal that says %q, got %v", test.text, err)
			}
		})
	}
}
