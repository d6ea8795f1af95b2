package api

import "fmt"

// Untargeted is why a host refuses a call that changes it and has no target.
const Untargeted = "this call changes the host, and does not say for which machine and member it is meant: use a provider of this release or a newer one"

// Target says which machine, and which member on it, a call is meant for, as the run last observed them. The host
// refuses a call that is meant for another, since an address may lead elsewhere by now.
type Target struct {
	MachineID string `json:"machine_id,omitempty"` // of /etc/machine-id; empty: not known
	Member    string `json:"member,omitempty"`     // the member that the host carried, by its marker; empty: none
	MemberID  string `json:"member_id,omitempty"`  // hexadecimal; empty: it had none yet
	// Seen: nothing that this run did since the observation can have changed what the host carries.
	Seen bool   `json:"seen,omitempty"`
	For  string `json:"for,omitempty"` // the member that the call is made for
}

// Differs returns why a host that carries a member by this marker refuses a call for the target, or nil if it is the
// target. The marker of a host that carries no member is the zero one.
func (t Target) Differs(carried Marker) error {
	refuse := func(format string, args ...any) error {
		return &Error{Code: CodeRefused, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case t.Seen && carried.Member != t.Member:
		return refuse("this call is for a host that carries %s, and this host carries %s: it has changed since the run observed it, or the address leads elsewhere; plan again", aMember(t.Member), aMember(carried.Member))
	case t.Seen && t.MemberID != "" && carried.MemberID != "" && t.MemberID != carried.MemberID:
		return refuse("this call is for member %s with the ID %s, and this host carries the one with the ID %s; plan again", t.Member, t.MemberID, carried.MemberID)
	case !t.Seen && carried.Member != "" && carried.Member != t.For && carried.Member != t.Member:
		return refuse("this call is for member %s, and this host carries member %s; plan again", t.For, carried.Member)
	}
	return nil
}

func aMember(name string) string {
	if name == "" {
		return "no member of this cluster"
	}
	return "member " + name
}
