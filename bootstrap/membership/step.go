package membership

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is what a step does.
type Kind string

// Kinds of steps that form a cluster and take it off its hosts. Changes use some of them too.
const (
	Install           Kind = "install"            // put the store on the host
	Stop              Kind = "stop"               // stop the unit
	SetAside          Kind = "set-aside"          // stop the member and move its data aside
	Configure         Kind = "configure"          // marker, user, directories, keys, certificates, flags, unit
	Start             Kind = "start"              // enable the unit and start it
	Agree             Kind = "agree"              // wait until the members are one healthy cluster
	SyncConfiguration Kind = "sync-configuration" // write the current members into the configuration
	BackUp            Kind = "back-up"            // enable, change or disable backups on the hosts
	RenewOnHosts      Kind = "renew-on-hosts"     // have hosts renew certificates by themselves, or stop that
	Firewall          Kind = "firewall"           // have hosts filter who reaches their members, or stop that
	Retire            Kind = "retire"             // take the cluster off the host
)

// Kinds of steps that change a running cluster.
const (
	Stage             Kind = "stage"              // put the store on the host and try the flags against it
	Snapshot          Kind = "snapshot"           // save a snapshot on the host, and verify it
	RenewCertificates Kind = "renew-certificates" // issue new certificates, which a running member reads by itself
	Readdress         Kind = "readdress"          // give the member another peer URL, and restart it there
	Roll              Kind = "roll"               // configure and restart the member; roll it back if that fails
	MoveLeader        Kind = "lead"               // move the leadership to another voter
	AddLearner        Kind = "learner"            // add the member to the list, without a vote
	Join              Kind = "join"               // configure the learner and start it
	Promote           Kind = "promote"            // give the learner its vote, once it has caught up
	Remove            Kind = "remove"             // take the member off the list
	Downgrade         Kind = "downgrade"          // enable a downgrade and wait until all storage is downgraded
	Cancel            Kind = "cancel"             // cancel a downgrade that is under way
	Disarm            Kind = "disarm"             // defragment the members, and disarm an alarm
	Recover           Kind = "recover"            // make one member the whole of a cluster that has lost its quorum
)

// Kinds of steps that make a cluster from a snapshot.
const (
	Fetch    Kind = "fetch"     // bring the snapshot onto the host, and verify it there
	Fence    Kind = "fence"     // stop the member that is there, and let none start
	Restore  Kind = "restore"   // make the data directory from the snapshot
	Open     Kind = "open"      // let clients reach the member; the restore can no longer be undone
	RollBack Kind = "roll-back" // undo the restore: the old data is back in place
)

// Parallel tells whether adjacent steps of this kind may be done at the same time, each on its own host.
func (k Kind) Parallel() bool {
	switch k {
	case Install, Stop, SetAside, Configure, Start, SyncConfiguration, Retire, Stage, Fetch, Fence, Restore, Open, RollBack:
		return true
	}
	return false
}

// Step is one safe move of a cluster: a value, to compare and to print. Its text is what the plan shows, the progress
// log prints and errors cite.
type Step struct {
	Kind   Kind
	Member string // the member that it is done to; empty: the cluster
	At     string // the member's address
	To     string // what the kind calls for: a version, a size, a member
	Why    string // the reason
	Sum    string // the arithmetic of the voters that allows it

	// Trusts are the authorities that the member is given to trust, and Signers those that sign its certificates; the
	// zero values: the desired ones.
	Trusts, Signers Authorities
	// Named is the common name of the peer certificate that is signed, and Demands the one that the member demands of
	// its peers from then on. Empty: the member's name, and none.
	Named, Demands string
	// Keeps: the member keeps its certificates, and its host keeps how it renews by an authority whose signer is left
	// out.
	Keeps bool
}

// Subject returns the member that the step is done to.
func (s Step) Subject() Member { return Member{Name: s.Member, Address: s.At} }

// Reasons of a step that keeps a member's certificates, and changes what lies beside them, begin with one of these.
const (
	OldRevocations = "client_crl: " // another list of revoked certificates
	OldChain       = "chain: "      // other intermediates behind them
)

// revokes returns whether all that a step changes is a member's list of revoked certificates, and how that differs.
func (s Step) revokes() (string, bool) {
	why, is := strings.CutPrefix(s.Why, OldRevocations)
	return why, is && s.Kind == RenewCertificates
}

// chains returns whether all that a step changes is what follows a member's certificates, and how that differs.
func (s Step) chains() (string, bool) {
	why, is := strings.CutPrefix(s.Why, OldChain)
	return why, is && s.Kind == RenewCertificates
}

func (s Step) String() string {
	text := s.text()
	if s.Sum != "" {
		text += "; " + s.Sum
	}
	return text
}

func (s Step) text() string {
	at := s.Member + " (" + s.At + ")"
	switch s.Kind {
	case Install:
		return fmt.Sprintf("install %s: store for etcd %s", at, s.To)
	case Stop:
		return fmt.Sprintf("stop %s: %s", at, s.To)
	case SetAside:
		return fmt.Sprintf("set aside %s: %s", at, s.To)
	case Configure:
		if s.Keeps {
			return fmt.Sprintf("configure %s: flags, unit; with the certificates that it has", at)
		}
		return fmt.Sprintf("configure %s: keys made on the host, certificates, flags, unit", at)
	case Start:
		if s.Why != "" {
			return fmt.Sprintf("start %s: %s", at, s.Why)
		}
		return fmt.Sprintf("start %s", at)
	case Agree:
		return "agree: " + s.To
	case Retire:
		return fmt.Sprintf("retire %s: unit stopped and disabled, %s", at, s.To)
	case SyncConfiguration:
		if s.Member == "" {
			return "sync configuration: every member's names " + s.To
		}
		if s.Why != "" {
			return fmt.Sprintf("sync configuration of %s: %s", at, s.Why)
		}
		return fmt.Sprintf("sync configuration of %s: initial-cluster-state existing", at)
	case BackUp:
		if s.To == "" {
			return fmt.Sprintf("back up: disabled on %s; stored backups stay", s.Why)
		}
		return fmt.Sprintf("back up: %s, by %s", s.To, s.Why)
	case RenewOnHosts:
		switch {
		case s.To == "" && s.Keeps:
			return fmt.Sprintf("renew on hosts: disabled on %s, but for the authority whose signer pki leaves out", s.Why)
		case s.To == "":
			return fmt.Sprintf("renew on hosts: disabled on %s; certificates are renewed by applies alone", s.Why)
		}
		return fmt.Sprintf("renew on hosts: %s, on %s", s.To, s.Why)
	case Firewall:
		if s.To == "" {
			return fmt.Sprintf("firewall: removed on %s; anybody reaches the members", s.Why)
		}
		return fmt.Sprintf("firewall: %s, on %s; nothing else is filtered", s.To, s.Why)
	case Stage:
		return fmt.Sprintf("stage %s: store for etcd %s, flags tried against it", at, s.To)
	case Snapshot:
		return fmt.Sprintf("snapshot %s: verified, kept on the host", at)
	case RenewCertificates:
		if why, is := s.revokes(); is {
			return fmt.Sprintf("revoke on %s: %s; read at the next handshake, without a restart", at, why)
		}
		if why, is := s.chains(); is {
			return fmt.Sprintf("renew the chain on %s: %s; read at the next handshake, without a restart", at, why)
		}
		return fmt.Sprintf("renew certificates of %s: %s; with new keys, loaded without a restart", at, s.Why)
	case Readdress:
		if s.Why != "" {
			return fmt.Sprintf("readdress %s: from %s, with its data and its ID; %s", at, s.To, s.Why)
		}
		return fmt.Sprintf("readdress %s: from %s, with its data and its ID", at, s.To)
	case Roll:
		return fmt.Sprintf("roll %s: %s", at, s.Why)
	case MoveLeader:
		return fmt.Sprintf("lead: leadership moves from %s, which %s, to %s", at, s.Why, s.To)
	case AddLearner:
		return fmt.Sprintf("learner %s: added without a vote", at)
	case Join:
		return fmt.Sprintf("join %s: keys made on the host, certificates, flags, unit; started with etcd %s", at, s.To)
	case Promote:
		return fmt.Sprintf("promote %s: caught up, same hash", at)
	case Remove:
		return fmt.Sprintf("remove %s: %s", at, s.Why)
	case Downgrade:
		return fmt.Sprintf("downgrade: enabled to etcd %s, every member's storage is downgraded", s.To)
	case Cancel:
		return fmt.Sprintf("cancel: the downgrade to etcd %s is canceled", s.To)
	case Disarm:
		if s.To != "" {
			return fmt.Sprintf("disarm: all voters hold the same data, alarm %s disarmed", s.To)
		}
		return "disarm: members defragmented one by one, alarm NOSPACE disarmed"
	case Fetch:
		return fmt.Sprintf("fetch %s: %s, verified on the host", at, s.To)
	case Fence:
		return fmt.Sprintf("fence %s: its member is stopped, and does not start again", at)
	case Restore:
		return fmt.Sprintf("restore %s: data directory made from the snapshot, revisions raised; what was there is kept", at)
	case Open:
		return fmt.Sprintf("open %s: clients reach it from here on; the restore can no longer be undone", at)
	case RollBack:
		return fmt.Sprintf("roll back %s: the restore is undone, and the old data is back in place", at)
	case Recover:
		return fmt.Sprintf("recover %s: it alone is the cluster, %s", at, s.Why)
	}
	return fmt.Sprintf("%s %s %s", s.Kind, at, s.To)
}

// Signs tells whether the step has certificates signed.
func (s Step) Signs() bool {
	switch s.Kind {
	case Configure, RenewCertificates, Join, Readdress, Recover:
		return !s.Keeps
	}
	return false
}

// Batch returns the first steps that may be done together: the first step alone or, if its kind is parallel, with the
// following steps of the same kind on other members. An exchange of authorities has several on one, which follow each
// other.
func Batch(steps []Step) []Step {
	for i, step := range steps {
		again := func(before Step) bool { return before.Subject() == step.Subject() }
		if step.Kind != steps[0].Kind || i > 0 && !step.Kind.Parallel() || slices.ContainsFunc(steps[:i], again) {
			return steps[:i]
		}
	}
	return steps
}
