package rotation_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/rotation"
)

// TestPhases goes from every phase of a rotation to every other one, and to what else a configuration may say then.
func TestPhases(t *testing.T) {
	var (
		before  = rotation.Progress{Done: "1"}
		trusted = rotation.Progress{Done: "1", UnderWay: "2", Phase: rotation.Trust}
		signs   = rotation.Progress{Done: "1", UnderWay: "2", Phase: rotation.Sign, Signed: true}
		back    = rotation.Progress{Done: "1", UnderWay: "2", Phase: rotation.Trust, Signed: true}
		done    = rotation.Progress{Done: "2"}
		none    = rotation.Progress{}
	)
	for _, test := range []struct {
		now   rotation.Progress
		label string
		phase rotation.Phase
		move  rotation.Move
		next  rotation.Progress
		why   string // of a refusal
	}{
		{none, "", rotation.Trust, rotation.Keep, none, ""},
		{none, "2", rotation.Trust, rotation.Begin, rotation.Progress{UnderWay: "2", Phase: rotation.Trust}, ""},
		{before, "1", rotation.Trust, rotation.Keep, before, ""},
		{before, "1", rotation.Sign, rotation.Keep, before, ""},
		{before, "1", rotation.Retire, rotation.Keep, before, ""},
		{before, "", rotation.Trust, rotation.Keep, before, ""},
		{before, "2", rotation.Trust, rotation.Begin, trusted, ""},
		{before, "2", rotation.Sign, "", none, `Set phase = "trust", and apply`},
		{before, "2", rotation.Retire, "", none, `Set phase = "trust", and apply`},
		{trusted, "2", rotation.Trust, rotation.Keep, trusted, ""},
		{trusted, "2", rotation.Sign, rotation.Switch, signs, ""},
		{trusted, "2", rotation.Retire, "", none, `Set phase = "sign", and apply`},
		{trusted, "1", rotation.Trust, rotation.Cancel, before, ""},
		{trusted, "", rotation.Trust, rotation.Cancel, before, ""},
		{trusted, "3", rotation.Trust, "", none, `Set peers = "2", complete it`},
		{signs, "2", rotation.Sign, rotation.Keep, signs, ""},
		{signs, "2", rotation.Trust, rotation.Switch, back, ""},
		{signs, "2", rotation.Retire, rotation.Complete, done, ""},
		{signs, "1", rotation.Trust, "", none, "clients may hold certificates of it"},
		{signs, "", rotation.Trust, "", none, "clients may hold certificates of it"},
		{signs, "3", rotation.Trust, "", none, `Set peers = "2", complete it`},
		{back, "2", rotation.Trust, rotation.Keep, back, ""},
		{back, "2", rotation.Sign, rotation.Switch, signs, ""},
		{back, "2", rotation.Retire, "", none, "The old authority for peers signs again"},
		{trusted, "2", rotation.Retire, "", none, "The new authority for peers has not signed yet"},
		{back, "1", rotation.Trust, "", none, "clients may hold certificates of it"},
		{done, "2", rotation.Retire, rotation.Keep, done, ""},
		{done, "2", rotation.Trust, rotation.Keep, done, ""},
		{done, "1", rotation.Trust, rotation.Begin, rotation.Progress{Done: "2", UnderWay: "1", Phase: rotation.Trust}, ""},
	} {
		name := fmt.Sprintf("%+v to %q, %s", test.now, test.label, test.phase)
		moves, next, err := rotation.Recorded{Peers: test.now}.Next(rotation.Desired{Peers: test.label, Phase: test.phase})
		if test.why != "" {
			if err == nil || !strings.Contains(err.Error(), test.why) {
				t.Errorf("%s: %v, want %q", name, err, test.why)
			}
			continue
		}
		if err != nil || moves != (rotation.Moves{Peers: test.move}) || next != (rotation.Recorded{Peers: test.next}) {
			t.Errorf("%s: %+v, %+v, %v", name, moves, next, err)
		}
	}
}

// TestOneAtATime holds that both authorities are rotated together or one after the other, and neither in the middle of
// the other's rotation.
func TestOneAtATime(t *testing.T) {
	under := rotation.Progress{UnderWay: "1", Phase: rotation.Trust}
	moves, next, err := rotation.Recorded{}.Next(rotation.Desired{Peers: "1", Clients: "1", Phase: rotation.Trust})
	if err != nil || moves != (rotation.Moves{Peers: rotation.Begin, Clients: rotation.Begin}) || next != (rotation.Recorded{Peers: under, Clients: under}) {
		t.Errorf("%+v, %+v, %v", moves, next, err)
	}
	for now, desired := range map[rotation.Recorded]rotation.Desired{
		{Peers: under}:   {Peers: "1", Clients: "1", Phase: rotation.Trust},
		{Clients: under}: {Peers: "1", Clients: "1", Phase: rotation.Trust},
	} {
		if _, _, err := now.Next(desired); err == nil || !strings.Contains(err.Error(), "in the middle of it") {
			t.Errorf("%+v: %v", now, err)
		}
	}
}

// TestImportRotatesNothing holds that an import rotates nothing, whatever the configuration says, and that what it says
// is known from then on.
func TestImportRotatesNothing(t *testing.T) {
	imported := rotation.Recorded{Imported: true}
	if moves, next, err := imported.Next(rotation.Desired{Phase: rotation.Trust}); err != nil || !moves.None() || next != imported {
		t.Errorf("%+v, %+v, %v", moves, next, err)
	}
	for _, phase := range []rotation.Phase{rotation.Trust, rotation.Sign} {
		if _, _, err := imported.Next(rotation.Desired{Peers: "1", Phase: phase}); err == nil || !strings.Contains(err.Error(), `set phase = "retire", and apply`) {
			t.Errorf("%s: %v", phase, err)
		}
	}
	desired := rotation.Desired{Peers: "1", Clients: "2", Phase: rotation.Retire}
	moves, next, err := imported.Next(desired)
	if err != nil || !moves.None() || next != rotation.Made(desired) {
		t.Errorf("%+v, %+v, %v", moves, next, err)
	}
}

// TestImportInTheMiddle holds that authorities which were imported in the middle of a rotation stay in its phase until
// the configuration names the phase, and then continue.
func TestImportInTheMiddle(t *testing.T) {
	for _, found := range []rotation.Phase{rotation.Trust, rotation.Sign} {
		imported := rotation.Found("", found)
		for _, test := range []struct {
			desired rotation.Desired
			next    rotation.Recorded
			why     string // of a refusal
		}{
			{rotation.Desired{Phase: rotation.Trust}, imported, ""},
			{rotation.Desired{Phase: rotation.Retire}, imported, ""},
			{rotation.Desired{Peers: "1", Phase: found}, rotation.Recorded{}, "the configuration has no clients for this rotation"},
			{rotation.Desired{Clients: "2", Phase: found}, rotation.Recorded{Clients: rotation.Progress{UnderWay: "2", Phase: found, Signed: true}}, ""},
			{rotation.Desired{Peers: "1", Clients: "2", Phase: found}, rotation.Recorded{Peers: rotation.Progress{Done: "1"}, Clients: rotation.Progress{UnderWay: "2", Phase: found, Signed: true}}, ""},
			{rotation.Desired{Clients: "2", Phase: rotation.Retire}, rotation.Recorded{}, fmt.Sprintf("Set phase = %q, and apply", found)},
			{rotation.Desired{Clients: "2", Phase: map[rotation.Phase]rotation.Phase{rotation.Trust: rotation.Sign, rotation.Sign: rotation.Trust}[found]}, rotation.Recorded{}, fmt.Sprintf("Set phase = %q, and apply", found)},
		} {
			name := fmt.Sprintf("%s, then %+v", found, test.desired)
			moves, next, err := imported.Next(test.desired)
			if test.why != "" {
				if err == nil || !strings.Contains(err.Error(), test.why) {
					t.Errorf("%s: %v, want %q", name, err, test.why)
				}
				continue
			}
			if err != nil || !moves.None() || next != test.next {
				t.Errorf("%s: %+v, %+v, %v", name, moves, next, err)
			}
		}
	}
	if rotation.Found("", "") != (rotation.Recorded{Imported: true}) {
		t.Error("an import in no rotation is recorded as one in the middle of one")
	}
}

// TestRotations draws configurations, each of which is applied or refused. An authority that signs was trusted before,
// and one that has signed is dropped only while another one signs.
func TestRotations(t *testing.T) {
	sample.Check(t, 2000, func(t *rapid.T) {
		now := rotation.Recorded{}
		// signs is the authority for peers that signs, and beside the one that is trusted beside it; -1: none.
		signs, beside, used, made := 0, -1, map[int]bool{0: true}, 0
		for range rapid.IntRange(1, 12).Draw(t, "applies") {
			desired := rotation.Desired{
				Peers:   rapid.SampledFrom([]string{"", "1", "2", "3"}).Draw(t, "peers"),
				Clients: rapid.SampledFrom([]string{"", "", "1", "2"}).Draw(t, "clients"),
				Phase:   rapid.SampledFrom([]rotation.Phase{rotation.Trust, rotation.Sign, rotation.Retire}).Draw(t, "phase"),
			}
			moves, next, err := now.Next(desired)
			if refusal := (*rotation.Refusal)(nil); err != nil && (!errors.As(err, &refusal) || refusal.Summary == "" || refusal.Remedy == "") {
				t.Fatalf("%+v, %+v: the refusal says nothing: %v", now, desired, err)
			}
			if err != nil {
				continue
			}
			switch moves.Peers {
			case rotation.Begin:
				if beside >= 0 {
					t.Fatalf("%+v, %+v: a third authority is made", now, desired)
				}
				made++
				beside = made
			case rotation.Switch:
				signs, beside = beside, signs
				used[signs] = true
			case rotation.Complete, rotation.Cancel:
				if used[beside] && beside > signs || (moves.Peers == rotation.Complete) != (signs > beside) {
					t.Fatalf("%+v, %+v: the authority goes that has signed last", now, desired)
				}
				beside = -1
			}
			if signs < 0 || (beside >= 0) != (next.Peers.UnderWay != "") {
				t.Fatalf("%+v, %+v: %+v with authority %d beside %d", now, desired, next, beside, signs)
			}
			if again, same, err := next.Next(desired); err != nil || !again.None() || same != next {
				t.Fatalf("%+v: the same configuration does more: %+v, %v", next, again, err)
			}
			now = next
		}
	})
}
