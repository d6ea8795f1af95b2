package host

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

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
		return api.Member{Error: err.Error(), Ready: ready(ctx, marker.MetricsPort)}
	}
	defer client.Close()

	// Each answer fills fields of its own. One that is missing leaves them empty; that of the read, which
	// needs quorum, says why.
	var view api.Member
	var questions sync.WaitGroup
	questions.Go(func() {
		status, err := client.Status(ctx, client.Endpoints()[0])
		if err != nil {
			view.Error = err.Error()
			return
		}
		tellStatus(&view, status)
	})
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
			view.Members = listed(list)
		}
	})
	questions.Go(func() {
		if alarms, err := client.AlarmList(ctx); err == nil {
			view.Alarms = raised(alarms)
		}
	})
	questions.Go(func() { view.Ready = ready(ctx, marker.MetricsPort) })
	questions.Wait()
	return view
}

// dial makes a client of the local member. It does not connect yet.
func (m *Machine) dial(ctx context.Context, marker api.Marker) (*clientv3.Client, error) {
	identity, err := tls.LoadX509KeyPair(m.path(api.CertificateFile(marker.Cluster, api.KeyAdmin)), m.path(api.KeyFile(marker.Cluster, api.KeyAdmin)))
	if err != nil {
		return nil, fmt.Errorf("load the administrator's certificate: %w", err)
	}
	bundle, err := os.ReadFile(m.path(api.ClientCAFile(marker.Cluster)))
	if err != nil {
		return nil, fmt.Errorf("load the clients' authority: %w", err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("load the clients' authority: %s holds no certificate", api.ClientCAFile(marker.Cluster))
	}
	return clientv3.New(clientv3.Config{
		Context:   ctx,
		Endpoints: []string{"https://" + net.JoinHostPort(loopback, strconv.Itoa(marker.ClientPort))},
		TLS:       &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{identity}, RootCAs: authorities},
		Logger:    zap.NewNop(), // what goes wrong is in the errors
	})
}

// tellStatus takes over what the member says of itself.
func tellStatus(view *api.Member, s *clientv3.StatusResponse) {
	view.Responding = true
	view.ClusterID, view.MemberID = hexID(s.Header.ClusterId), hexID(s.Header.MemberId)
	if s.Leader != 0 {
		view.Leader = hexID(s.Leader)
	}
	view.Learner = s.IsLearner
	view.Version = s.Version
	view.RaftTerm, view.RaftIndex, view.AppliedIndex = s.RaftTerm, s.RaftIndex, s.RaftAppliedIndex
	view.Revision = s.Header.Revision
	view.DBSizeBytes = s.DbSize
}

// listed is the member's view of the list, sorted by ID.
func listed(response *clientv3.MemberListResponse) []api.ListedMember {
	var list []api.ListedMember
	for _, e := range response.Members {
		list = append(list, api.ListedMember{ID: hexID(e.ID), Name: e.Name, PeerURLs: e.PeerURLs, ClientURLs: e.ClientURLs, Learner: e.IsLearner})
	}
	slices.SortFunc(list, func(a, b api.ListedMember) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// raised are the alarms, sorted, each with the member that raised it.
func raised(response *clientv3.AlarmResponse) []string {
	var alarms []string
	for _, a := range response.Alarms {
		alarms = append(alarms, a.Alarm.String()+" "+hexID(a.MemberID))
	}
	slices.Sort(alarms)
	return alarms
}

// hexID spells a member's or cluster's ID as all of etcd's own tools do.
func hexID(id uint64) string { return strconv.FormatUint(id, 16) }

// ready asks the metrics port, which answers where the client port hangs.
func ready(ctx context.Context, metricsPort int) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(loopback, strconv.Itoa(metricsPort))+"/readyz", nil)
	if err != nil {
		return false
	}
	response, err := probe.Do(request)
	if err != nil {
		return false
	}
	return errors.Join(response.Body.Close()) == nil && response.StatusCode == http.StatusOK
}

// probe goes past proxies that the environment names, and leaves no connection behind.
var probe = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
