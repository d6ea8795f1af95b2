package host

import (
	"cmp"
	"crypto/ecdsa"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// bearing is what has to be equal of both hosts after a request.
type bearing struct {
	Error        string
	Marker       string
	UnitText     string
	Enabled      bool
	Running      bool
	Flags        []string // their names
	Selected     bool     // its store is the one that it was configured with
	Data         string
	Aside        []string // why it was moved
	Certificates map[string]string
	Served       []string // the keys whose certificates are served as they lie in their files
	Fails        string   // how the member ends at each start, and what is known of its data then
	Guard        api.GuardCheck
	Member       string
	List         []string
	Restore      string
	Backup       string
	Renewal      string
}

var asideName = regexp.MustCompile(`\.` + regexp.QuoteMeta(api.AsidePrefix) + `([a-z-]*[a-z])-`)

// bear describes a host in words that both parties share.
func (s *stage) bear(at string) bearing {
	o, err := s.observe(at)
	if err != nil {
		return bearing{Error: string(asError(err).Code)}
	}
	b := bearing{
		UnitText: o.Unit.Text, Enabled: o.Unit.FileState == "enabled", Running: running(o.Unit), Selected: o.Store.Selected == s.store,
		Data: fmt.Sprintf("there %t, empty %t, of a member %t", o.Data.Exists, o.Data.Empty || !o.Data.Exists, o.Data.HasMember), Guard: o.GuardCheck, Certificates: map[string]string{},
	}
	if m := o.Marker; m != nil {
		var added []string
		for _, url := range m.Added {
			added = append(added, s.named(url))
		}
		b.Marker = fmt.Sprintf("%s of %s, %s, token %s, IDs %s %s, added %v", m.Member, m.Owner, m.Phase, m.Token, s.cluster(m.ClusterID), s.named(m.MemberID), added)
	}
	for _, flag := range o.Flags {
		name, _, _ := strings.Cut(flag, "=")
		b.Flags = append(b.Flags, name)
	}
	for _, dir := range o.Data.Aside {
		why := "?"
		if found := asideName.FindStringSubmatch(path.Base(dir)); found != nil {
			why = found[1]
		}
		b.Aside = append(b.Aside, why)
	}
	slices.Sort(b.Aside)
	for name, c := range o.Certificates {
		if c.PEM != "" || c.HasKey {
			b.Certificates[name] = fmt.Sprintf("%s, its key there %t", kindOf(c.PEM), c.HasKey)
		}
	}
	for name, served := range o.Served {
		if leaf, err := cert.ParseLeaf([]byte(o.Certificates[name].PEM)); err == nil && cert.InfoOf(leaf).SHA256 == served.SHA256 {
			b.Served = append(b.Served, name)
		}
	}
	slices.Sort(b.Served)
	if m := o.Member; m.Responding {
		b.Member = fmt.Sprintf("%s healthy %t, learner %t, led %t", s.named(m.MemberID), m.Healthy, m.Learner, m.Leader != "")
		for _, alarm := range m.Alarms {
			kind, id, _ := strings.Cut(alarm, " ")
			b.Member += fmt.Sprintf(", %s of %s", kind, s.named(id))
		}
		for _, l := range m.Members {
			b.List = append(b.List, fmt.Sprintf("%q at %s, learner %t", l.Name, s.named(l.PeerURLs[0]), l.Learner))
		}
		slices.Sort(b.List)
	}
	if o.Unit.Looping {
		b.Fails = fmt.Sprintf("its data damaged %t, differs %t, with its own hash %t", o.Data.Damage != "", o.Data.Differs, o.Data.Own != nil)
		if l := o.Data.Log; l != nil {
			b.Fails += fmt.Sprintf(", log damaged %t, database damaged %t, corrupt %t, it has acknowledged more %t", l.Error != "", l.DatabaseError != "", l.Corrupt, l.Acknowledged > l.Index)
		}
	}
	if r := o.Restore; r != nil {
		b.Restore = fmt.Sprintf("%s of %s, enabled before %t", r.Stage, r.Source, r.Enabled)
	}
	if o.Backup != nil {
		b.Backup = o.Backup.Digest
	}
	b.Renewal = renewalOf(o)
	return b
}

// kindOf returns the kind of key that a certificate is for.
func kindOf(certificate string) string {
	leaf, err := cert.ParseLeaf([]byte(certificate))
	if err != nil {
		return "not there"
	}
	if public, ok := leaf.PublicKey.(*ecdsa.PublicKey); ok {
		return public.Params().Name
	}
	return leaf.PublicKeyAlgorithm.String()
}

// named returns the name of the member with an ID or a peer URL, or the text itself.
func (s *stage) named(text string) string {
	for name, id := range s.ids {
		if id == text && text != "" {
			return name
		}
	}
	for _, name := range agreementMembers {
		if s.place(name).peerURL() == text {
			return name
		}
	}
	return cmp.Or(s.names[text], text)
}

func (s *stage) cluster(id string) string {
	if id == s.clusterID && id != "" {
		return "ours"
	}
	return cmp.Or(s.names[id], id)
}
