// Package host is what the store does on its own machine: it reads the machine's state, keeps what a member runs by,
// controls the member's unit, and asks the member for its status.
package host

import (
	"context"
	"crypto/rand"
	"io"
	"os"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/agree"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/arrivals"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/damage"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/datadir"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/firewall"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/keys"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/pace"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/preflight"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/renewal"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/stores"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/users"
)

// Machine is the machine that the store runs on. Each method carries out one call. Methods that change something are
// idempotent: an interrupted call is simply made again.
type Machine struct {
	Root        string // in front of every path; "/" but in tests
	EtcdVersion string // of the store that this is: 3.7.3
	Binary      string // path of the binary that this is, links resolved
	Units       Units
	Users       Users
	Run         units.Runner
	Now         func() time.Time
	Random      io.Reader     // for keys
	Silence     time.Duration // for how long a caller may be silent; 0: api.LockSilence
	// Stalls is how long a destination may take no byte of a backup. The other bounds of stalls are in proportion. 0:
	// the defaults of package backups.
	Stalls time.Duration
	// Hangs is how long a call to a directory of backups may make no progress; 0: the default of package backups.
	Hangs  time.Duration
	Keeps  time.Duration // for how long a snapshot stays for a caller that is cut off; 0: as package snapshots has it
	Renews time.Duration // for how long a member may take to serve a new certificate; 0: as package renewal has it

	// Yields has this process come after the host's members, for a call that reads or writes all data of one. It is nil
	// in tests, whose process is none of a call.
	Yields func(ctx context.Context, cluster string)

	// beforeRename is called for every file or directory that is about to get its name. It is nil except in tests,
	// which end a call there as a power cut would.
	beforeRename func(path string)
}

// New returns the real machine. binary is the path of the running store.
func New(etcdVersion, binary string) *Machine {
	return &Machine{
		Root:        "/",
		EtcdVersion: etcdVersion,
		Binary:      binary,
		Units:       units.Systemd{},
		Users:       users.Shadow{Run: units.Exec},
		Run:         units.Exec,
		Now:         time.Now,
		Random:      rand.Reader,
		Yields:      yield,
	}
}

// Units controls systemd units.
type Units interface {
	// State returns the state of a unit, without the text of its file and without its journal. A unit that systemd does
	// not know is no error: its LoadState says so.
	State(ctx context.Context, unit string) (api.UnitState, error)
	// Reload has systemd read all unit files again.
	Reload(ctx context.Context) error
	// Start enables a unit and starts it, without waiting until it is ready.
	Start(ctx context.Context, unit string) error
	// Run starts a unit that ends by itself, and waits for its end. It returns an error if the unit fails.
	Run(ctx context.Context, unit string) error
	// Enable has a unit start at boot, and does not start it now.
	Enable(ctx context.Context, unit string) error
	// Stop stops a unit and waits until it has stopped.
	Stop(ctx context.Context, unit string) error
	// Disable has a unit no longer start at boot.
	Disable(ctx context.Context, unit string) error
}

// Users finds and creates the system user that etcd runs as.
type Users interface {
	// Lookup finds a user; false means that there is none. It ends in time, whatever the host's accounts come from.
	Lookup(ctx context.Context, name string) (files.Owner, bool, error)
	// Ensure creates a system user without shell and home, and its group, unless they exist.
	Ensure(ctx context.Context, name string) (files.Owner, error)
}

// files are the host's files.
func (m *Machine) files() files.Tree { return files.Tree{Root: m.Root, BeforeRename: m.beforeRename} }

// disks returns the file systems that these are on.
func (m *Machine) disks() disks.Disks { return disks.Disks{Files: m.files()} }

// locks returns what keeps runs and calls on the machine apart.
func (m *Machine) locks() locks.Host { return locks.Host{Files: m.files(), Now: m.Now} }

// records returns what the machine has recorded of its clusters.
func (m *Machine) records() records.Records {
	return records.Records{Files: m.files(), SystemUser: m.systemUser}
}

// paces returns what tells whether members make progress.
func (m *Machine) paces() pace.Host { return pace.Host{Root: m.Root, Units: m.Units} }

// snapshots returns what takes snapshots of the machine's members and starts members from snapshots.
func (m *Machine) snapshots() snapshots.Host {
	return snapshots.Host{Files: m.files(), Paces: m.paces(), Now: m.Now, Keeps: m.Keeps}
}

// Backups returns the machine's own backups of its clusters, and their rehearsals.
func (m *Machine) Backups() backups.Host {
	return backups.Host{
		Files: m.files(), Records: m.records(), Snapshots: m.snapshots(), Units: m.Units, Run: m.Run, Now: m.Now,
		EtcdVersion: m.EtcdVersion, Binary: m.Binary, Environment: MemberEnvironment(os.Environ()), Stalls: m.Stalls, Hangs: m.Hangs,
	}
}

// Renewals returns the machine's own renewals of its members' certificates.
func (m *Machine) Renewals() renewal.Host {
	member := func(marker api.Marker) renewal.Member { return m.local(marker) }
	return renewal.Host{
		Files: m.files(), Records: m.records(), Keys: m.keys(), Locks: m.locks(), Units: m.Units, Now: m.Now, SystemUser: m.systemUser,
		Member: member, Flags: m.flags, Patience: m.Renews,
	}
}

// Firewalls say who reaches the ports of its members.
func (m *Machine) Firewalls() firewall.Host {
	return firewall.Host{Files: m.files(), Records: m.records(), Locks: m.locks(), Units: m.Units}
}

// arrivals returns what brings snapshots onto the machine.
func (m *Machine) arrivals() arrivals.Host {
	known := m.Backups()
	return arrivals.Host{Files: m.files(), Records: m.records(), Snapshots: m.snapshots(), Backups: known, Now: m.Now, Hangs: known.HangsAfter()}
}

// preflight tries what a member will need on the machine.
func (m *Machine) preflight() preflight.Host { return preflight.Host{Files: m.files()} }

// dataDir returns a data directory of the machine.
func (m *Machine) dataDir(path string) datadir.Dir {
	return datadir.Dir{Files: m.files(), Now: m.Now, Path: path}
}

// damage returns a reader of the damage in a data directory, whose member systemd has restarted this often.
func (m *Machine) damage(dir string, restarts int) damage.Reader {
	return damage.Reader{Files: m.files(), Now: m.Now, Dir: dir, Restarts: restarts}
}

// agree returns what marks the logs of the machine's members as committed.
func (m *Machine) agree() agree.Host {
	return agree.Host{Files: m.files(), Proc: m.proc(), SystemUser: m.systemUser, Patience: pace.StallTimeout}
}

// stores returns the stores that are installed on the machine.
func (m *Machine) stores() stores.Stores {
	return stores.Stores{
		Files: m.files(), Binary: m.Binary, EtcdVersion: m.EtcdVersion, Now: m.Now, OtherRuns: m.locks().OtherRuns, IsRunning: m.locks().IsRunning,
	}
}

// keys returns the keys of the machine's members, with their certificates.
func (m *Machine) keys() keys.Keys {
	systemUser := func(ctx context.Context) (files.Owner, bool, error) { return m.Users.Lookup(ctx, api.SystemUser) }
	return keys.Keys{Files: m.files(), Random: m.Random, SystemUser: systemUser}
}

// proc returns what the machine's kernel reports.
func (m *Machine) proc() procfs.FS { return procfs.FS{Root: m.Root} }

// etcd returns what a member has written to a data directory.
func (m *Machine) etcd(dir string) etcdfs.Data { return etcdfs.Data{Root: m.Root, Dir: dir} }

// path returns the path at which this process finds a path of the host.
func (m *Machine) path(p string) string { return m.files().Path(p) }

// systemUser returns the user that members run as. It returns an error if the host has lost this user: files that are
// written for it would belong to somebody else, and nobody who needs them could read them. It does not create the user,
// who would get another number than the data has.
func (m *Machine) systemUser() (files.Owner, error) {
	etcd, found, err := m.Users.Lookup(context.Background(), api.SystemUser)
	if err == nil && !found {
		err = refuse("this host has no user %s with a group of that name, which its members run as: make both again, with the numbers that the data has (stat -c '%%u %%g' of the data directory; groupadd --system --gid NUMBER %[1]s; useradd --system --no-create-home --uid NUMBER --gid %[1]s %[1]s), and apply again", api.SystemUser)
	}
	return etcd, err
}
