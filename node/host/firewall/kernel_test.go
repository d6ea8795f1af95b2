package firewall

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// TestAKernelWithPartsOfNftables holds that a trial changes nothing, and finds what the kernel lacks.
func TestAKernelWithPartsOfNftables(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lacking := tableOf("main", filters("192.0.2.11"), []netip.Addr{netip.MustParseAddr("192.0.2.11")})
	if w.do(func() {
		if err := lacking.try(); err != nil {
			t.Errorf("a kernel that has all: %v", err)
		}
	}); w.run("nft", "list", "ruleset") != "" {
		t.Errorf("the trial has left\n%s", w.run("nft", "list", "ruleset"))
	}
	lacking.rules = append(lacking.rules, rule{exprs: []expr.Any{&expr.Target{Name: "NOSUCH", Info: &xt.Unknown{}}}})
	if w.do(func() {
		if err := lacking.try(); !errors.Is(err, errNoNftables) {
			t.Errorf("a kernel without a part: %v", err)
		}
	}); w.run("nft", "list", "ruleset") != "" {
		t.Errorf("the trial has left\n%s", w.run("nft", "list", "ruleset"))
	}
}
