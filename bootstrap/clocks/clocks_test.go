package clocks

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

func TestClockOf(t *testing.T) {
	at := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	for _, c := range []struct {
		took, read, precision, skew time.Duration
	}{
		{2 * time.Second, time.Second, 0, 0},                                         // in between
		{2 * time.Second, 12 * time.Second, 0, 10 * time.Second},                     // at least
		{2 * time.Second, -10 * time.Second, 0, -10 * time.Second},                   // before the host was asked
		{30 * time.Second, -10 * time.Second, time.Second, -9 * time.Second},         // a host reports whole seconds
		{time.Second, -time.Second, time.Second, 0},                                  // which may be all
		{10 * time.Minute, 6 * time.Minute, 0, 0},                                    // a slow exchange says nothing
		{10 * time.Minute, 16 * time.Minute, 0, 6 * time.Minute},                     // and bounds what it says
		{time.Millisecond, 301 * time.Second, 0, 301*time.Second - time.Millisecond}, // a quick exchange says much
	} {
		clock := Of(at, at.Add(c.took), at.Add(c.read), c.precision)
		if !clock.Known || clock.Skew() != c.skew {
			t.Errorf("asked for %s, read %s after: %+v, %s", c.took, c.read, clock, clock.Skew())
		}
	}
	if clock := Of(at, at, time.Time{}, 0); clock != (Clock{}) {
		t.Errorf("without a time it says %+v", clock)
	}
}

func TestMaySign(t *testing.T) {
	exactly := func(seconds ...int) Clocks {
		r := Clocks{}
		for i, s := range seconds {
			skew := time.Duration(s) * time.Second
			r[membership.Member{Name: string(rune('a' + i)), Address: fmt.Sprintf("192.0.2.1%d", i+1)}] = Clock{From: skew, To: skew, Known: true}
		}
		return r
	}
	unknown, wide := exactly(0, 0, 0), exactly(0, 0, 0)
	for m := range unknown {
		unknown[m], wide[m] = Clock{}, Clock{From: -time.Hour, To: time.Hour, Known: true}
	}
	for name, c := range map[string]struct {
		clocks Clocks
		says   string // empty: certificates may be signed
		warns  string // the warning from a second on; empty: none
	}{
		"alike":                      {exactly(0, 0, 0), "", ""},
		"not known":                  {unknown, "", ""},
		"hardly known":               {wide, "", ""},
		"within a second":            {exactly(0, 1, 0), "", ""},
		"within what is backdated":   {exactly(0, -300, 0), "", "b (192.0.2.12): its clock is at least 5m behind this machine's"},
		"one behind":                 {exactly(0, -301, 0), "b (192.0.2.12): its clock is at least 5m1s behind this machine's, and no certificate is signed then: it begins 5m before", "b (192.0.2.12): its clock is at least 5m1s behind"},
		"one ahead":                  {exactly(0, 0, 7200), "c (192.0.2.13): its clock is at least 2h ahead of this machine's", "c (192.0.2.13): its clock is at least 2h ahead of"},
		"two apart, none far":        {exactly(-200, 0, 200), "c (192.0.2.13): its clock is at least 6m40s ahead of the one of a (192.0.2.11)", "a (192.0.2.11): its clock is at least 3m20s behind"},
		"all alike, far":             {exactly(-700, -700, -650), "the clocks of all hosts are at least 10m50s behind this machine's, and agree with each other", "a (192.0.2.11): its clock is at least 11m40s behind"},
		"one host, far":              {exactly(700), "a (192.0.2.11): its clock is at least 11m40s ahead of this machine's", "a (192.0.2.11)"},
		"all of them, and not alike": {exactly(-700, 700, 700), "a (192.0.2.11): its clock is at least 11m40s behind", "a (192.0.2.11)"},
	} {
		members := membership.Sort(slices.Collect(maps.Keys(c.clocks)))
		err := c.clocks.MaySign(members)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.HasPrefix(err.Error(), c.says) || !strings.Contains(err.Error(), "set the clocks right")) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		warned := c.clocks.Differ(members, Noticeable)
		if (len(warned) > 0) != (c.warns != "") || len(warned) > 0 && !strings.HasPrefix(warned[0].Error(), c.warns) {
			t.Errorf("%s: warns %v, want %q", name, warned, c.warns)
		}
	}
}
