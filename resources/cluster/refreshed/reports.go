// Package refreshed keeps what the last refresh has found out about the hosts in private state, from which plans are
// made.
package refreshed

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/clocks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/private"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
)

// reportsKey is the key of private state with the last reports of the hosts. A plan is made from them, since it asks no
// host itself. They hold no secret: hosts report none.
const reportsKey = "sight"

// Reports are the hosts' reports at the last refresh.
type Reports struct {
	Members []Report `json:"seats"`
	// At is the time that plans take for that of the refresh, if a certificate had expired or was due by then. A time
	// that changed with every refresh would change the state each time.
	At time.Time `json:"at,omitzero"`
	// Acknowledged are the log entries that members, by their ID, had on disk at the last apply that observed the hosts
	// twice. A refresh keeps them as they are, for the same reason.
	Acknowledged map[string]uint64 `json:"acknowledged,omitempty"`
}

// Report is the report of one host.
type Report struct {
	Name        string           `json:"name"`
	Address     string           `json:"address"`
	Contact     api.Contact      `json:"contact"`
	Observation *api.Observation `json:"observation,omitempty"`
	// Unreachable: the host could not be asked; why reads differently each time.
	Unreachable bool        `json:"unreachable,omitempty"`
	Barred      api.Barrier `json:"barred,omitempty"` // the host answered, and this kept the refresh out
	Data        string      `json:"data,omitempty"`   // as in the host's report
	// Skew is that of its clock, in nanoseconds, if clocks differ too much to sign certificates.
	Skew *time.Duration `json:"skew,omitempty"`
	// Target is the way to it, if it is the host of no member in the state.
	Target *providerdata.SSHTarget `json:"reach,omitempty"`
}

// Acknowledging returns the reports with the log entries that members are known to have had on disk, by earlier reports
// and since. It forgets members that the list of no serving member has any more. Where nobody serves, no list is known
// to be the cluster's, and nothing is forgotten: then it matters most who had what.
func (s Reports) Acknowledging(known ...map[string]uint64) Reports {
	listed, serves := map[string]bool{}, false
	for _, member := range s.Members {
		if member.Observation == nil || !member.Observation.Member.Healthy {
			continue
		}
		for _, entry := range member.Observation.Member.Members {
			listed[entry.ID], serves = true, true
		}
	}
	s.Acknowledged = map[string]uint64{}
	for _, entries := range known {
		// The last value counts: it is lower if all machines were rolled back together, and serve.
		maps.Copy(s.Acknowledged, entries)
	}
	maps.DeleteFunc(s.Acknowledged, func(id string, index uint64) bool { return index == 0 || serves && !listed[id] })
	return s
}

// errUnreachable is the error of a host in kept reports.
var errUnreachable = errors.New("it could not be asked")

// New returns the reports of members' hosts and of others, without what changes by itself.
func New(reports bootstrap.Reports, members []membership.Member, others providerdata.Routes, at time.Time) Reports {
	s := Reports{At: at}
	skewed := reports.Clocks().MaySign(members) != nil
	for m, report := range reports {
		kept := Report{Name: m.Name, Address: m.Address, Contact: report.Contact, Data: report.Data}
		if target, other := others[m]; other {
			kept.Target = &target
		} else if !slices.Contains(members, m) {
			continue
		}
		kept.Unreachable, kept.Barred = report.Err != nil, bootstrap.Barrier(report.Err)
		kept.Contact.Time = time.Time{}
		if skewed && report.Clock.Known {
			skew := awayFromZero(report.Clock.Skew())
			kept.Skew = &skew
		}
		kept.Contact.Holders = nil // the process is another one each time
		// Whether there is room for a store is a question of megabytes.
		kept.Contact.FreeBytes = min(kept.Contact.FreeBytes, 1<<30)
		kept.Contact.DataFreeBytes = min(kept.Contact.DataFreeBytes, 1<<30)
		if report.Observation != nil {
			o := still(*report.Observation)
			o.Member.Connected = connections(o.Member, reports)
			o.Member.ConnectionsUnknown = o.Member.ConnectionsUnknown && o.Member.Healthy && !allShown(o.Member, reports)
			kept.Observation = &o
		}
		s.Members = append(s.Members, kept)
	}
	slices.SortFunc(s.Members, func(a, b Report) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	})
	return s
}

// skewUnit is the unit in which the skew of a clock is kept: a smaller one would change the state with every refresh.
const skewUnit = 10 * time.Second

// awayFromZero rounds a skew up to whole units, so that a skew that is too large stays too large: the limit is a whole
// number of units.
func awayFromZero(skew time.Duration) time.Duration {
	rounded := skew.Truncate(skewUnit)
	switch {
	case rounded < skew:
		rounded += skewUnit
	case rounded > skew:
		rounded -= skewUnit
	}
	return rounded
}

// still returns an observation without what changes by itself, and without what no plan needs. It keeps how a log ends
// if the member does not serve.
func still(o api.Observation) api.Observation {
	o.Facts = api.Facts{MachineID: o.Facts.MachineID, BootID: o.Facts.BootID, Architecture: o.Facts.Architecture, MemoryBytes: o.Facts.MemoryBytes, FirstPort: o.Facts.FirstPort}
	o.Listeners, o.Unit.Journal, o.Unit.MainPID, o.Unit.Restarts, o.Unit.Queued = nil, nil, 0, 0, false
	o.Data.FreeBytes, o.Data.Aside = 0, nil
	o.Member.Revision, o.Member.DBSizeBytes, o.Member.DBUsedBytes = 0, 0, 0
	o.Member.Error, o.Member.HealthError = "", ""
	o.Member.AppliedIndex, o.Member.RaftTerm, o.Member.RaftIndex = 0, 0, 0
	if l := o.Data.Log; l != nil && l.Applied <= l.Index { // Applied cannot be read while the database is open
		kept := *l
		kept.Applied, kept.Revision = 0, 0
		o.Data.Log = &kept
	}
	if b := o.Backup; b != nil {
		o.Backup = &api.BackupStatus{Digest: b.Digest, Units: b.Units, Enabled: b.Enabled, NeedReload: b.NeedReload}
	}
	if r := o.Renewal; r != nil {
		o.Renewal = &api.RenewalStatus{Peers: r.Peers, Clients: r.Clients, Damaged: r.Damaged, Units: r.Units, Enabled: r.Enabled, NeedReload: r.NeedReload}
	}
	if f := o.Firewall; f != nil {
		kept := *f
		kept.Addresses = nil
		o.Firewall = &kept
	}
	o.Certificates = maps.Clone(o.Certificates)
	return o
}

// shownByHosts returns the IDs of the members that hosts show as their own, and that may run there.
func shownByHosts(reports bootstrap.Reports) map[string]bool {
	shown := map[string]bool{}
	for _, report := range reports {
		if o := report.Observation; report.Err == nil && o != nil && !bootstrap.IsDown(*o) {
			if o.Marker != nil {
				shown[o.Marker.MemberID] = true
			}
			shown[o.Member.MemberID] = true
		}
	}
	return shown
}

// allShown tells whether hosts show every member that one has in its list.
func allShown(member api.Member, reports bootstrap.Reports) bool {
	shown := shownByHosts(reports)
	return !slices.ContainsFunc(member.Members, func(l api.ListedMember) bool { return !shown[l.ID] })
}

// connections returns the IDs of members that a member is kept to be connected with. A member that tells its
// connections late would change the state, so they count only for members that no host shows as its own: of these a
// plan asks whether they run. Members that serve are connected with each other in any case.
func connections(member api.Member, reports bootstrap.Reports) (kept []string) {
	shown := shownByHosts(reports)
	for _, report := range reports {
		if o := report.Observation; report.Err == nil && o != nil {
			if id := o.Member.MemberID; member.Healthy && o.Member.Healthy && id != member.MemberID {
				kept = append(kept, id)
			}
		}
	}
	for _, id := range member.Connected {
		if !shown[id] {
			kept = append(kept, id)
		}
	}
	slices.Sort(kept)
	return kept
}

// Reports returns the reports as planners take them.
func (s Reports) Reports() bootstrap.Reports {
	reports := bootstrap.Reports{}
	for _, member := range s.Members {
		report := bootstrap.Report{Contact: member.Contact, Observation: member.Observation, Data: member.Data}
		if member.Skew != nil {
			report.Clock = clocks.Clock{From: *member.Skew, To: *member.Skew, Known: true}
		}
		if member.Unreachable {
			report.Err = errUnreachable
			if member.Barred != "" {
				report.Err = &api.Barred{Barrier: member.Barred, Err: errUnreachable}
			}
		}
		reports[membership.Member{Name: member.Name, Address: member.Address}] = report
	}
	return reports
}

// Others returns how to reach the hosts that carry no member in the state.
func (s Reports) Others() providerdata.Routes {
	others := providerdata.Routes{}
	for _, member := range s.Members {
		if member.Target != nil {
			others[membership.Member{Name: member.Name, Address: member.Address}] = *member.Target
		}
	}
	return others
}

// Keep writes the reports into private state: JSON, which Terraform requires, with the gzip of JSON in it.
func (s Reports) Keep(ctx context.Context, private private.State) (diags diag.Diagnostics) {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	err := json.NewEncoder(zip).Encode(s)
	if err == nil {
		err = zip.Close()
	}
	text, e := json.Marshal(packed.Bytes())
	if err != nil || e != nil {
		diags.AddError("The last refresh of the hosts cannot be kept", fmt.Sprint(err, e))
		return diags
	}
	return private.SetKey(ctx, reportsKey, text)
}

// Last reads the reports back; false: there are none.
func Last(ctx context.Context, private private.State) (s Reports, found bool, diags diag.Diagnostics) {
	text, diags := private.GetKey(ctx, reportsKey)
	if diags.HasError() || len(text) == 0 {
		return s, false, diags
	}
	var packed []byte
	err := json.Unmarshal(text, &packed)
	if err == nil {
		var zip *gzip.Reader
		if zip, err = gzip.NewReader(bytes.NewReader(packed)); err == nil {
			err = json.NewDecoder(zip).Decode(&s)
		}
	}
	if err != nil {
		diags.AddError("The last refresh of the hosts cannot be read", fmt.Sprintf("What this state keeps of it is damaged: %s. Refresh (terraform apply -refresh-only), which reads the hosts again.", err))
	}
	return s, err == nil, diags
}

// Unreachable returns the members whose hosts could not be asked.
func (s Reports) Unreachable() (away []membership.Member) {
	for _, member := range s.Members {
		if member.Unreachable {
			away = append(away, member.Member())
		}
	}
	return away
}

// Member returns the member on the host.
func (s Report) Member() membership.Member {
	return membership.Member{Name: s.Name, Address: s.Address}
}

// DiskAway tells whether the member's own host answered, and the disk of its data was not mounted.
func (r Report) DiskAway() bool {
	return !r.Unreachable && r.Observation != nil && r.Observation.GuardCheck == api.GuardMount
}
