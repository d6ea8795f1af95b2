package nodetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// call is one call as it is carried out.
type call struct {
	*Host
	cluster string
	store   string    // the hash of the store that answers
	in      io.Reader // content that follows the request; nil: none
	out     io.Writer // takes the content of the answer; nil: nobody
}

// operations are all operations of a store. Each either completes, or refuses without a change.
var operations = map[api.Operation]func(call, json.RawMessage) (any, error){
	api.OpObserve:   operation(call.observe),
	api.OpAwait:     operation(call.await),
	api.OpPrepare:   operation(call.prepare),
	api.OpConfigure: operation(call.configure),
	api.OpStart:     operation(call.start),
	api.OpStop:      operation(call.stop),
	api.OpSetAside:  operation(call.setAside),
	api.OpRetire:    operation(call.retire),
	api.OpRestart:   operation(call.restart),
	api.OpSnapshot:  operation(call.snapshot),
	api.OpSave:      operation(call.save),
	api.OpRecover:   operation(call.recover),
	api.OpProbe:     operation(call.probe),
	api.OpHash:      operation(call.hash),
	api.OpTry:       operation(call.try),
	api.OpPreflight: operation(call.preflight),

	api.OpFetch:    operation(call.fetch),
	api.OpArrived:  operation(call.arrived),
	api.OpFence:    operation(call.fence),
	api.OpRestore:  operation(call.restore),
	api.OpAdvance:  operation(call.advance),
	api.OpRollBack: operation(call.rollBack),

	api.OpBackUp:      operation(call.backUp),
	api.OpRunNow:      operation(call.runNow),
	api.OpBackups:     operation(call.listBackups),
	api.OpSendBackup:  operation(call.sendBackup),
	api.OpRenewOnHost: operation(call.renewOnHost),
	api.OpFirewall:    operation(call.firewall),

	api.OpAddLearner:   operation(call.addLearner),
	api.OpRemoveMember: operation(call.removeMember),
	api.OpPromote:      operation(call.promote),
	api.OpUpdateMember: operation(call.updateMember),
	api.OpMoveLeader:   operation(call.moveLeader),
	api.OpDowngrade:    operation(call.downgrade),
	api.OpDisarm:       operation(call.disarm),
}

// operation reads the body of a call. A field that the operation does not know fails the test.
func operation[Q, R any](carryOut func(call, Q) (R, error)) func(call, json.RawMessage) (any, error) {
	return func(c call, body json.RawMessage) (any, error) {
		var request Q
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&request); err != nil {
			return nil, c.world.unexpected("%s: the body %s is no %T: %v", c.Address, body, request, err)
		}
		return carryOut(c, request)
	}
}

// prepare creates the marker, the data directory and the keys. It refuses a host that carries another owner's finished
// cluster, and data that this formation has not made. A key has one certificate: each further one is for a new key, and
// the key that the member uses stays until then.
func (c call) prepare(r api.PrepareRequest) (api.Prepared, error) {
	part := c.on(c.cluster)
	if err := systemd.CheckDataDir(r.Marker.DataDir); err != nil {
		return api.Prepared{}, refuse("data directory %q: %s", r.Marker.DataDir, err)
	}
	for _, want := range r.Keys {
		if err := known(want); err != nil {
			return api.Prepared{}, err
		}
	}
	if err := c.mayClaim(part, r.Marker); err != nil {
		return api.Prepared{}, err
	}
	ours := part.marker != nil && part.marker.DataDir == r.Marker.DataDir && part.marker.Token == r.Marker.Token
	if !ours && !c.directory(r.Marker.DataDir).empty() {
		return api.Prepared{}, refuse("data directory %s is not empty, and was not made by this cluster", r.Marker.DataDir)
	}
	if part.marker != nil && part.marker.Phase != api.PhaseForming && part.marker.DataDir == r.Marker.DataDir {
		if err := c.mustHaveDisk(part); err != nil {
			return api.Prepared{}, err
		}
	}
	keys, next, prepared := maps.Clone(part.keys), maps.Clone(part.next), api.Prepared{Requests: map[string]string{}}
	if keys == nil {
		keys = map[string]signing.Key{}
	}
	if next == nil {
		next = map[string]signing.Key{}
	}
	for _, want := range r.Keys {
		held, there := keys[want.Name]
		certified := held.Belongs(part.certificates[want.Name])
		if !there || !held.OfKind(want.Algorithm) || part.exposed == want.Name || certified {
			another := c.keysLost + part.renewed[want.Name]
			if certified {
				another++
			}
			made, err := signing.NewKey(c.MachineID, strings.Repeat("another ", another)+want.Name, want.Algorithm)
			if err != nil {
				return api.Prepared{}, failed("%v", err)
			}
			switch waits, waiting := next[want.Name]; {
			case !there:
				keys[want.Name], held = made, made
			case waiting && waits.OfKind(want.Algorithm):
				held = waits
			default:
				next[want.Name], held = made, made
			}
		}
		text, err := held.Request(want)
		if err != nil {
			return api.Prepared{}, failed("request a certificate for key %s: %v", want.Name, err)
		}
		prepared.Requests[want.Name] = text
	}
	part.keys, part.next = keys, next
	r.Marker.Former = c.former(part.marker, r.Marker)
	c.record(part, c.keepFormed(part.marker, r.Marker))
	if c.data[r.Marker.DataDir] == nil {
		c.data[r.Marker.DataDir] = &directory{}
	}
	return prepared, nil
}

// configure writes everything that a member runs by.
func (c call) configure(r api.ConfigureRequest) (api.Done, error) {
	part := c.on(c.cluster)
	if r.Marker.Cluster != c.cluster {
		return api.Done{}, c.world.unexpected("%s: a marker of cluster %q in a call for cluster %q", c.Address, r.Marker.Cluster, c.cluster)
	}
	if err := c.mayChange(r.Marker.Owner); err != nil {
		return api.Done{}, err
	}
	if part.marker.DataDir != r.Marker.DataDir || part.marker.Member != r.Marker.Member {
		return api.Done{}, refuse("this host was prepared for member %s with its data in %s", part.marker.Member, part.marker.DataDir)
	}
	if !c.hasStore(r.Store) {
		return api.Done{}, refuse("store %s is not installed", r.Store)
	}
	if r.Unit == "" {
		return api.Done{}, refuse("the unit to write is empty")
	}
	if err := api.CheckFlags(r.Flags, r.Marker); err != nil {
		return api.Done{}, err
	}
	if err := part.mayInstallCertificates(r); err != nil {
		return api.Done{}, err
	}
	c.mayHold(r.Certificates)
	certificates := maps.Clone(part.certificates)
	if certificates == nil {
		certificates = map[string]string{}
	}
	maps.Copy(certificates, r.Certificates)
	keys, next, renewed := maps.Clone(part.keys), maps.Clone(part.next), maps.Clone(part.renewed)
	if renewed == nil {
		renewed = map[string]int{}
	}
	for name, text := range r.Certificates {
		if next[name].Belongs(text) {
			keys[name] = next[name]
			renewed[name]++
			if part.exposed == name {
				part.exposed = ""
			}
		}
		delete(next, name)
	}
	peerCA, clientCA := orElse(r.PeerCA, part.peerCA), orElse(r.ClientCA, part.clientCA)
	if r.Marker.Phase == api.PhaseFormed {
		if err := c.mayHandOver(r.Marker); err != nil {
			return api.Done{}, err
		}
		c.world.handedOver[r.Marker.ClusterID] = true
	}
	part.clientCRL = orElse(r.ClientCRL, part.clientCRL)
	part.renewed = renewed
	part.keys, part.next, part.certificates, part.peerCA, part.clientCA = keys, next, certificates, peerCA, clientCA
	part.selected, part.flags, part.unit.Text = r.Store, slices.Clone(r.Flags), r.Unit
	now := configured{selected: r.Store, unit: r.Unit, flags: part.flags}
	if m := c.directory(r.Marker.DataDir).member; m != nil {
		now.index = m.Index
	}
	part.configured = append(part.configured, now)
	delete(c.wanted, demand{c.cluster, r.Store})
	if c.mustBeAlone(part) == "" {
		part.recovery = nil
	}
	r.Marker.Former = part.marker.Former
	c.record(part, c.keepFormed(part.marker, r.Marker))
	return api.Done{}, nil
}

// mayHandOver fails the test if a host is told to be another member than its data belongs to.
func (c call) mayHandOver(marker api.Marker) error {
	m := c.directory(marker.DataDir).member
	if m == nil && marker.ClusterID != "" {
		return nil // it has lost its data, and the guard sees to that
	}
	if m == nil || m.Cluster != marker.ClusterID || m.ID != marker.MemberID {
		return c.world.unexpected("%s: handed over as member %q of cluster %q, and its data is %+v", c.Address, marker.MemberID, marker.ClusterID, m)
	}
	return nil
}

// start enables the unit and starts it.
func (c call) start(api.StartRequest) (api.Done, error) {
	part := c.on(c.cluster)
	if part.marker == nil {
		return api.Done{}, refuse("this host carries no cluster %s", c.cluster)
	}
	if err := c.mayStart(part); err != nil {
		return api.Done{}, err
	}
	if part.unit.Text == "" {
		return api.Done{}, failed("unit %s not found", api.Unit(c.cluster))
	}
	c.bringUp(part)
	return api.Done{}, nil
}

// mayStart refuses to start a member that a restore has fenced, or that an interrupted recovery has left.
func (c call) mayStart(part *installation) error {
	if under := part.restore; under != nil && under.Stage == api.StageFenced {
		return refuse("a restore of %s is under way: its member must not be started", under.Source)
	}
	if why := c.mustBeAlone(part); why != "" {
		return refuse("member %s of cluster %s: %s", part.marker.Member, c.cluster, why)
	}
	return nil
}

// bringUp enables the unit and starts it.
func (c call) bringUp(part *installation) {
	part.recovery = nil
	part.unit.Enabled = true
	part.unit.Start()
	if c.DoomedStart != "" {
		part.unit.Fail(c.DoomedStart)
	}
	c.world.moment()
}

// restart stops the unit if it runs, enables it and starts it.
func (c call) restart(r api.RestartRequest) (api.Done, error) {
	if err := c.mayChange(r.Owner); err != nil {
		return api.Done{}, err
	}
	part := c.on(c.cluster)
	if err := c.mayStart(part); err != nil {
		return api.Done{}, err
	}
	if part.unit.Text == "" {
		return api.Done{}, failed("unit %s not found", api.Unit(c.cluster))
	}
	c.halt(part, "restart")
	c.bringUp(part)
	return api.Done{}, nil
}

// stop stops the unit, which stays enabled unless it is to be disabled.
func (c call) stop(r api.StopRequest) (api.Done, error) {
	if err := c.mayChange(r.Owner); err != nil {
		return api.Done{}, err
	}
	part := c.on(c.cluster)
	c.halt(part, "stop")
	part.unit.Enabled = part.unit.Enabled && !r.Disable
	return api.Done{}, nil
}

// setAside stops the member and moves its data directory aside: the guard lets no member start until the host is
// prepared again.
func (c call) setAside(r api.SetAsideRequest) (api.SetAside, error) {
	if r.Why == "" || len(r.Why) > 32 || strings.ContainsFunc(r.Why, func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' }) {
		return api.SetAside{}, refuse("%q cannot be a part of a directory's name", r.Why)
	}
	if err := c.mayChange(r.Owner); err != nil {
		return api.SetAside{}, err
	}
	part := c.on(c.cluster)
	if part.restore != nil {
		return api.SetAside{}, refuse("a restore of %s is under way, which keeps the data that was there before", part.restore.Source)
	}
	if err := c.mustHaveDisk(part); err != nil {
		return api.SetAside{}, err
	}
	ran := part.unit.Active != "" && part.unit.Active != "inactive"
	c.unlisted(part, "set aside")
	c.halt(part, "set aside")
	if m := c.directory(part.marker.DataDir).member; r.Unwritten && m != nil && m.Log().Revision > 1 {
		if ran {
			c.bringUp(part)
		}
		return api.SetAside{}, refuse("somebody has written to the data in %s (revision %d)", part.marker.DataDir, m.Log().Revision)
	}
	part.unit.Enabled, part.flags, part.recovery = false, nil, nil
	return api.SetAside{Path: c.moveMemberAside(*part.marker, r.Why)}, nil
}

// retire removes the cluster from the host. A host that carries no part of it is done.
func (c call) retire(r api.RetireRequest) (api.Retired, error) {
	if c.on(c.cluster).marker == nil {
		return api.Retired{}, nil
	}
	if err := c.mayChange(r.Owner); err != nil {
		return api.Retired{}, err
	}
	part := c.on(c.cluster)
	if err := c.mustHaveDisk(part); err != nil {
		return api.Retired{}, err
	}
	c.unlisted(part, "retire")
	part.unit.Stop()
	dir, path := part.marker.DataDir, ""
	if part.restore != nil {
		c.removeFetched(dir, "")
	}
	if r.Purge {
		stays := func(path string) bool { return slices.Contains(part.marker.Former, path) }
		for _, aside := range c.aside(dir) {
			if !stays(aside) {
				delete(c.data, aside)
			}
		}
		delete(c.data, dir)
		c.snapshots[dir] = slices.DeleteFunc(c.snapshots[dir], func(path string) bool { return !stays(path) })
	} else {
		path = c.moveMemberAside(*part.marker, "retired")
	}
	delete(c.clusters, c.cluster)
	c.sweep(c.cluster, part.selected)
	c.world.convene()
	return api.Retired{Path: path}, nil
}

// moveMemberAside moves a member's data aside, and returns where it lies, even if a killed call has moved it.
func (h *Host) moveMemberAside(marker api.Marker, why string) string {
	if to := h.moveAside(marker.DataDir, why); to != "" {
		return to
	}
	for _, moved := range slices.Backward(h.aside(marker.DataDir)) {
		m := h.data[moved].member
		if strings.HasPrefix(moved, marker.DataDir+"."+api.AsidePrefix+why+"-") && !slices.Contains(marker.Former, moved) && (marker.ClusterID == "" || m != nil && m.Cluster == marker.ClusterID && m.ID == marker.MemberID) {
			return moved
		}
	}
	return ""
}

// moveAside moves a data directory to where nothing takes it for data, and returns the place, or "" if there was
// nothing to move.
func (h *Host) moveAside(dir, why string) string {
	held := h.directory(dir)
	delete(h.data, dir)
	if held.empty() {
		return ""
	}
	to := h.asideOf(dir, why)
	h.data[to] = held
	return to
}

// asideOf returns a place for what is moved aside from a data directory.
func (h *Host) asideOf(dir, why string) string {
	return fmt.Sprintf("%s.%s%s-%d", dir, api.AsidePrefix, why, len(h.aside(dir))+1)
}

// sweep removes the stores that no cluster selects, except for those that another cluster's run demands, or may have
// installed: those younger than an hour, or than the first of the runs that are under way.
func (h *Host) sweep(cluster, dropped string) {
	since := h.world.Clock
	for other, lock := range h.locks {
		if began := lock.holder.Since; other != cluster && began.Before(since) {
			since = began
		}
	}
	maps.DeleteFunc(h.stores, func(store string, brought time.Time) bool {
		return !h.selectedByAny(store) && !h.wantedByOthers(cluster, store) && (store == dropped || since.Sub(brought) > time.Hour)
	})
}

// record writes the marker.
func (c call) record(part *installation, marker api.Marker) {
	c.clusters[c.cluster] = part
	if part.marker == nil || part.marker.DataDir != marker.DataDir || part.marker.Token != marker.Token || marker.Phase != api.PhaseFormed {
		part.progress = 0
	}
	part.marker = &marker
}

func refuse(format string, args ...any) error {
	return api.Refuse(format, args...)
}

func failed(format string, args ...any) error {
	return &api.Error{Code: api.CodeFailed, Message: fmt.Sprintf(format, args...)}
}

func orElse(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

// busy returns the error of a call without the lock that somebody else holds.
func busy(cluster string, held *lock) error {
	return &api.Error{Code: api.CodeBusy, Message: fmt.Sprintf("cluster %s is locked by %s", cluster, held.holder), Holder: &held.holder}
}
