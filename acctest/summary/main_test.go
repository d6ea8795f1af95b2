package main

import (
	"strings"
	"testing"
)

// TestSummary reads what test2json writes of a package with tests that passed, failed and were left out.
func TestSummary(t *testing.T) {
	const events = `{"Action":"start","Package":"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"}
no event
{"Action":"output","Package":"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade","Test":"TestPlans","Output":"    x_test.go:7: drew 12 of 2000\\n"}
{"Action":"pass","Package":"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade","Test":"TestPlans/a","Elapsed":9}
{"Action":"pass","Package":"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade","Test":"TestPlans","Elapsed":4.02}
{"Action":"fail","Package":"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade","Test":"TestOther","Elapsed":0.5}
{"Action":"output","Package":"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade","Test":"TestLong","Output":"    x_test.go:9: left to make test-all: TestPlans has its like\\n"}
{"Action":"skip","Package":"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade","Test":"TestLong","Elapsed":0}
{"Action":"fail","Package":"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade","Elapsed":26.3}
{"Action":"skip","Package":"github.com/etcd-on-hosts/terraform-provider-etcd/node/api","Elapsed":0}
`
	run, err := read("unit", strings.NewReader(strings.ReplaceAll(events, `\\n`, `\n`)))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	print(&text, run)
	const want = `seconds  tests  left out  package         slowest test
26.3     3      1         upgrade (unit)  TestPlans 4.0

Drawn, of what make test-all draws:
  upgrade TestPlans 12 of 2000

Left out:
  upgrade TestLong: TestPlans has its like

2 passed, 1 failed, 1 skipped
`
	if text.String() != want {
		t.Errorf("it prints\n%s\nand should print\n%s", text.String(), want)
	}
}
