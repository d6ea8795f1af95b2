package api

// PrepareRequest makes a host ready to be configured: the marker first, then user and directories,
// then the keys. It may be repeated: a key that is there and of the right kind is kept.
type PrepareRequest struct {
	Marker Marker       `json:"marker"`
	Keys   []KeyRequest `json:"keys"`
}

// KeyRequest is one key pair to make on the host, and the subject of its certificate request.
type KeyRequest struct {
	Name         string   `json:"name"`      // KeyPeer, KeyServer, KeyAdmin
	Algorithm    string   `json:"algorithm"` // ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096
	CommonName   string   `json:"common_name"`
	Organization []string `json:"organization"`
	DNSNames     []string `json:"dns_names"`
	IPs          []string `json:"ips"`
}

// Prepared holds the certificate requests, PEM, by the name of their key.
type Prepared struct {
	Requests map[string]string `json:"requests"`
}

// ConfigureRequest writes all that a member runs by, selects its store, and has systemd read it. It
// stops and starts nothing. Files that are already as asked for are left alone.
type ConfigureRequest struct {
	Marker       Marker            `json:"marker"`
	Store        string            `json:"store"`        // SHA-256 of an installed store
	Certificates map[string]string `json:"certificates"` // PEM by key name; empty: keep what is there
	PeerCA       string            `json:"peer_ca"`      // PEM bundle; empty: keep
	ClientCA     string            `json:"client_ca"`    // PEM bundle; empty: keep
	Flags        []string          `json:"flags"`        // complete, each "--name=value"
	Unit         string            `json:"unit"`         // the text of the unit file
}

// StartRequest enables the unit and starts it, without waiting until it is ready: the members of a
// new cluster are only ready together.
type StartRequest struct{}

// RestartRequest stops the unit where it runs, waits until it has stopped, enables it and starts it, without
// waiting until it is ready.
type RestartRequest struct {
	Owner string `json:"owner"` // must be the marker's
}

// StopRequest stops the unit and waits until it has stopped. It stays enabled, unless it is to be disabled too.
type StopRequest struct {
	Owner   string `json:"owner"` // must be the marker's
	Disable bool   `json:"disable,omitempty"`
}

// SetAsideRequest stops the member, disables its unit, and moves its data directory aside. The guard then
// lets no member start before the host was prepared again.
type SetAsideRequest struct {
	Owner string `json:"owner"` // must be the marker's
	Why   string `json:"why"`   // short; becomes part of the new name: "unfinished"
}

// SetAside says where the data lies now.
type SetAside struct {
	Path string `json:"path"` // empty: there was none
}

// RetireRequest takes the cluster off the host: stops and disables its unit, moves its data aside or
// deletes it, removes configuration, keys, and stores that no other cluster selects.
type RetireRequest struct {
	Owner string `json:"owner"` // must be the marker's
	Purge bool   `json:"purge"` // delete the data, and what was moved aside before
}

// Retired says where the data lies now.
type Retired struct {
	Path string `json:"path"` // empty: there was none, or it was purged
}
