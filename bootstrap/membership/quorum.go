// Package membership is the vocabulary of a cluster and the arithmetic of its safety: what is desired, what was
// observed, the steps between the two, and the refusals. It does no I/O, reads no clock, and imports only the standard
// library.
package membership

import "fmt"

// Quorum returns how many of n voters must agree: more than half.
func Quorum(n int) int { return n/2 + 1 }

// FaultTolerance returns how many of n voters can fail while the others still form a quorum.
func FaultTolerance(n int) int { return n - Quorum(n) }

// Sizes returns the sizes that a cluster may have, smallest first. An even size tolerates no more failures than the
// odd one below it, and has one more member that can fail. Beyond seven, every write waits for more disks for no gain.
func Sizes() []int { return []int{1, 3, 5, 7} }

// CheckSize refuses a number of members that no cluster should have.
func CheckSize(n int) error {
	for _, size := range Sizes() {
		if n == size {
			return nil
		}
	}
	why := "a cluster has 1, 3, 5 or 7"
	if n > 0 && n%2 == 0 {
		why = fmt.Sprintf("%d tolerate the loss of %d, as %d do, and one more can fail; a cluster has 1, 3, 5 or 7", n, FaultTolerance(n), n-1)
	}
	return &Refusal{Rule: fmt.Sprintf("%d members: %s", n, why), Remedy: "add or remove members until the number is one of these"}
}
