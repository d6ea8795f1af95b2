package preflight

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

const (
	dialTimeout = 2 * time.Second        // of one attempt: a round trip takes a second where a packet is lost
	dialPause   = 100 * time.Millisecond // between two attempts
	longestLine = 512                    // bytes, of what a peer says
)

// meetPeers dials the peers, and answers those that dial this host. The hosts of a preflight begin one after another,
// so an attempt that fails is made again until the context ends.
func meetPeers(ctx context.Context, r api.PreflightRequest) (listenError string, unreached map[string]string) {
	unreached = map[string]string{}
	var mu sync.Mutex
	var group sync.WaitGroup
	if r.Listen != "" {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", r.Listen)
		if err != nil {
			listenError = describe(err)
		} else {
			group.Go(func() { answer(ctx, listener, r) })
		}
	}
	for _, peer := range r.Dial {
		group.Go(func() {
			if why := reach(ctx, r, peer); why != "" {
				mu.Lock()
				defer mu.Unlock()
				unreached[peer.Member] = why
			}
		})
	}
	group.Wait()
	return listenError, unreached
}

// answer answers peers until all that are awaited have come, or the context ends.
func answer(ctx context.Context, listener net.Listener, r api.PreflightRequest) {
	came := make(chan string)
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	context.AfterFunc(ctx, func() { listener.Close() })
	group.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer connection.Close()
				stop := context.AfterFunc(ctx, func() { connection.Close() })
				defer stop()
				if member := greet(connection, r); member != "" {
					select {
					case came <- member:
					case <-ctx.Done():
					}
				}
			})
		}
	})
	for awaited := slices.Clone(r.Await); len(awaited) > 0; {
		select {
		case member := <-came:
			awaited = slices.DeleteFunc(awaited, func(name string) bool { return name == member })
		case <-ctx.Done():
			return
		}
	}
}

// greet answers a peer of this preflight, and returns its name. Others get no answer.
func greet(connection net.Conn, r api.PreflightRequest) string {
	_ = connection.SetDeadline(time.Now().Add(dialTimeout))
	member, ours := readGreeting(connection, r.Token)
	if !ours {
		return ""
	}
	if _, err := fmt.Fprintf(connection, "%s %s\n", r.Token, r.Member); err != nil {
		return ""
	}
	return member
}

// readGreeting reads what a peer says: the token, and its name.
func readGreeting(from io.Reader, token string) (member string, ours bool) {
	line, err := bufio.NewReader(io.LimitReader(from, longestLine)).ReadString('\n')
	said, member, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	return member, err == nil && said == token
}

// reach dials a peer until it answers, and returns why it does not, or "".
func reach(ctx context.Context, r api.PreflightRequest, peer api.PreflightPeer) (why string) {
	end, limited := ctx.Deadline()
	for {
		tried := try(ctx, r, peer)
		if tried == "" {
			return ""
		}
		// What the end of the time has cut short says nothing. A dial may time out a moment before the context
		// has ended.
		cut := ctx.Err() != nil || limited && !time.Now().Before(end)
		if !cut || why == "" {
			why = tried
		}
		select {
		case <-ctx.Done():
			return why
		case <-time.After(dialPause):
		}
	}
}

// try dials a peer once.
func try(ctx context.Context, r api.PreflightRequest, peer api.PreflightPeer) string {
	dialer := net.Dialer{Timeout: dialTimeout}
	to, _, _ := net.SplitHostPort(peer.At)
	at, err := netip.ParseAddr(to)
	if from, bad := netip.ParseAddr(r.From); bad == nil && (err != nil || at.Is4() == from.Is4()) {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	connection, err := dialer.DialContext(ctx, "tcp", peer.At)
	if err != nil {
		return describe(err)
	}
	defer connection.Close()
	if !peer.Answers {
		return ""
	}
	_ = connection.SetDeadline(time.Now().Add(dialTimeout))
	if _, err := fmt.Fprintf(connection, "%s %s\n", r.Token, r.Member); err != nil {
		return describe(err)
	}
	switch member, ours := readGreeting(connection, r.Token); {
	case !ours:
		return "something else answers there"
	case member != peer.Member:
		return "the host of " + member + " answers there"
	}
	return ""
}

// describe says in a few words why a connection fails.
func describe(err error) string {
	var timeout net.Error
	var lookup *net.DNSError
	var number unix.Errno
	switch {
	case errors.As(err, &lookup):
		return lookupFailure(lookup)
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.As(err, &number):
		return number.Error()
	}
	return err.Error()
}
