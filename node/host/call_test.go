package host

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// say hands a text to the machine as a call, and returns the lines that it answers.
func say(t *testing.T, m *Machine, text string) ([]api.Line, bool) {
	t.Helper()
	var out bytes.Buffer
	ok := m.Call(t.Context(), strings.NewReader(text), &out)
	var lines []api.Line
	for text := range strings.Lines(out.String()) {
		lines = append(lines, mustParse(t, []byte(text)))
	}
	if len(lines) == 0 {
		t.Fatal("there is no answer")
	}
	return lines, ok
}

func mustParse(t *testing.T, text []byte) (line api.Line) {
	t.Helper()
	if err := json.Unmarshal(text, &line); err != nil {
		t.Fatalf("line %q is no JSON: %v", text, err)
	}
	return line
}

func TestCallsThatCannotBeCarriedOut(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		code api.Code
		says string
	}{
		"nothing":                                {"", api.CodeFailed, "read the request"},
		"no JSON":                                {"hello\n", api.CodeFailed, "read the request"},
		"a newer version":                        {`{"version":2,"operation":"observe","cluster":"main","body":{}}`, api.CodeUnsupported, "version 1 of the protocol, not 2"},
		"an unknown operation":                   {`{"version":1,"operation":"compact","cluster":"main","body":{}}`, api.CodeUnsupported, `"compact"`},
		"a path for a cluster":                   {`{"version":1,"operation":"observe","cluster":"../main","body":{}}`, api.CodeRefused, "../main"},
		"no cluster":                             {`{"version":1,"operation":"observe","body":{}}`, api.CodeRefused, `""`},
		"no body":                                {`{"version":1,"operation":"observe","cluster":"main"}`, api.CodeFailed, "read the request observe"},
		"more than this store knows of a change": {`{"version":1,"operation":"retire","cluster":"main","body":{"owner":"o","keep_data":true}}`, api.CodeUnsupported, "keep_data"},
		"a change without the lock":              {`{"version":1,"operation":"start","cluster":"main","body":{}}`, api.CodeRefused, "lock"},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			lines, ok := say(t, m, test.text)
			last := lines[len(lines)-1]
			if ok || last.Error == nil || last.Error.Code != test.code || !strings.Contains(last.Error.Message, test.says) {
				t.Errorf("want %s that says %q, got %v, %+v", test.code, test.says, ok, last.Error)
			}
		})
	}
}

// TestEveryOperationIsKept holds that the dispatch knows all operations, and which of them change a
// host: those are refused without the lock.
func TestEveryOperationIsKept(t *testing.T) {
	changing := []api.Operation{
		api.OpPrepare, api.OpConfigure, api.OpStart, api.OpStop, api.OpSetAside, api.OpRetire, api.OpRestart,
		api.OpAddLearner, api.OpRemoveMember, api.OpPromote, api.OpMoveLeader, api.OpDowngrade, api.OpDisarm, api.OpSnapshot, api.OpRecover,
		api.OpFetch, api.OpFence, api.OpRestore, api.OpAdvance, api.OpRollBack, api.OpBackUp, api.OpRenewOnHost, api.OpFirewall, api.OpUpdateMember,
	}
	reading := []api.Operation{api.OpObserve, api.OpAwait, api.OpProbe, api.OpHash, api.OpTry, api.OpLock, api.OpSave, api.OpBackups, api.OpSendBackup, api.OpRunNow, api.OpArrived, api.OpPreflight}
	if want := len(changing) + len(reading); len(operations) != want {
		t.Errorf("there are %d operations, want %d", len(operations), want)
	}
	for _, op := range reading {
		if operations[op] == nil {
			t.Errorf("there is no %s", op)
		}
	}
	for _, op := range changing {
		m, _ := newMachine(t)
		lines, _ := say(t, m, fmt.Sprintf(`{"version":1,"operation":%q,"cluster":"main","holder":"1","body":{}}`, op))
		if last := lines[len(lines)-1]; op.ReadOnly() || last.Error == nil || last.Error.Code != api.CodeRefused || !strings.Contains(last.Error.Message, "lock") {
			t.Errorf("%s without the lock: %+v", op, last.Error)
		}
	}
}

func TestLockSaysWhenItIsTaken(t *testing.T) {
	m, _ := newMachine(t)
	lines, ok := say(t, m, `{"version":1,"operation":"lock","cluster":"main","body":{"holder":{"id":"1","who":"ops"}}}`+"\n\n\n")
	if !ok || lines[len(lines)-1].Result == nil {
		t.Errorf("a lock whose holder has gone: %v, %+v", ok, lines)
	}
}

// TestNothingOfALockStaysAtWork holds that a lock that is freed looks for no calls any more.
func TestNothingOfALockStaysAtWork(t *testing.T) {
	m, _ := newMachine(t)
	runs := m.path(api.RunDir)
	for range 100 {
		if err := m.Lock(t.Context(), "main", api.LockRequest{Holder: api.Holder{ID: "1", Who: "ops"}}, strings.NewReader(""), patience, func() {}); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(runs)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(runs); err != nil {
			t.Fatal(err)
		}
		if len(entries) != 2 {
			t.Fatalf("the lock has ended before its wait for calls: %v", entries)
		}
	}
}

func TestACallUnderTheLock(t *testing.T) {
	m, _ := newMachine(t)
	hold(t, m, "main", "1", patience)
	body, err := json.Marshal(prepareOf("main"))
	if err != nil {
		t.Fatal(err)
	}
	lines, ok := say(t, m, fmt.Sprintf(`{"version":1,"operation":"prepare","cluster":"main","holder":"1","target":{"for":"a"},"body":%s}`, body))
	var p api.Prepared
	if !ok || json.Unmarshal(lines[len(lines)-1].Result, &p) != nil || len(p.Requests) != 3 {
		t.Errorf("prepare: %v, %+v", ok, lines)
	}
	// What a later version of an operation that only reads asks for besides does no harm.
	lines, ok = say(t, m, `{"version":1,"operation":"observe","cluster":"main","body":{"data_dir":"/var/lib/etcd/main","smart":true}}`)
	if ok || !strings.Contains(lines[0].Error.Message, "/proc/sys/kernel/hostname") {
		t.Errorf("observe of a machine without /proc: %v, %+v", ok, lines)
	}
}
