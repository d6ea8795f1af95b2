package membership

import (
	"slices"
	"strings"
)

// Restoration says that a cluster is to be made from a snapshot, whatever it is now.
type Restoration struct {
	Source     string // what is restored, as the configuration names it; empty: nothing is
	SHA256     string // of the snapshot in the clear; empty: it is not known before it is fetched
	Trigger    string // tells apart two restores of one snapshot
	Overwrites string // ID of the living cluster that may be given up for it; empty: none may
	TakeBack   bool   // a restore that is under way is undone instead
	Kept       string // name of the backup, or LatestKept, where it is in directories of the hosts' own; empty: it is elsewhere
}

// LatestKept stands for the name of the newest backup.
const LatestKept = "latest"

// RestoreStage is how far a member's host has come in a restore.
type RestoreStage string

// Stages of a host, in their order. They are the stages that hosts record.
const (
	Untouched RestoreStage = ""
	Fenced    RestoreStage = "fenced"   // its member is stopped, and must not start again
	Restored  RestoreStage = "restored" // its data directory holds the snapshot; its member may run, and clients do not reach it
	Checked   RestoreStage = "checked"  // all members have agreed once
	Opened    RestoreStage = "opened"   // clients may reach its member: there is no way back
)

var restoreStages = []RestoreStage{Untouched, Fenced, Restored, Checked, Opened}

// Before tells whether a host has yet to come as far as that.
func (r RestoreStage) Before(other RestoreStage) bool {
	return slices.Index(restoreStages, r) < slices.Index(restoreStages, other)
}

// RestoreStatus is a member's host as a restore sees it.
type RestoreStatus struct {
	Member
	Desired bool

	Unreachable bool   // it could not be asked: what runs there is not known
	Unasked     string // why it could not be asked
	Barred      string // what lets a run into its host, which answers; empty: nothing keeps it out, or nobody answers
	Unimported  bool   // it is refused since it carries a finished cluster that no state here holds
	Refused     string // why it must not be touched: it is someone else's, or unfit, or its disk is not mounted; empty: it may be

	Backless     bool   // it was looked at, and knows no backups of this cluster
	Marked       bool   // it carries a part of this cluster
	StoreMissing bool   // every store is gone from it
	Installed    bool   // the desired store is on it
	ServingID    string // ID of the formed cluster whose member is on it, with its data, under no restore; empty: none
	Finished     bool   // its member is of the cluster that this very restore has made: the restore is over on it

	// What it records of the restore that is under way on it.
	Stage    RestoreStage
	Source   string
	Snapshot string // SHA-256
	Since    string // when it began, for those who read
	Token    string // of the restored cluster; from Restored on
	Seen     int64  // no revision that its old member has ever served is higher

	Fetched    string // SHA-256 of the snapshot that this run has brought onto it and verified; empty: none
	Configured bool   // it holds, and its member was started with, all that is desired where it has come to
	Running    bool
	Rested     bool // this run has seen its member not run since it was checked
}

// Restoring is a cluster as a restore of it sees it: a value, as ClusterStatus is one.
type Restoring struct {
	Members []RestoreStatus // sorted by name, then address
	Agreed  bool            // this run has seen its members agree since they were last started
	Saved   bool            // this run has taken a snapshot of the restored cluster
	Top     int64           // revision that the restored cluster begins with; 0: not known
}

// Clone is a copy that shares nothing with the first.
func (r Restoring) Clone() Restoring {
	r.Members = slices.Clone(r.Members)
	return r
}

// Member is the host of this name and address; nil: there is none.
func (r Restoring) Member(m Member) *RestoreStatus {
	for i := range r.Members {
		if r.Members[i].Member == m {
			return &r.Members[i]
		}
	}
	return nil
}

// Findable refuses a restore of a backup in directories of the hosts' own, before it is begun, where nobody will find that: hosts
// know where the backups are of a cluster that they carry, and of none that was taken off them.
func (r Restoring) Findable(want Restoration) error {
	if want.Kept == "" || want.TakeBack || r.UnderWay() {
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
	where := "copy it from backup.directory of its host to where Terraform runs, and name it by restore.file in the place of restore.backup"
	switch {
	case len(backless) > 0 && len(backless)+len(unreachable) == len(r.Members):
		rule := "no host that can be asked knows of backups of this cluster: " + strings.Join(backless, ", ") + "; what lies in a directory is found by the cluster that its host carries, and backs up"
		return &Refusal{Summary: "The backup cannot be found", Attribute: "restore", Rule: rule, Remedy: where}
	case want.Kept == LatestKept && len(unreachable) > 0:
		return &Refusal{Summary: "The backup cannot be found", Attribute: "restore", Rule: "it is not known which backup is the latest while a host that may have it cannot be asked: " + strings.Join(unreachable, ", "),
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
