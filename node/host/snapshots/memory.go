package snapshots

import (
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

const (
	// bareMember is how much memory etcd takes with no keys at all.
	bareMember = 64 << 20
	// indexedKey is the least that etcd takes for each key: an entry of its index, with a short name and one revision.
	// The values stay in the file.
	indexedKey = 192
)

// memoryFor returns the least memory, in bytes, that a member with this many keys takes.
func memoryFor(keys int) int64 { return bareMember + int64(keys)*indexedKey }

// MustHoldInMemory refuses to restore a snapshot with at least this many keys on a host with too little memory for
// them. The memory that the old member takes counts as free, since that member has stopped by then.
func (h Host) MustHoldInMemory(what string, keys int) error {
	total, err := h.proc().Memory()
	if err != nil {
		return err
	}
	if desired := memoryFor(keys); desired > total {
		return api.Refuse("%s has at least %d keys, for which a member wants at least %d MiB of memory, and this host has %d MiB: restore it on hosts with more", what, keys, disks.Mebibytes(desired), total>>20)
	}
	return nil
}

// MustRehearseInMemory refuses to start a second member with this many keys beside the live one if the memory does not
// suffice: the kernel would kill a process of this host.
func (h Host) MustRehearseInMemory(keys int) error {
	total, err := h.proc().Memory()
	if err != nil {
		return err
	}
	available, err := h.proc().AvailableMemory()
	if err != nil {
		return err
	}
	desired := memoryFor(keys)
	if limit := systemd.RunMemory(total); desired > limit {
		return api.Refuse("a rehearsal of %d keys wants at least %d MiB of memory, and its unit may use %d MiB, a quarter of the host's: rehearse where there is more", keys, disks.Mebibytes(desired), limit>>20)
	}
	if desired > available {
		return api.Refuse("a rehearsal of %d keys wants at least %d MiB of memory, and %d MiB are available beside the member: free some memory", keys, disks.Mebibytes(desired), available>>20)
	}
	return nil
}
