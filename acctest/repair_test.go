package acctest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// drift is what may become of a member behind our back.
type drift struct {
	name   string
	inject []string // run on host b
	shown  string   // in the plan, of member b
	step   string   // that mends it
}

// drifts are mended one after the other on one cluster.
var drifts = []drift{
	{"stopped", []string{"systemctl", "stop", "etcd@prod"}, `health:"stopped"`, "start b"},
	{"disabled", []string{"systemctl", "disable", "etcd@prod"}, "its unit is disabled", "start b"},
	{"unit edited", []string{"sed", "-i", "s/^TimeoutStopSec=.*/TimeoutStopSec=5/", "/etc/systemd/system/etcd@prod.service"}, "its unit", "roll b"},
	{"flags edited", []string{"sh", "-c", "echo --log-level=debug >>/etc/etcd/prod/flags"}, "flags --log-level", "roll b"},
	{"flags edited and restarted", []string{"sh", "-c", "echo --log-level=debug >>/etc/etcd/prod/flags; systemctl restart etcd@prod"}, "flags --log-level", "roll b"},
	{"flags broken", []string{"sh", "-c", "echo --no-such-flag=1 >>/etc/etcd/prod/flags; systemctl restart --no-block etcd@prod"}, "flags --no-such-flag", "configure b"},
	{"another binary", []string{"sh", "-c", `cd /usr/local/lib/etcd-store && cp -r $(readlink prod) new && echo >>new/store && hash=$(sha256sum new/store | cut -d" " -f1) &&
		mv new $hash && ln -sfn $hash prod && systemctl restart etcd@prod`}, "another store was put in place of its own", "roll b"},
	{"foreign certificate", []string{"cp", "/etc/etcd/prod/tls/peer.crt", "/etc/etcd/prod/tls/server.crt"}, "its server certificate", "renew certificates of b"},
	{"certificate gone", []string{"rm", "/etc/etcd/prod/tls/server.crt"}, "its certificate /etc/etcd/prod/tls/server.crt is missing", "renew certificates of b"},
	{"admin key gone", []string{"rm", "/etc/etcd/prod/tls/admin.key"}, "its key /etc/etcd/prod/tls/admin.key is missing", "renew certificates of b"},
	{"peer and server key gone", []string{"rm", "/etc/etcd/prod/tls/peer.key", "/etc/etcd/prod/tls/server.key"}, "its key /etc/etcd/prod/tls/peer.key is missing", "renew certificates of b"},
	{"store gone, another there", []string{"sh", "-c", `cd /usr/local/lib/etcd-store && cp -r $(readlink -f prod) new && echo >>new/store && hash=$(sha256sum new/store | cut -d" " -f1) &&
		mv new $hash && rm -r $(readlink -f prod) && systemctl stop etcd@prod`}, `health:"stopped"`, "start b"},
	{"log damaged", []string{"sh", "-c", `systemctl stop etcd@prod; f=$(ls /var/lib/etcd/prod/member/wal/*.wal | head -1); printf damage | dd of=$f bs=1 seek=2000 conv=notrunc 2>/dev/null; systemctl start --no-block etcd@prod; sleep 15`},
		"its data is damaged", "remove b"},
	{"database damaged", []string{"sh", "-c", `systemctl stop etcd@prod; f=/var/lib/etcd/prod/member/snap/db; tr '\0' '\245' </dev/zero | head -c $(($(stat -c %s $f) - 8192)) | dd of=$f bs=4096 seek=2 conv=notrunc 2>/dev/null; systemctl start --no-block etcd@prod; sleep 15`},
		"its data is damaged", "remove b"},
	{"removed behind our back", []string{"sh", "-c", `etcdctl --endpoints=https://127.0.0.1:2379 --cacert /etc/etcd/prod/tls/client-ca.crt --cert /etc/etcd/prod/tls/admin.crt --key /etc/etcd/prod/tls/admin.key member list |
		sed -n 's/^\([0-9a-f]*\), started, b,.*/\1/p' >/tmp/id
		# For 5 s after a member has come, etcd calls the cluster unhealthy.
		for i in $(seq 30); do etcdctl --endpoints=https://127.0.0.1:2379 --cacert /etc/etcd/prod/tls/client-ca.crt --cert /etc/etcd/prod/tls/admin.crt --key /etc/etcd/prod/tls/admin.key member remove $(cat /tmp/id) && exit; sleep 1; done; exit 1`}, `health:"removed"`, "set aside b"},
	{"data lost", []string{"sh", "-c", "systemctl stop etcd@prod; rm -rf /var/lib/etcd/prod/*; systemctl start --no-block etcd@prod"}, `health:"lost"`, "remove b"},
	{"data directory gone", []string{"sh", "-c", "systemctl stop etcd@prod; rm -rf /var/lib/etcd/prod"}, `health:"lost"`, "remove b"},
	{"foreign data", []string{"sh", "-c", "systemctl stop etcd@prod; rm -rf /var/lib/etcd/prod/*; timeout 3 runuser -u etcd -- /usr/local/bin/etcd --data-dir=/var/lib/etcd/prod --name=b --listen-client-urls=http://127.0.0.1:9379 --advertise-client-urls=http://127.0.0.1:9379 --listen-peer-urls=http://127.0.0.1:9380 >/dev/null 2>&1; true"},
		"its data directory holds another member's data", "remove b"},
}

// TestDriftIsMended breaks member b in every way, with a writer on the cluster: each time the plan shows what it
// is and asks for an apply, which mends it with the least that does.
func TestDriftIsMended(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	v := loadedBesideOthers(t, l, setup{})
	for _, d := range sample.EveryNth(t, 6, drifts) {
		t.Log(d.name)
		through := l.Host("b")
		if strings.HasPrefix(d.name, "removed") {
			through = l.Host("a")
		}
		inHost(t, through, d.inject...)
		time.Sleep(time.Second) // for those who notice by themselves
		planned := v.planned()
		if shown := v.memberBefore("b"); !strings.Contains(shown, d.shown) {
			t.Errorf("%s: the plan does not show %q of b: %s", d.name, d.shown, shown)
		}
		if steps := strings.Join(planned, "\n"); !strings.Contains(steps, d.step) {
			t.Errorf("%s: the plan has no step %q:\n%s", d.name, d.step, steps)
		}
		v.repair(d.name)
	}
	v.check(besideOthers)
}

// memberBefore is what a saved plan knows of a member before it is changed.
func (w *workspace) memberBefore(name string) string {
	w.t.Helper()
	var shown struct {
		Changes []struct {
			Address string `json:"address"`
			Change  struct {
				Before struct {
					Members map[string]map[string]any `json:"members"`
				} `json:"before"`
			} `json:"change"`
		} `json:"resource_changes"`
	}
	if err := json.Unmarshal([]byte(w.must("show", "-json", "saved.plan")), &shown); err != nil {
		// Other resources have other members.
		w.t.Fatal(err)
	}
	for _, change := range shown.Changes {
		if change.Address == "etcd_cluster.prod" {
			m := change.Change.Before.Members[name]
			return fmt.Sprintf("health:%q drift:%v", m["health"], m["drift"])
		}
	}
	return ""
}

// mustNotice plans until the other members have noticed that a machine was replaced, as the refusal tells a user to:
// the connections of the process before end at the latest when the kernel sends on them again, ever more rarely.
func mustNotice(t *testing.T, w *workspace) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(time.Second) {
		output, code := w.planCode()
		if code != 1 {
			return
		}
		if !strings.Contains(flatten(output), "its connections end within a few minutes: plan again then") || time.Since(begun) > 5*time.Minute {
			t.Fatalf("plan: %d\n%s", code, output)
		}
	}
}

// TestDeadHosts has hosts die for good, come back wiped, and be cut off, with a writer on the cluster.
func TestDeadHosts(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c", "d")})
	v := loadedBesideOthers(t, l, setup{at: on("a", "b", "c")})

	if err := l.Host("c").PowerOff(); err != nil {
		t.Fatal(err)
	}
	v.change("replace a dead member", setup{at: on("a", "b", "c@d")})

	if err := l.Host("b").WipeWithNewKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Its key is another one now: what is on it is known once the apply looks, by the new key.
	v.setup.at = on("a", "b", "c@d")
	v.write("main.tf", configuration(t, l, v.setup))
	v.mark("host made anew")
	mustNotice(t, v.workspace)
	v.apply()
	v.mustRollOut("remove b", "join b", "promote b")
	v.mustBeSettled()

	if err := l.Host("b").Wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustNotice(t, v.workspace)
	v.repair("host wiped")

	if err := l.Host("b").Cut(); err != nil {
		t.Fatal(err)
	}
	v.mark("unreachable")
	output, code := v.planCode()
	if code != 2 || !strings.Contains(flatten(output), "Member b of cluster prod could not be asked") {
		t.Errorf("plan with b cut off: %d\n%s", code, output)
	}
	v.apply()
	if err := l.Host("b").Join(); err != nil {
		t.Fatal(err)
	}
	v.apply()
	v.mustBeSettled()
	v.check(besideOthers)
}
