package api

// Untargeted is why a host refuses a call that changes it and has no target.
const Untargeted = "this call changes the host, and does not say for which machine and member it is meant: use a provider of this release or a newer one"

// Target says which machine, and which member on it, a call is meant for, as the run last observed them. The host
// refuses a call that is meant for another, since an address may lead elsewhere by now.
type Target struct {
	MachineID string `json:"machine_id,omitempty"` // of /etc/machine-id; empty: not known
	// BootID is random, of the boot in which the machine was observed; empty: not known. It tells machines apart that
	// were cloned from one image, and share their machine ID.
	BootID   string `json:"boot_id,omitempty"`
	Member   string `json:"member,omitempty"`    // the member that the host carried, by its marker; empty: none
	MemberID string `json:"member_id,omitempty"` // hexadecimal; empty: it had none yet
	Owner    string `json:"owner,omitempty"`     // by the marker; empty: not known
	// Seen: nothing that this run did since the observation can have changed what the host carries.
	Seen bool   `json:"seen,omitempty"`
	For  string `json:"for,omitempty"` // the member that the call is made for
}

// Elsewhere returns why the machine with these IDs refuses a call for the target, or nil if it is the target's. An
// empty ID is not known.
func (t Target) Elsewhere(machine, boot string) error {
	switch {
	case t.MachineID != "" && machine != "" && t.MachineID != machine:
		return Refuse("this call is for the machine with the ID %s, and it came to the one with the ID %s: the address of member %s leads to another machine than before; check address, ssh_address and ssh_port, and plan again",
			t.MachineID, machine, t.For)
	case t.BootID != "" && boot != "" && t.BootID != boot:
		return Refuse("the machine was booted after this run had observed it, or is a clone with the same machine ID (%s, member %s): apply again, which observes it anew", machine, t.For)
	}
	return nil
}

// Differs returns why a host that carries a member by this marker refuses a call for the target, or nil if it is the
// target. The marker of a host that carries no member is the zero one.
func (t Target) Differs(carried Marker) error {
	switch {
	case t.Seen && carried.Member != t.Member:
		return Refuse("this call is for a host that carries %s, and this host carries %s: it has changed since the run observed it, or the address leads elsewhere; plan again", aMember(t.Member), aMember(carried.Member))
	case t.Seen && t.MemberID != "" && carried.MemberID != "" && t.MemberID != carried.MemberID:
		return Refuse("this call is for member %s with the ID %s, and this host carries the one with the ID %s; plan again", t.Member, t.MemberID, carried.MemberID)
	case t.Seen && t.Owner != "" && t.Owner != carried.Owner:
		return Refuse("this call is for member %s as the run observed it, and another Terraform object manages it by now: its owner token has changed; plan again", t.Member)
	case !t.Seen && carried.Member != "" && carried.Member != t.For && carried.Member != t.Member:
		return Refuse("this call is for member %s, and this host carries member %s; plan again", t.For, carried.Member)
	}
	return nil
}

func aMember(name string) string {
	if name == "" {
		return "no member of this cluster"
	}
	return "member " + name
}
