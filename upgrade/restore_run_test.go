package upgrade_test

import (
	"encoding/json"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// request is a call as it is sent.
func request(op api.Operation, body any) api.Request {
	encoded, err := json.Marshal(secret.Revealed(body))
	if err != nil {
		panic(err)
	}
	return api.Request{Version: api.Version, Operation: op, Cluster: cluster, Body: encoded}
}

// restores are clusters over which a snapshot is restored.
var restores = map[string]func(testing.TB) *restoreCase{
	"healthy": func(t testing.TB) *restoreCase { return outdone(t, 3) },
	"single":  func(t testing.TB) *restoreCase { return outdone(t, 1) },
	"wiped": func(t testing.TB) *restoreCase {
		r := outdone(t, 3)
		for _, m := range r.cluster.Members {
			r.host(m.Name).Wipe()
		}
		return r
	},
	"one wiped": func(t testing.TB) *restoreCase {
		r := outdone(t, 3)
		r.host("b").Wipe()
		return r
	},
	"data lost": func(t testing.TB) *restoreCase {
		r := outdone(t, 3)
		r.host("a").LoseData(r.cluster.DataDir)
		r.host("b").LoseData(r.cluster.DataDir)
		return r
	},
	"stopped": func(t testing.TB) *restoreCase {
		r := outdone(t, 3)
		for _, m := range r.cluster.Members {
			r.host(m.Name).StopUnit(cluster)
		}
		return r
	},
	"new hosts": func(t testing.TB) *restoreCase {
		r := outdone(t, 3)
		r.want("a@18", "b@19", "c@20")
		r.askFor("backup.db")
		return r
	},
	"3 to 5": func(t testing.TB) *restoreCase {
		r := outdone(t, 3)
		r.want("a", "b", "c", "d", "e")
		r.askFor("backup.db")
		return r
	},
	"5 to 3": func(t testing.TB) *restoreCase {
		r := outdone(t, 5)
		r.want("a", "b", "c")
		r.askFor("backup.db")
		return r
	},
	"older version": func(t testing.TB) *restoreCase {
		r := outdone(t, 3)
		r.run(older)
		return r
	},
}

// TestRestore restores a snapshot over clusters in every condition: the run does what was planned.
func TestRestore(t *testing.T) {
	for name, begin := range restores {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				begin(t).mustRestore()
			})
		})
	}
}
