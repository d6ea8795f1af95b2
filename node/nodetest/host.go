package nodetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
)

// Host is one simulated host. Its exported fields say what machine it is. A new host is bare, and fit for a member.
type Host struct {
	Address     string
	MachineID   string
	Machine     string // as uname names it
	Kernel      string
	MemoryBytes int64
	FreeBytes   int64
	DataBytes   int64 // free for data on a disk of its own; 0: FreeBytes
	Systemd     bool
	FirstPort   int // the lowest port that users other than root may bind
	ReadOnly    bool
	SendsPart   int            // how many bytes of the next snapshot arrive before the connection ends; 0: all
	OneSession  bool           // sshd opens one session at a time on a connection
	Missing     []string       // commands that are not there
	ForeignEtcd []string       // executables of etcd processes of somebody else
	Listeners   []api.Listener // somebody else's
	MarkerError string         // why the marker cannot be read; empty: it can
	Inventory   api.Inventory  // what else the host is and has; Filesystems are those that differ from the default

	// Unreachable is why the host cannot be asked, or nil if it can. Its members continue to run.
	Unreachable error

	Hung   bool // it takes connections and answers no call, as with a disk that hangs; its members continue to run
	AtWork bool // a call of an earlier run does not end there, as with a data disk that hangs: there is no lock

	// CutOff cuts all connections between the host's members and those on other hosts. The host itself can still be
	// asked.
	CutOff bool

	Trials // what the host finds out when it tries what a member needs

	// Terse has the host's journal not say which data the member held when it found other data at a peer.
	Terse bool

	// Lag is how many entries the host's members stay behind their leaders. They keep what they have already.
	Lag uint64

	// DoomedStart is why every start of a member fails for good on this host; empty: it does not.
	DoomedStart string

	// Stalls is how many of the next starts of a member on this host stall: the member joins its cluster, and does not
	// report that it has started.
	Stalls int

	// Reading is how long the next starts of a member on this host still read its data before they do anything else, in
	// ticks.
	Reading int

	// Silent is how long the host is still too busy to see the certificates that its member's ports serve, in ticks.
	Silent int

	// Received is how many bytes of uploads have arrived.
	Received int64

	// Hangs is how many of the next questions to the host's member find that it responds but serves no read in time.
	Hangs int

	// Skew is how far the host's clock is ahead of the world's.
	Skew time.Duration

	// BackupFails and RehearsalFails are why every such run fails here, and NoNftables is why there can be no firewall.
	BackupFails, RehearsalFails, NoNftables string

	// SignerFails is why every server that the host is told to renew certificates by refuses to sign; empty: they sign.
	SignerFails string

	world     *World
	off       bool
	boots     int      // how often it was switched on
	addresses []string // of its interfaces; Address is the first
	pids      int
	keysLost  int
	stores    map[string]time.Time // when they were installed, by hash
	wanted    map[demand]time.Time // when runs demanded a store that their cluster has not selected yet
	clusters  map[string]*installation
	data      map[string]*directory // by path
	locks     map[string]*lock      // by cluster

	unmounted map[string]*directory // the data on disks that are not mounted, by data directory
	snapshots map[string][]string   // paths, by data directory, oldest first
	taken     int                   // how many snapshots were taken, for their names
	fetched   map[string]content    // snapshots to restore, by path
	arriving  map[string][]byte     // what has arrived of uploads, by their SHA-256
	kept      sentSnapshot          // whose caller was cut off
}

// installation is what a host carries of one cluster, except for the data.
type installation struct {
	selected     string // hash of a store; empty: none
	configured   []configured
	marker       *api.Marker
	keys         map[string]signing.Key
	next         map[string]signing.Key // keys that replace others once they have a certificate
	renewed      map[string]int         // how often a key was replaced, by name
	certificates map[string]string      // PEM by key name
	exposed      string                 // a key that others can read; empty: none
	peerCA       string
	clientCRL    string
	clientCA     string
	flags        []string
	unit         model.Unit
	progress     uint64           // index of the member's last entry, as recorded
	restore      *api.Restoration // that is under way; nil: none
	backups      *backups         // nil: the host makes none
	renewals     *renewals        // nil: the host makes none
	filter       *filter          // nil: the host lets anybody reach its member
	recovery     *recovery        // that is under way; nil: none
	before       before           // the restore that is under way
}

// configured is what a host was configured with once.
type configured struct {
	index          uint64 // of the last entry in the member's log then
	selected, unit string
	flags          []string
}

// directory is a data directory.
type directory struct {
	litter bool          // the directory holds something that is no member's data
	member *model.Member // nil: no member has written its log there
}

// lock is a held lock.
type lock struct {
	holder api.Holder
	lost   context.CancelCauseFunc
}

var (
	errOff  = errors.New("no route to host")
	errLost = errors.New("the session that held the lock has ended")
)

func newHost(w *World, address string) *Host {
	h := &Host{
		Address:     address,
		Machine:     "x86_64",
		Kernel:      "6.1.0-28-amd64",
		MemoryBytes: 8 << 30,
		FreeBytes:   20 << 30,
		FirstPort:   1024,
		Systemd:     true,
		Inventory:   DefaultInventory(address),
		world:       w,
		addresses:   []string{address},
	}
	h.reinstall("first")
	return h
}

// reinstall makes the host another machine with nothing on it.
func (h *Host) reinstall(name string) {
	h.MachineID = model.Digest("machine", h.Address, name)[:32]
	h.stores = map[string]time.Time{}
	h.wanted = map[demand]time.Time{}
	h.clusters = map[string]*installation{}
	h.data = map[string]*directory{}
	h.locks = map[string]*lock{}
	h.snapshots = map[string][]string{}
	h.fetched, h.arriving = map[string]content{}, map[string][]byte{}
	h.unmounted = map[string]*directory{}
}

// on returns the installation of a cluster on the host, which may be empty.
func (h *Host) on(cluster string) *installation {
	if part, there := h.clusters[cluster]; there {
		return part
	}
	return &installation{}
}

// dataFree returns the free space for data.
func (h *Host) dataFree() int64 {
	if h.DataBytes > 0 {
		return h.DataBytes
	}
	return h.FreeBytes
}

// architecture returns the host's architecture as Go names it.
func (h *Host) architecture() string {
	return map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[h.Machine]
}

// Contact reads what can be read before any store is on the host.
func (h *Host) Contact(ctx context.Context, cluster string, ask api.ObserveRequest) (contact api.Contact, err error) {
	err = h.serve(ctx, Contact, func() error {
		part := h.on(cluster)
		contact = api.Contact{
			Kernel:        h.Kernel,
			Machine:       h.Machine,
			Systemd:       h.Systemd,
			Time:          h.world.Clock.Add(h.Skew).Truncate(time.Second),
			MachineID:     h.MachineID,
			BootID:        h.bootID(),
			Missing:       slices.Clone(h.Missing),
			OneSession:    h.OneSession,
			FirstPort:     max(h.FirstPort, 1),
			ReadOnly:      h.ReadOnly,
			FreeBytes:     h.FreeBytes,
			DataFreeBytes: max(h.dataFree(), 1),
			Installed:     h.installed(),
			MarkerError:   h.MarkerError,
			DataNotEmpty:  !h.directory(ask.DataDir).empty(),
			ForeignEtcd:   slices.Clone(h.ForeignEtcd),
		}
		if h.MarkerError == "" {
			contact.Marker = part.markerCopy()
		}
		holders := map[int]string{}
		for _, l := range h.listeners(cluster) {
			if slices.Contains(ask.Ports, l.Port) && !slices.Contains(contact.Listening, l.Port) {
				contact.Listening = append(contact.Listening, l.Port)
				if contact.Marker == nil && l.PID > 0 {
					holders[l.Port] = fmt.Sprintf("%s, process %d", l.Process, l.PID)
					contact.Holders = holders
				}
			}
		}
		slices.Sort(contact.Listening)
		if part.marker == nil {
			contact.Inventory = h.inventory(ask.Inventory)
		}
		return nil
	})
	return contact, err
}

// Install installs a store on the host for a run of a cluster. The world must have an archive of the store for this
// kind of machine.
func (h *Host) Install(ctx context.Context, cluster, store string, target api.Target) error {
	return h.serve(ctx, Install, func() error {
		if err := target.Elsewhere(h.MachineID, h.bootID()); err != nil {
			return err
		}
		if !h.world.fits(store, h.architecture()) {
			return h.world.unexpected("%s: install store %q, which is none for a %s machine", h.Address, store, h.Machine)
		}
		if h.ReadOnly {
			return fmt.Errorf("%s: %s is read-only", h.Address, api.StoreRoot)
		}
		h.wanted[demand{cluster, store}] = h.world.Clock
		if !h.hasStore(store) {
			h.stores[store] = h.world.Clock
		}
		return nil
	})
}

// Call makes one call on a store of the host.
func (h *Host) Call(ctx context.Context, store string, request api.Request, result any) error {
	return h.exchange(ctx, store, request, nil, nil, result)
}

// Upload makes a call with content.
func (h *Host) Upload(ctx context.Context, store string, request api.Request, content io.Reader, result any) error {
	return h.exchange(ctx, store, request, content, nil, result)
}

// Download makes a call that is answered with content.
func (h *Host) Download(ctx context.Context, store string, request api.Request, content io.Writer, result any) error {
	return h.exchange(ctx, store, request, nil, content, result)
}

// exchange makes a call; in and out may be nil.
func (h *Host) exchange(ctx context.Context, store string, request api.Request, in io.Reader, out io.Writer, result any) error {
	return h.serve(ctx, request.Operation, func() error {
		if err := h.callable(store, request.Cluster); err != nil {
			return err
		}
		if request.Version != api.Version {
			return h.world.unexpected("%s: a call of version %d", h.Address, request.Version)
		}
		c := call{Host: h, cluster: request.Cluster, store: h.resolve(store, request.Cluster), in: in, out: out}
		body, err := c.known(request.Operation, request.Body)
		if err != nil {
			return err
		}
		carryOut, known := operations[request.Operation]
		if !known {
			return h.world.unexpected("%s: operation %q", h.Address, request.Operation)
		}
		if !lockless(request.Operation) {
			switch held := h.locks[request.Cluster]; {
			case held == nil:
				return refuse("%s: the lock of cluster %s is not held on this host", request.Operation, request.Cluster)
			case request.Holder == "" || held.holder.ID != request.Holder:
				return busy(request.Cluster, held)
			}
		}
		if !request.Operation.ReadOnly() && request.Operation != api.OpSave || request.Operation == api.OpPreflight {
			if err := h.meant(request.Cluster, request.Target); err != nil {
				return err
			}
		}
		if err := h.markerKnown(request.Operation); err != nil {
			return err
		}
		do := func() (any, error) { return carryOut(c, body) }
		// During a wait, a restarted member becomes ready.
		if !request.Operation.ReadOnly() || request.Operation == api.OpAwait {
			one := do
			do = func() (any, error) { return c.keepingTrust(one) }
		}
		answer, err := do()
		if err != nil || result == nil {
			return err
		}
		// Answers are encoded and decoded as a real host's are, so that they share nothing with the host.
		encoded, err := json.Marshal(answer)
		if err != nil {
			return h.world.unexpected("%s: encode the answer to %s: %v", h.Address, request.Operation, err)
		}
		return json.Unmarshal(encoded, result)
	})
}

// Lock acquires the cluster's lock on the host, or fails at once.
func (h *Host) Lock(ctx context.Context, store, cluster string, holder api.Holder) (held context.Context, release func(), err error) {
	err = h.serve(ctx, api.OpLock, func() error {
		if err := h.callable(store, cluster); err != nil {
			return err
		}
		if holder.ID == "" {
			return refuse("the lock of cluster %s wants a holder with an ID", cluster)
		}
		if other := h.locks[cluster]; other != nil {
			return busy(cluster, other)
		}
		if h.AtWork {
			return errAtWork
		}
		h.kept = sentSnapshot{} // whoever changes the cluster has the space
		if h.OneSession {
			return fmt.Errorf("%s: its sshd opens one session at a time on a connection (MaxSessions 1)", h.Address)
		}
		holder.Since = h.world.Clock
		taken := &lock{holder: holder}
		held, taken.lost = context.WithCancelCause(ctx)
		h.locks[cluster] = taken
		release = func() {
			h.world.mu.Lock()
			defer h.world.mu.Unlock()
			h.free(cluster, taken)
		}
		return nil
	})
	if err != nil && release != nil { // the answer was lost, and the session with it
		release()
		return nil, nil, err
	}
	return held, release, err
}

// markerKnown refuses calls that depend on a marker that cannot be read: nobody knows whose host this is.
func (h *Host) markerKnown(op api.Operation) error {
	switch op {
	case api.OpTry, api.OpArrived, api.OpAwait, api.OpBackups:
		return nil // they do not depend on the marker, or report the problem themselves
	}
	if h.MarkerError != "" {
		return failed("%s", h.MarkerError)
	}
	return nil
}

// free releases a lock, unless it has ended already.
func (h *Host) free(cluster string, l *lock) {
	if h.locks[cluster] == l {
		delete(h.locks, cluster)
		l.lost(errLost)
	}
}

// callable returns why a store cannot be called, or nil.
func (h *Host) callable(store, cluster string) error {
	if !h.hasStore(h.resolve(store, cluster)) {
		return &api.Error{Code: api.CodeNoStore, Message: fmt.Sprintf("%s: there is no store on it to call", h.Address)}
	}
	return nil
}

// resolve returns the store that is called: the named one, or else the selected one.
func (h *Host) resolve(store, cluster string) string {
	if store == "" {
		return h.on(cluster).selected
	}
	return store
}

// hasStore tells whether a store is installed.
func (h *Host) hasStore(store string) bool {
	_, found := h.stores[store]
	return found
}

// installed returns the hashes of the stores on the host, sorted.
func (h *Host) installed() []string { return slices.Sorted(maps.Keys(h.stores)) }

// directory returns the data directory at a path, or nil if there is none.
func (h *Host) directory(dir string) *directory {
	if d, there := h.data[dir]; there {
		return d
	}
	return &directory{}
}

func (d *directory) empty() bool { return !d.litter && d.member == nil }

// aside lists what was moved aside from a data directory.
func (h *Host) aside(dir string) []string {
	var found []string
	for p := range h.data {
		if ok, _ := path.Match(dir+"."+api.AsidePrefix+"*", p); ok {
			found = append(found, p)
		}
	}
	slices.Sort(found)
	return found
}

// markerCopy returns a copy of the marker, or nil if there is none.
func (i *installation) markerCopy() *api.Marker {
	if i.marker == nil {
		return nil
	}
	marker := *i.marker
	marker.Added = slices.Clone(marker.Added)
	return &marker
}
