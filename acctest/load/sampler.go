package load

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

const probeTimeout = 250 * time.Millisecond

// sampler asks members, those that it was told of and those of the list.
type sampler struct {
	*instrument

	mu      sync.Mutex
	seeds   []string
	listed  []string // client URLs of the last list
	probers map[string]*prober
	turn    int
	asking  sync.WaitGroup
	ended   bool
}

// prober asks one member, over one connection.
type prober struct {
	endpoint string
	client   *clientv3.Client
	cancel   context.CancelFunc
}

// connection speaks gRPC without etcd's retries, and without its waiting for a connection: a member that
// is not there has to be seen at once.
func (p *prober) connection() *grpc.ClientConn { return p.client.ActiveConnection() }

func newSampler(i *instrument) *sampler {
	return &sampler{instrument: i, probers: map[string]*prober{}}
}

// seed has these endpoints asked, besides those of the list.
func (s *sampler) seed(endpoints []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeds = endpoints
	s.reconcile()
}

// reconcile asks whom there is to ask, and nobody else.
func (s *sampler) reconcile() {
	if s.ended {
		return
	}
	wanted := map[string]bool{}
	for _, endpoint := range slices.Concat(s.seeds, s.listed) {
		wanted[endpoint] = true
	}
	for endpoint, p := range s.probers {
		if !wanted[endpoint] {
			p.cancel()
			delete(s.probers, endpoint)
		}
		delete(wanted, endpoint)
	}
	for endpoint := range wanted {
		client, err := probing(s.tls, endpoint)
		if err != nil {
			s.answers <- answer{Probe: &Probe{Endpoint: endpoint, Start: s.now(), End: s.now(), Error: err.Error()}}
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		p := &prober{endpoint, client, cancel}
		s.probers[endpoint] = p
		s.asking.Go(func() {
			var both sync.WaitGroup
			both.Go(func() {
				var view []Member
				s.every(ctx, func() { view = s.status(ctx, p, view) })
			})
			both.Go(func() { s.every(ctx, func() { s.read(ctx, p) }) })
			both.Wait()
			_ = client.Close() // its connection ends in any case
		})
	}
}

// every does it again and again.
func (s *sampler) every(ctx context.Context, do func()) {
	for next := time.Now(); pause(ctx, time.Until(next)); {
		do()
		if next = next.Add(s.Config.Every); time.Since(next) > 0 {
			next = time.Now()
		}
	}
}

// run reads the membership until it is told to stop.
func (s *sampler) run(ctx context.Context) {
	var last []Member
	var before time.Duration
	for next := time.Now(); pause(ctx, time.Until(next)); next = time.Now().Add(s.Config.ListEvery) {
		start := s.now()
		members, err := s.list(ctx)
		if err != nil {
			s.mu.Lock()
			s.turn++
			s.mu.Unlock()
			continue
		}
		if !reflect.DeepEqual(members, last) {
			s.answers <- answer{Configuration: &Configuration{Before: before, At: s.now(), Members: members}}
			s.mu.Lock()
			s.listed = nil
			for _, m := range members {
				s.listed = append(s.listed, m.ClientURLs...)
			}
			s.reconcile()
			s.mu.Unlock()
		}
		last, before = members, start
	}
	s.mu.Lock()
	s.ended = true
	for _, p := range s.probers {
		p.cancel()
	}
	s.mu.Unlock()
	s.asking.Wait()
}

// list is the membership by one linearizable read, through the member that answered last, or the next
// one where that has failed.
func (s *sampler) list(ctx context.Context) ([]Member, error) {
	s.mu.Lock()
	var endpoints []string
	for endpoint := range s.probers {
		endpoints = append(endpoints, endpoint)
	}
	if len(endpoints) == 0 {
		s.mu.Unlock()
		return nil, errors.New("there is no endpoint to ask")
	}
	slices.Sort(endpoints)
	p := s.probers[endpoints[s.turn%len(endpoints)]]
	s.mu.Unlock()
	return listThrough(ctx, p, true)
}

func listThrough(ctx context.Context, p *prober, linearizable bool) ([]Member, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	response, err := pb.NewClusterClient(p.connection()).MemberList(ctx, &pb.MemberListRequest{Linearizable: linearizable})
	if err != nil {
		return nil, err
	}
	return membersOf(response.Members), nil
}

func membersOf(list []*pb.Member) []Member {
	var members []Member
	for _, m := range list {
		members = append(members, Member{ID: hex(m.ID), Name: m.Name, Learner: m.IsLearner, ClientURLs: slices.Sorted(slices.Values(m.ClientURLs))})
	}
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return members
}

// status asks a member how it is, and for its own view of the list, which is told where it is not the last.
func (s *sampler) status(ctx context.Context, p *prober, last []Member) []Member {
	r := Probe{Endpoint: p.endpoint}
	s.ask(ctx, &r, func(ctx context.Context) error {
		response, err := pb.NewMaintenanceClient(p.connection()).Status(ctx, &pb.StatusRequest{})
		if err != nil {
			return err
		}
		r.Member, r.Revision = hex(response.Header.MemberId), response.Header.Revision
		r.Term, r.Learner = response.RaftTerm, response.IsLearner
		if response.Leader != 0 {
			r.Leader = hex(response.Leader)
		}
		return nil
	})
	if r.Error != "" || r.Learner { // learners answer no such question
		return last
	}
	members, err := listThrough(ctx, p, false)
	if err != nil || reflect.DeepEqual(members, last) {
		return last
	}
	s.answers <- answer{View: &View{At: s.now(), Endpoint: p.endpoint, Member: r.Member, Members: members}}
	return members
}

// read has a member read linearizably: one that is cut off from the others cannot.
func (s *sampler) read(ctx context.Context, p *prober) {
	r := Probe{Endpoint: p.endpoint, Read: true}
	s.ask(ctx, &r, func(ctx context.Context) error {
		response, err := pb.NewKVClient(p.connection()).Range(ctx, &pb.RangeRequest{Key: []byte("health"), KeysOnly: true})
		if err != nil {
			return err
		}
		r.Member, r.Revision = hex(response.Header.MemberId), response.Header.Revision
		return nil
	})
}

// ask asks, and tells what came of it.
func (s *sampler) ask(ctx context.Context, r *Probe, question func(context.Context) error) {
	var f flight
	r.Start = s.now()
	asking, cancel := context.WithTimeout(followed(ctx, &f), probeTimeout)
	err := question(asking)
	cancel()
	r.End = s.now()
	if sent := f.sent.Load(); sent != nil {
		r.Start = s.since(*sent)
	}
	if err != nil {
		r.Error = err.Error()
	}
	if ctx.Err() == nil || err == nil {
		told := *r
		s.answers <- answer{Probe: &told}
	}
}

func hex(id uint64) string { return strconv.FormatUint(id, 16) }
