package resources_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/terraform"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestBarredHostIsNotGivenUp has a host answer and refuse the login: the warning names the argument at fault and no
// replacement, a plan without its member removes nothing, and a destroy is refused with the same remedy.
func TestBarredHostIsNotGivenUp(t *testing.T) {
	w := newWorld(t)
	barred := &api.Barred{Barrier: api.BarrierLogin, Err: errors.New("connect to root@192.0.2.13:22: login refused")}
	w.run(t, w.begun(t, three(unprotected)),
		tftest.TestStep{
			PreConfig: func() { w.host(13).Unreachable = barred; w.Forget() },
			Config:    three(unprotected), ExpectNonEmptyPlan: true,
			Check: tftest.ComposeAggregateTestCheckFunc(values("members.c.health", "barred", "status", "degraded"), w.untouched, func(*terraform.State) error {
				warned := w.warned()
				for _, text := range []string{"login refused", "Its host answers, and refuses the login: the member may serve, and is not given up", "ssh.private_key_file"} {
					if !strings.Contains(warned, text) {
						return fmt.Errorf("no warning says %q:\n%s", text, warned)
					}
				}
				if strings.Contains(warned, "address of another host") {
					return fmt.Errorf("it is to be replaced:\n%s", warned)
				}
				return nil
			}),
		},
		tftest.TestStep{
			Config: of("a b c@23", unprotected), ExpectError: says("c (192.0.2.13): it cannot be removed: its host answers, and refuses the login, and it may serve"),
		},
		tftest.TestStep{
			Config: three(unprotected), Destroy: true, ExpectError: says("At the last refresh c (192.0.2.13) could not be asked: its host answers, and refuses the login"),
		},
		tftest.TestStep{
			PreConfig: func() {
				if calls := w.changes(); len(calls) > 0 {
					t.Errorf("hosts were changed: %v", calls)
				}
				w.host(13).Unreachable = nil
			},
			Config: three(unprotected), Check: values("members.c.health", "healthy", "status", "healthy"),
		})
}
