package api

// Barrier is what keeps a run out of a host that answers. A member behind one may serve: it is neither lost nor dead.
type Barrier string

// What keeps a run out. The values lie in private state.
const (
	BarrierLogin   Barrier = "login"    // its sshd takes none of the credentials
	BarrierHostKey Barrier = "host-key" // it shows an SSH host key that is unknown, or not the known one
	BarrierBastion Barrier = "bastion"  // its bastion lets nobody through: nothing is known of the host
	BarrierProgram Barrier = "program"  // it lets the user in, and no command of the provider comes to its end there
)

// Barred is the error of a host that answers and does not let a run do its work.
type Barred struct {
	Barrier Barrier
	Err     error
}

func (b *Barred) Error() string { return b.Err.Error() }
func (b *Barred) Unwrap() error { return b.Err }

// Why says what keeps a run out, the same each time, of a member's host.
func (b Barrier) Why() string {
	switch b {
	case BarrierLogin:
		return "its host answers, and refuses the login"
	case BarrierHostKey:
		return "its host answers, and its SSH host key is not one that is known"
	case BarrierBastion:
		return "its bastion lets nobody through to its host"
	}
	return "its host answers, and the provider's program cannot do its work there"
}

// Remedy names the arguments that let a run in.
func (b Barrier) Remedy() string {
	switch b {
	case BarrierLogin:
		return "set ssh.user (or the member's ssh_user) and ssh.private_key, ssh.private_key_file or ssh.agent to what the account's authorized_keys has"
	case BarrierHostKey:
		return "compare the fingerprint on the host's console, and set the member's host_key, ssh.host_ca, or the line in ssh.known_hosts_file"
	case BarrierBastion:
		return "set ssh.bastion (address, user, key and host_key) to what its sshd takes"
	}
	return "let the user of ssh.user run commands as root (ssh.sudo_password, or a NOPASSWD rule in sudoers), or fix what the error says"
}
