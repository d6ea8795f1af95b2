package membership

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestQuorum(t *testing.T) {
	for n, want := range map[int]struct{ quorum, tolerance int }{
		1: {1, 0}, 2: {2, 0}, 3: {2, 1}, 4: {3, 1}, 5: {3, 2}, 6: {4, 2}, 7: {4, 3},
	} {
		if got := Quorum(n); got != want.quorum {
			t.Errorf("Quorum(%d) = %d, want %d", n, got, want.quorum)
		}
		if got := FaultTolerance(n); got != want.tolerance {
			t.Errorf("FaultTolerance(%d) = %d, want %d", n, got, want.tolerance)
		}
	}
}

// TestQuorumsOverlap holds what a quorum is for: two of them always share a voter, and one fewer may
// not.
func TestQuorumsOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1000).Draw(t, "voters")
		if 2*Quorum(n) <= n {
			t.Errorf("two quorums of %d fit beside each other in %d", Quorum(n), n)
		}
		if 2*(Quorum(n)-1) > n {
			t.Errorf("%d of %d would do", Quorum(n)-1, n)
		}
		if Quorum(n)+FaultTolerance(n) != n {
			t.Errorf("quorum %d and tolerance %d of %d", Quorum(n), FaultTolerance(n), n)
		}
		// An even size buys nothing.
		if n%2 == 0 && FaultTolerance(n) != FaultTolerance(n-1) {
			t.Errorf("%d tolerate %d, %d tolerate %d", n, FaultTolerance(n), n-1, FaultTolerance(n-1))
		}
	})
}

func TestCheckSize(t *testing.T) {
	for _, n := range Sizes() {
		if err := CheckSize(n); err != nil {
			t.Errorf("CheckSize(%d) = %v", n, err)
		}
	}
	for n, want := range map[int]string{
		-1: "-1 members: a cluster has 1, 3, 5 or 7",
		0:  "0 members: a cluster has 1, 3, 5 or 7",
		2:  "2 members: 2 tolerate the loss of 0, as 1 do, and one more can fail; a cluster has 1, 3, 5 or 7",
		4:  "4 members: 4 tolerate the loss of 1, as 3 do, and one more can fail; a cluster has 1, 3, 5 or 7",
		6:  "6 members: 6 tolerate the loss of 2, as 5 do, and one more can fail; a cluster has 1, 3, 5 or 7",
		8:  "8 members: 8 tolerate the loss of 3, as 7 do, and one more can fail; a cluster has 1, 3, 5 or 7",
		9:  "9 members: a cluster has 1, 3, 5 or 7",
	} {
		err := CheckSize(n)
		var refusal *Refusal
		if !errors.As(err, &refusal) || refusal.Rule != want || refusal.Remedy == "" || !strings.HasPrefix(err.Error(), want+"; ") {
			t.Errorf("CheckSize(%d) = %v, want %s", n, err, want)
		}
	}
}
