package resources_test

import (
	"fmt"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// rebuilt is a configuration with these texts of rebuild: "b=1 c=2".
func rebuilt(config, texts string) string {
	for _, field := range strings.Fields(texts) {
		name, text, _ := strings.Cut(field, "=")
		begin := name + " = { "
		config = strings.Replace(config, begin, fmt.Sprintf("%srebuild = %q, ", begin, text), 1)
	}
	return config
}

// TestRebuild rebuilds members in place: healthy, leading and stopped ones, once for each new text. Nothing is done if
// a text is removed, or set for a new member.
func TestRebuild(t *testing.T) {
	w := newWorld(t)
	base := three(unprotected)
	ids := map[string]string{}
	note := func(s *terraform.State) error {
		for _, name := range []string{"a", "b", "c"} {
			ids[name] = s.RootModule().Resources[cluster].Primary.Attributes["members."+name+".id"]
		}
		return w.allWell(s)
	}
	anew := func(names string) func(*terraform.State) error {
		return func(s *terraform.State) error {
			for name, was := range ids {
				is := s.RootModule().Resources[cluster].Primary.Attributes["members."+name+".id"]
				if (is != was) != strings.Contains(names, name) {
					return fmt.Errorf("the ID of %s is %q, and was %q", name, is, was)
				}
			}
			return note(s)
		}
	}
	step := func(config string, says []string, names string) tftest.TestStep {
		s := w.asPlanned(t, config, says)
		s.Check = anew(names)
		return s
	}
	w.run(t,
		tftest.TestStep{Config: base, Check: note},
		step(rebuilt(base, "b=1"), []string{"remove b (192.0.2.12): to be built anew (1); voters 3 -> 2, quorum 2, healthy 2"}, "b"),
		step(rebuilt(base, "a=1 b=2"), []string{"remove a (192.0.2.11): to be built anew (1)", "remove b (192.0.2.12): to be built anew (2)"}, "a b"),
		tftest.TestStep{PreConfig: w.Forget, Config: rebuilt(base, "a=1"), Check: tftest.ComposeAggregateTestCheckFunc(w.untouched, anew(""))},
		tftest.TestStep{
			PreConfig: func() { w.steps() },
			Config:    rebuilt(of("a b c d e", unprotected), "a=1 d=7 e=7"),
			Check: func(s *terraform.State) error {
				if steps := strings.Join(w.steps(), "\n"); strings.Contains(steps, "remove") {
					return fmt.Errorf("members were removed:\n%s", steps)
				}
				return anew("")(s)
			},
		},
	)
}

// TestRebuildGoesOn kills an apply that rebuilds a member: the next apply continues, and rebuilds it once.
func TestRebuildGoesOn(t *testing.T) {
	for name, op := range map[string]api.Operation{"removed": api.OpRemoveMember, "set aside": api.OpSetAside, "joined": api.OpStart, "promoted": api.OpPromote} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			base, config := three(unprotected), rebuilt(three(unprotected), "b=1")
			w.run(t,
				tftest.TestStep{Config: base},
				tftest.TestStep{
					PreConfig: func() {
						w.dies = true
						w.Inject(nodetest.Fault{Operation: op, After: true, Extent: nodetest.Run})
					},
					Config: config, ExpectError: says("the connection was lost"),
				},
				tftest.TestStep{
					PreConfig: func() {
						w.dies = false
						w.Heal()
						w.steps()
						w.Forget()
					},
					Config: config,
					Check: func(s *terraform.State) error {
						if steps := strings.Join(w.steps(), "\n"); strings.Contains(steps, "remove") {
							return fmt.Errorf("it was removed again:\n%s", steps)
						}
						return w.allWell(s)
					},
				})
		})
	}
}
