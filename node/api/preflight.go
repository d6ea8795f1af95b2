package api

import (
	"net"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"time"
)

// OpPreflight has a host try, together with its peers, what a member needs before anything of the member is there. It
// takes no lock, and leaves nothing on the host.
const OpPreflight Operation = "preflight" // PreflightRequest -> Preflight

// Bounds of a preflight.
const (
	// AppendBytes is the size of the appends by which etcd's documents measure disks.
	AppendBytes = 2300
	// LongestPreflight is the longest time for which a host may wait for its peers.
	LongestPreflight = time.Minute
)

// PreflightRequest says what a host is to try. All hosts of one preflight are asked at the same time.
type PreflightRequest struct {
	Member  string          // the name that peers know this host by
	DataDir string          // appends are timed on its file system; empty: none are
	Listen  string          // IP address and port on which the host answers its peers meanwhile; empty: it does not
	From    string          // IP address that the host dials from, as a member would; empty: any of its own
	Token   string          // of this preflight: what answers without it is somebody else
	Dial    []PreflightPeer // the peers to reach
	// Await names the members whose hosts dial this one. The host listens until all of them have, or Timeout is over.
	Await   []string
	Names   []string      // DNS names to look up
	Timeout time.Duration // for which the host tries to reach peers and to look up names
}

// PreflightPeer is a peer to reach.
type PreflightPeer struct {
	Member  string
	At      string // host and port
	Answers bool   // its host listens for this preflight; false: a member listens there already
}

// Preflight is what a host has found out.
type Preflight struct {
	Appends     *Appends          `json:"appends,omitempty"`      // nil: not timed
	AppendError string            `json:"append_error,omitempty"` // why they could not be timed
	ListenError string            `json:"listen_error,omitempty"` // why the host could not listen
	Unreached   map[string]string `json:"unreached,omitempty"`    // why a peer could not be reached, by member
	Lookups     map[string]Lookup `json:"lookups,omitempty"`      // by name
}

// Appends is how long appends to a file took, each until the disk had it (fdatasync).
type Appends struct {
	Count         int
	P50, P99, Max time.Duration
}

// Lookup is what a DNS name leads to on one host.
type Lookup struct {
	Addresses []string // sorted
	Error     string   // why it could not be looked up; empty: it could
}

var preflightToken = regexp.MustCompile(`^[0-9a-f]{16,64}$`)

// CheckPreflight refuses a request that no host can carry out.
func CheckPreflight(r PreflightRequest) error {
	switch {
	case !preflightToken.MatchString(r.Token):
		return Refuse("%q is no token of a preflight", r.Token)
	case r.Timeout <= 0 || r.Timeout > LongestPreflight:
		return Refuse("a time limit of %s was given for a preflight: give a positive one of at most %s", r.Timeout, LongestPreflight)
	case r.DataDir != "" && (!path.IsAbs(r.DataDir) || path.Clean(r.DataDir) != r.DataDir):
		return Refuse("data directory %q is no absolute path in its shortest spelling", r.DataDir)
	}
	if r.Listen != "" {
		if _, err := netip.ParseAddrPort(r.Listen); err != nil {
			return Refuse("a host cannot listen on %q: that is no IP address and port", r.Listen)
		}
	}
	if r.From != "" {
		if _, err := netip.ParseAddr(r.From); err != nil {
			return Refuse("a host cannot dial from %q: that is no IP address", r.From)
		}
	}
	for _, peer := range r.Dial {
		_, port, err := net.SplitHostPort(peer.At)
		if number, bad := strconv.Atoi(port); err != nil || bad != nil || number < 1 || number > 65535 {
			return Refuse("peer %s cannot be dialed at %q: that is no host and port", peer.Member, peer.At)
		}
	}
	return nil
}
