// Package plan says by which steps a cluster becomes what is desired, and what is refused or has to wait. It is pure:
// values in, values out, and the same plan each time for the same status.
//
// Change plans everything for a cluster that serves, Restore what makes a cluster from a snapshot, Retire what takes it
// off its hosts. A rule is a method of a planner that returns the next step, or why there is none; each file holds the
// rules of one concern: heal.go what brings members up, join.go and leave.go who comes and goes, roll.go restarts and
// versions, recover.go and renumbered.go the ways out of a lost quorum, diverged.go members whose data differs.
// effect.go says what a step makes of the cluster, which is how a whole plan comes of one rule after the other.
package plan
