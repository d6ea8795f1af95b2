package host

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestCallForAnotherMachine makes calls that mean another machine or another member: they are refused, and nothing is
// changed.
func TestCallForAnotherMachine(t *testing.T) {
	m, _ := newMachine(t)
	describe(t, m)
	configured(t, m, prepareOf("main"))
	id, err := os.ReadFile(m.path("/etc/machine-id"))
	if err != nil {
		t.Fatal(err)
	}
	booted, err := os.ReadFile(m.path("/proc/sys/kernel/random/boot_id"))
	if err != nil {
		t.Fatal(err)
	}
	here, boot := strings.TrimSpace(string(id)), strings.TrimSpace(string(booted))
	hold(t, m, "main", "run-1", patience)
	for name, test := range map[string]struct {
		target *api.Target
		says   string // empty: it is carried out
	}{
		"another machine": {&api.Target{MachineID: "0123456789abcdef", For: "b"}, "came to the one with the ID " + here},
		"another boot":    {&api.Target{MachineID: here, BootID: "0123", For: "a"}, "was booted after this run had observed it, or is a clone"},
		"another owner":   {&api.Target{Seen: true, For: "a", Member: "a", Owner: "owner-of-other"}, "another Terraform object manages it by now"},
		"another member":  {&api.Target{MachineID: here, Seen: true, For: "b", Member: "b"}, "this call is for a host that carries member b, and this host carries member a"},
		"a bare host":     {&api.Target{Seen: true, For: "b"}, "for a host that carries no member of this cluster, and this host carries member a"},
		"itself":          {&api.Target{MachineID: here, BootID: boot, Seen: true, For: "a", Member: "a", Owner: "owner-of-main"}, ""},
		"nobody has said": {nil, api.Untargeted},
	} {
		before := tree(t, m, "/etc")
		body, _ := json.Marshal(api.StopRequest{Owner: "owner-of-main"})
		line, _ := json.Marshal(api.Request{Version: api.Version, Operation: api.OpStop, Cluster: "main", Holder: "run-1", Target: test.target, Body: body})
		answers, _ := say(t, m, string(line)+"\n")
		refusal := answers[len(answers)-1].Error
		if test.says == "" {
			if refusal != nil {
				t.Errorf("%s: %v", name, refusal)
			}
			continue
		}
		if refusal == nil || refusal.Code != api.CodeRefused || !strings.Contains(refusal.Message, test.says) {
			t.Errorf("%s: %v", name, refusal)
		}
		if diff := cmp.Diff(before, tree(t, m, "/etc")); diff != "" {
			t.Errorf("%s: something was changed (-before +after):\n%s", name, diff)
		}
	}
}
