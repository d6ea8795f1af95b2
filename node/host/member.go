package host

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// askTimeout bounds all questions to the member, which are asked at the same time. A member without
// quorum leaves some of them unanswered. A loaded one has been seen to take 300 ms.
const askTimeout = 2500 * time.Millisecond

const loopback = "127.0.0.1"

// member asks the local member how it is, over loopback with the administrator's certificate.
func (m *Machine) member(ctx context.Context, marker api.Marker) api.Member {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	client, err := m.dial(ctx, marker)
	if err != nil {
		return api.Member{Error: err.Error(), HealthError: err.Error(), Ready: ready(ctx, marker.MetricsPort)}
	}
	defer client.Close()

	// Each answer fills fields of its own. One that is missing leaves them empty; that of the read, which
	// needs quorum, says why.
	var view api.Member
	var questions sync.WaitGroup
	askStatus := func() {
		status, err := client.Status(ctx, client.Endpoints()[0])
		if err != nil {
			view.Error = err.Error()
			return
		}
		tellStatus(&view, status)
	}
	questions.Go(askStatus)
	questions.Go(func() {
		// Linearizable, so that a member that is cut off from its peers does not pass. Any key does.
		if _, err := client.Get(ctx, "health"); err != nil {
			view.HealthError = err.Error()
			return
		}
		view.Healthy = true
	})
	questions.Go(func() {
		// Serializable: its own view, which it has without quorum too.
		if list, err := client.MemberList(ctx, clientv3.WithSerializable()); err == nil {
			view.Members = listed(list.Members)
		}
	})
	questions.Go(func() { view.ClusterVersion = m.clusterVersion(ctx, marker) })
	questions.Go(func() { view.Ready = ready(ctx, marker.MetricsPort) })
	questions.Wait()
	if view.Healthy {
		// The read may have waited for an election: who leads is told by who does after it. And the member may have taken
		// back the read by which it told whether it is ready, which nobody has repeated.
		askStatus()
		view.Ready = view.Ready || ready(ctx, marker.MetricsPort)
	}
	return view
}

// dial makes a client of the local member, where somebody listens on its port: of a port that is closed
// the client itself would only say after all of its time that it could not connect.
func (m *Machine) dial(ctx context.Context, marker api.Marker) (*clientv3.Client, error) {
	config, err := m.adminTLS(marker.Cluster)
	if err != nil {
		return nil, err
	}
	port := net.JoinHostPort(loopback, strconv.Itoa(marker.ClientPort))
	probe, err := new(net.Dialer).DialContext(ctx, "tcp", port)
	if err != nil {
		return nil, fmt.Errorf("connect to the local member: %w", err)
	}
	if err := probe.Close(); err != nil {
		return nil, fmt.Errorf("connect to the local member: %w", err)
	}
	return clientv3.New(clientv3.Config{
		Context:   ctx,
		Endpoints: []string{"https://" + port},
		TLS:       config,
		Logger:    zap.NewNop(), // what goes wrong is in the errors
	})
}

// adminTLS is how the store shows itself to the local member: with the administrator's certificate.
func (m *Machine) adminTLS(cluster string) (*tls.Config, error) {
	return m.identify(cluster, api.KeyAdmin, api.ClientCAFile(cluster))
}

// identify shows the identity of one of the cluster's keys, and trusts the authorities of one bundle.
func (m *Machine) identify(cluster, key, bundle string) (*tls.Config, error) {
	identity, err := tls.LoadX509KeyPair(m.path(api.CertificateFile(cluster, key)), m.path(api.KeyFile(cluster, key)))
	if err != nil {
		return nil, fmt.Errorf("load the %s certificate: %w", key, err)
	}
	text, err := os.ReadFile(m.path(bundle))
	if err != nil {
		return nil, fmt.Errorf("load the authorities to trust: %w", err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("load the authorities to trust: %s holds no certificate", bundle)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{identity}, RootCAs: authorities}, nil
}

// tellStatus takes over what the member says of itself.
func tellStatus(view *api.Member, s *clientv3.StatusResponse) {
	view.Responding = true
	view.ClusterID, view.MemberID = api.FormatID(s.Header.ClusterId), api.FormatID(s.Header.MemberId)
	if s.Leader != 0 {
		view.Leader = api.FormatID(s.Leader)
	}
	view.Learner = s.IsLearner
	view.Version = s.Version
	view.RaftTerm, view.RaftIndex, view.AppliedIndex = s.RaftTerm, s.RaftIndex, s.RaftAppliedIndex
	view.Revision = s.Header.Revision
	view.DBSizeBytes, view.DBUsedBytes, view.QuotaBytes = s.DbSize, s.DbSizeInUse, s.DbSizeQuota
	view.StorageVersion = s.StorageVersion
	if s.DowngradeInfo != nil && s.DowngradeInfo.Enabled {
		view.Downgrade = s.DowngradeInfo.TargetVersion
	}
	view.Alarms = raised(s.Errors)
}

// listed is the member's view of the list, sorted by ID.
func listed(members []*etcdserverpb.Member) []api.ListedMember {
	var list []api.ListedMember
	for _, e := range members {
		list = append(list, api.ListedMember{ID: api.FormatID(e.ID), Name: e.Name, PeerURLs: e.PeerURLs, ClientURLs: e.ClientURLs, Learner: e.IsLearner})
	}
	slices.SortFunc(list, func(a, b api.ListedMember) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// raised are the alarms among what a status complains of, sorted, each with the member that raised it:
// "memberID:10276657743932975437 alarm:NOSPACE". A status is asked for them because the list of alarms
// goes through the log: each question for it would be a write, and learners do not answer it.
func raised(complaints []string) []string {
	var alarms []string
	for _, complaint := range complaints {
		var member uint64
		kind := ""
		for _, field := range strings.Fields(complaint) {
			if text, ok := strings.CutPrefix(field, "memberID:"); ok {
				member, _ = strconv.ParseUint(text, 10, 64)
			}
			if text, ok := strings.CutPrefix(field, "alarm:"); ok {
				kind = text
			}
		}
		if kind != "" {
			alarms = append(alarms, kind+" "+api.FormatID(member))
		}
	}
	slices.Sort(alarms)
	return alarms
}

// ready tells whether the member calls itself ready, apart from the alarm that the data of members differs: that is
// one of the whole cluster, which is told of by itself.
func ready(ctx context.Context, metricsPort int) bool {
	return answersOK(ctx, metricsPort, "/readyz?exclude=data_corruption")
}
