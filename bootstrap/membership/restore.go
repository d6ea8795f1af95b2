package membership

import (
	"slices"
	"strings"
)

// Restoration says that a cluster is to be made from a snapshot.
type Restoration struct {
	Source     string // what is restored, as the configuration names it; empty: nothing
	SHA256     string // of the unencrypted snapshot; empty: not known before it is fetched
	Trigger    string // distinguishes two restores of one snapshot
	Overwrites string // ID of the running cluster that may be overwritten; empty: none may
	RollBack   bool   // undo the restore that is under way instead
	Kept       string // the backup's name, or LatestKept, if the hosts' own directories have it; empty: it is elsewhere
}

// LatestKept stands for the name of the newest backup.
const LatestKept = "latest"

// RestoreStage says how far a member's host has come in a restore.
type RestoreStage string

// Stages of a host, in their order. They are the stages that hosts record.
const (
	Untouched RestoreStage = ""
	Fenced    RestoreStage = "fenced"   // its member is stopped, and must not start again
	Restored  RestoreStage = "restored" // its data directory holds the snapshot; its member may run, without clients
	Checked   RestoreStage = "checked"  // all members have agreed once
	Opened    RestoreStage = "opened"   // clients may reach its member: the restore can no longer be undone
)

var restoreStages = []RestoreStage{Untouched, Fenced, Restored, Checked, Opened}

// Before tells whether a stage comes before another.
func (r RestoreStage) Before(other RestoreStage) bool {
	return slices.Index(restoreStages, r) < slices.Index(restoreStages, other)
}

// RestoreStatus is a member's host as a restore sees it.
type RestoreStatus struct {
	Member
	Desired bool

	Unreachable bool   // it could not be observed: what runs there is not known
	Unasked     string // why it could not be observed
	Barred      string // the remedy if its host answers and keeps the run out; empty: nothing does, or nobody answers
	Unimported  bool   // it is refused because it carries a finished cluster that this state does not hold
	// Refused is why the host must not be touched: it is someone else's, or unfit, or its disk is not mounted. Empty:
	// it may be touched.
	Refused string

	Backless     bool   // it was observed, and knows no backups of this cluster
	Marked       bool   // it carries a part of this cluster
	StoreMissing bool   // every store is gone from it
	Installed    bool   // the desired store is on it
	ServingID    string // ID of the formed cluster whose member is on it, with its data and no restore; empty: none
	Finished     bool   // its member belongs to the cluster that this very restore made: the restore is complete on it

	// What it records of the restore that is under way on it.
	Stage    RestoreStage
	Source   string
	Snapshot string // SHA-256
	Since    string // when it began, for display
	Token    string // of the restored cluster; from Restored on
	Seen     int64  // the highest revision that its old member may have served

	Fetched    string // SHA-256 of the snapshot that this run has fetched to it and verified; empty: none
	Configured bool   // it has, and its member was started with, everything that is desired at its stage
	Running    bool
	Rested     bool // this run has seen its member stopped since it was checked
}

// Restoring is a cluster as a restore of it sees it: a value, like ClusterStatus.
type Restoring struct {
	Members []RestoreStatus // sorted by name, then address
	Agreed  bool            // this run has seen its members agree since they were last started
	Saved   bool            // this run has taken a snapshot of the restored cluster
	Top     int64           // revision that the restored cluster begins with; 0: not known
}

// Clone returns a copy that shares nothing with the original.
func (r Restoring) Clone() Restoring {
	r.Members = slices.Clone(r.Members)
	return r
}

// Member returns the host of this name and address, or nil.
func (r Restoring) Member(m Member) *RestoreStatus {
	for i := range r.Members {
		if r.Members[i].Member == m {
			return &r.Members[i]
		}
	}
	return nil
}

// Findable refuses a restore of a backup in the hosts' own directories, before it begins, if nobody will find the
// backup. Hosts know the backups of a cluster that they carry, and not of one that was removed from them.
func (r Restoring) Findable(want Restoration) error {
	if want.Kept == "" || want.RollBack || r.UnderWay() {
		return nil
	}
	var backless, unreachable []string
	for _, s := range r.Members {
		switch {
		case s.Unreachable:
			unreachable = append(unreachable, s.String())
		case s.Backless:
			backless = append(backless, s.String())
		}
	}
	where := "copy it from backup.directory of its host to where Terraform runs, and name it by restore.file instead of restore.backup"
	switch {
	case len(backless) > 0 && len(backless)+len(unreachable) == len(r.Members):
		rule := "no reachable host knows of backups of this cluster: " + strings.Join(backless, ", ") + "; a backup in a directory is found only through a host that carries its cluster and backs it up"
		return &Refusal{Summary: "The backup cannot be found", Attribute: "restore", Rule: rule, Remedy: where}
	case want.Kept == LatestKept && len(unreachable) > 0:
		return &Refusal{Summary: "The backup cannot be found", Attribute: "restore", Rule: "it is not known which backup is the latest while a host that may have it cannot be reached: " + strings.Join(unreachable, ", "),
			Remedy: "bring it back, or name the backup in restore.backup, as data.etcd_backups lists it; or " + where}
	}
	return nil
}

// UnderWay tells whether any host records a restore.
func (r Restoring) UnderWay() bool {
	return slices.ContainsFunc(r.Members, func(s RestoreStatus) bool { return s.Stage != Untouched })
}

// Opened tells whether clients may have reached a member of the restored cluster: there is no way back.
func (r Restoring) Opened() bool {
	return slices.ContainsFunc(r.Members, func(s RestoreStatus) bool { return s.Stage == Opened || s.Finished })
}
