package api

// PrepareRequest prepares a host for its configuration: the marker first, then user and directories, then the keys. It
// may be repeated: an existing key of the right kind stays.
type PrepareRequest struct {
	Marker Marker       `json:"marker"`
	Keys   []KeyRequest `json:"keys"`
}

// KeyRequest describes a key pair to make on the host, and its certificate request.
type KeyRequest struct {
	Name         string   `json:"name"`      // KeyPeer, KeyServer, KeyAdmin
	Algorithm    string   `json:"algorithm"` // ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096
	CommonName   string   `json:"common_name"`
	Organization []string `json:"organization"`
	DNSNames     []string `json:"dns_names"`
	IPs          []string `json:"ips"`
}

// Prepared has the certificate requests, PEM, by key name.
type Prepared struct {
	Requests map[string]string `json:"requests"`
}

// ConfigureRequest writes everything that a member runs by, selects its store, and reloads systemd. It stops and
// starts nothing. Files that are right already stay as they are.
type ConfigureRequest struct {
	Marker       Marker            `json:"marker"`
	Store        string            `json:"store"`        // SHA-256 of an installed store
	Certificates map[string]string `json:"certificates"` // PEM by key name; empty: keep what is there
	PeerCA       string            `json:"peer_ca"`      // PEM bundle; empty: keep
	ClientCA     string            `json:"client_ca"`    // PEM bundle; empty: keep
	// ClientCRL is the PEM list of clients' revoked certificates; empty: keep.
	ClientCRL string   `json:"client_crl,omitempty"`
	Flags     []string `json:"flags"` // complete, each "--name=value"
	Unit      string   `json:"unit"`  // the text of the unit file
}

// StartRequest enables the unit and starts it, without waiting until the member is ready: the members of a new cluster
// become ready only together.
type StartRequest struct{}

// RestartRequest stops the unit if it runs, waits until it has stopped, enables and starts it, without waiting until
// the member is ready.
type RestartRequest struct {
	Owner string `json:"owner"` // must be the marker's
}

// StopRequest stops the unit and waits until it has stopped. The unit stays enabled unless Disable is set.
type StopRequest struct {
	Owner   string `json:"owner"` // must be the marker's
	Disable bool   `json:"disable,omitempty"`
}

// SetAsideRequest stops the member, disables its unit, and moves its data directory aside. Then the guard lets no
// member start before the host is prepared again.
type SetAsideRequest struct {
	Owner string `json:"owner"` // must be the marker's
	Why   string `json:"why"`   // becomes part of the new name: "unfinished"
	// Unwritten refuses data that somebody has written to, as its database says once the member is stopped; the member
	// is then started again. The database of a running member that does not answer cannot be read.
	Unwritten bool `json:"unwritten,omitempty"`
}

// SetAside says where the data is now.
type SetAside struct {
	Path string `json:"path"` // empty: there was none
}

// RetireRequest removes the cluster from the host: it stops and disables the unit, moves the data aside or deletes it,
// and removes configuration, keys, and stores that no other cluster selects.
type RetireRequest struct {
	Owner string `json:"owner"` // must be the marker's
	Purge bool   `json:"purge"` // delete the data, including what was moved aside before
}

// Retired says where the data is now.
type Retired struct {
	Path string `json:"path"` // empty: there was none, or it was purged
}
