// Package ssh reaches hosts: it dials them, through a bastion where there is one, verifies their host
// keys, logs in, keeps one connection to each for as long as an operation lasts, and runs commands on
// it. It knows nothing of what the commands do.
//
// Nothing here skips the verification of a host key, and no error, log or dump shows a secret.
package ssh

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Target says how to reach one host.
type Target struct {
	Address string  // host name or IP address, without port
	Port    int     // 1 to 65535; 0: 22
	User    string  // who logs in
	Auth    Auth    // what the user shows to be let in
	Trust   Trust   // what vouches for the host's key
	Bastion *Target // host to go through, with its own credentials and trust; nil: go directly
}

// Validate finds everything that is wrong with a target without asking the network: it reads the
// files that the target names, parses keys and certificates, and looks at the bastion too. The error
// joins all findings.
func (t Target) Validate() error {
	_, err := t.read(Auth.load)
	if t.Bastion != nil {
		if of := t.Bastion.Validate(); of != nil {
			err = errors.Join(err, fmt.Errorf("bastion: %w", of))
		}
	}
	return err
}

// CheckAddress refuses what is neither a host name nor an IP address, as where a user or a port stands with it.
func CheckAddress(address string) error {
	if _, _, err := net.SplitHostPort(address); err == nil || strings.ContainsAny(address, " /@[]") {
		return errors.New("set user and port on their own")
	}
	return nil
}

// dossier is a target whose own part, without the bastion, has been read and found good.
type dossier struct {
	Target
	credentials credentials
	trust       *trust
}

// read checks the target and reads what it names; load reads the credentials.
func (t Target) read(load func(Auth) (credentials, error)) (dossier, error) {
	d := dossier{Target: t}
	var errs []error
	if t.Address == "" {
		errs = append(errs, errors.New("address is empty: set a host name or an IP address"))
	} else if err := CheckAddress(t.Address); err != nil {
		errs = append(errs, fmt.Errorf("address %q is no host name and no IP address: %w", t.Address, err))
	}
	if t.Port < 0 || t.Port > 65535 {
		errs = append(errs, fmt.Errorf("port %d is out of range: 1 to 65535", t.Port))
	}
	if t.User == "" {
		errs = append(errs, errors.New("user is empty: set the name to log in with"))
	}
	var err error
	if d.credentials, err = load(t.Auth); err != nil {
		errs = append(errs, err)
	}
	if d.trust, err = t.Trust.load(t.endpoint()); err != nil {
		errs = append(errs, err)
	}
	return d, errors.Join(errs...)
}

// String is the target as errors name it: user@address:port, and the way there.
func (t Target) String() string {
	name := t.User + "@" + t.endpoint()
	if t.Bastion != nil {
		name += " (through " + t.Bastion.String() + ")"
	}
	return name
}

// host is the address in the one spelling that host keys and principals are compared in: names in
// lower case as OpenSSH does it, IP addresses in their shortest form.
func (t Target) host() string {
	if ip, err := netip.ParseAddr(t.Address); err == nil {
		return ip.String()
	}
	return strings.ToLower(t.Address)
}

func (t Target) port() int {
	if t.Port == 0 {
		return 22
	}
	return t.Port
}

// endpoint is host and port as dialers want them, IPv6 in brackets.
func (t Target) endpoint() string { return net.JoinHostPort(t.host(), strconv.Itoa(t.port())) }
