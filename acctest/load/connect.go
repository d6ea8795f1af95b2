package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/stats"
)

// credentials reads the files; nil: there are none.
func (c Config) credentials() (*tls.Config, error) {
	if c.CACert == "" {
		return nil, nil
	}
	info := transport.TLSInfo{TrustedCAFile: c.CACert, CertFile: c.Cert, KeyFile: c.Key}
	t, err := info.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read %s, %s and %s: %w", c.CACert, c.Cert, c.Key, err)
	}
	return t, nil
}

// application is a client as an application has it: etcd's defaults, and etcdctl's keep-alive, without
// which a host that lost its power is noticed only by the timeout of each request.
func application(t *tls.Config, sync time.Duration, endpoints ...string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: endpoints, TLS: t, AutoSyncInterval: sync, DialKeepAliveTime: 2 * time.Second, DialKeepAliveTimeout: 6 * time.Second,
		DialOptions: []grpc.DialOption{grpc.WithStatsHandler(tracer{})}, Logger: zap.NewNop(),
	})
}

// probing is a client of one member that tries nothing twice, and that finds a member which comes back
// within 50 ms, where an application's client backs off for seconds.
func probing(t *tls.Config, endpoint string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: []string{endpoint}, TLS: t, MaxUnaryRetries: 1, Logger: zap.NewNop(),
		DialKeepAliveTime: 2 * time.Second, DialKeepAliveTimeout: 6 * time.Second,
		DialOptions: []grpc.DialOption{grpc.WithStatsHandler(tracer{}), grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 50 * time.Millisecond}, MinConnectTimeout: 250 * time.Millisecond,
		})},
	})
}

// flight is what became of one request below etcd's client: without it, a request that waited for a
// connection until its timeout and one that was sent and never answered look the same.
type flight struct {
	sent   atomic.Pointer[time.Time] // last, if ever
	remote atomic.Pointer[string]
}

type flightKey struct{}

// followed is a context whose request tells f what becomes of it.
func followed(ctx context.Context, f *flight) context.Context {
	return context.WithValue(ctx, flightKey{}, f)
}

// tracer hears from gRPC what becomes of requests.
type tracer struct{}

func (tracer) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (tracer) HandleRPC(ctx context.Context, s stats.RPCStats) {
	header, ok := s.(*stats.OutHeader)
	if !ok {
		return
	}
	if f, ok := ctx.Value(flightKey{}).(*flight); ok {
		now, remote := time.Now(), header.RemoteAddr.String()
		f.sent.Store(&now)
		f.remote.Store(&remote)
	}
}

func (tracer) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (tracer) HandleConn(context.Context, stats.ConnStats)                       {}
