// Package ssh connects to hosts, if needed through a bastion: it verifies their host keys, logs in, keeps one
// connection to each for the duration of an operation, and runs commands on it. It knows nothing about what the
// commands do.
//
// No host key is accepted unverified, and no error, log or dump shows a secret.
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
	User    string  // the user to log in as
	Auth    Auth    // how the user logs in
	Trust   Trust   // what vouches for the host's key
	Bastion *Target // host to connect through, with its own credentials and trust; nil: connect directly
}

// Validate returns everything that is wrong with a target, including its bastion, without using the network. It reads
// the files that the target names, and parses keys and certificates.
func (t Target) Validate() error {
	_, err := t.read(Auth.load)
	if t.Bastion != nil {
		if of := t.Bastion.Validate(); of != nil {
			err = errors.Join(err, fmt.Errorf("bastion: %w", of))
		}
	}
	return err
}

// CheckAddress refuses what is neither a host name nor an IP address, e.g. with a user or a port in it.
func CheckAddress(address string) error {
	if _, _, err := net.SplitHostPort(address); err == nil || strings.ContainsAny(address, " /@[]") {
		return errors.New("set user and port on their own")
	}
	return nil
}

// loadedTarget is a target that was loaded and checked, apart from its bastion.
type loadedTarget struct {
	Target
	credentials credentials
	trust       *trust
}

// read checks the target and loads what it names; load loads the credentials.
func (t Target) read(load func(Auth) (credentials, error)) (loadedTarget, error) {
	d := loadedTarget{Target: t}
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

// String returns the target as errors name it: user@address:port, and its bastion.
func (t Target) String() string {
	name := t.User + "@" + t.endpoint()
	if t.Bastion != nil {
		name += " (through " + t.Bastion.String() + ")"
	}
	return name
}

// host returns the address in the spelling in which host keys and principals are compared: names in lower case, as in
// OpenSSH, and IP addresses in their shortest form.
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

// endpoint returns host:port for dialers, with IPv6 in brackets.
func (t Target) endpoint() string { return net.JoinHostPort(t.host(), strconv.Itoa(t.port())) }
