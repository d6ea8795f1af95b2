package exchange

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
)

// TestUnfollowedRotations: which members are not ready for the next phase of etcd_pki, and what the refusal says about
// them.
func TestUnfollowedRotations(t *testing.T) {
	member := func(by, trusts string, change ...func(*membership.MemberStatus)) membership.MemberStatus {
		s := membership.MemberStatus{Member: membership.Member{Name: "a", Address: "192.0.2.11"}, Desired: true, Role: membership.Voter, State: membership.Healthy}
		s.Issued.By.Peers, s.Issued.By.Clients = membership.AuthorityNames(by), membership.AuthorityNames(by)
		s.Issued.Trusts.Peers, s.Issued.Trusts.Clients = membership.AuthorityNames(trusts), membership.AuthorityNames(trusts)
		for _, c := range change {
			c(&s)
		}
		return s
	}
	away := func(s *membership.MemberStatus) { s.State, s.Issued = membership.Unreachable, membership.Issued{} }
	leaves := func(s *membership.MemberStatus) { s.Desired = false }
	joins := func(s *membership.MemberStatus) {
		s.Role, s.State, s.Issued = membership.Absent, membership.Missing, membership.Issued{}
	}
	wiped := func(s *membership.MemberStatus) { s.State, s.Issued = membership.Missing, membership.Issued{} }
	of := func(signs, goes string) providerdata.Rotation {
		return providerdata.Rotation{Of: "prod", Peers: true, Signs: signs, Goes: goes, Was: `phase = "trust"`}
	}
	for name, test := range map[string]struct {
		rotation providerdata.Rotation
		member   membership.MemberStatus
		says     string // empty: the rotation is not refused
	}{
		"the new one signs":                 {of("new", ""), member("old", "new old"), ""},
		"the new one is not trusted":        {of("new", ""), member("old", "old"), "for peers it trusts authority old, and not new, which is to sign"},
		"a stopped one that does not":       {of("new", ""), member("old", "old", func(s *membership.MemberStatus) { s.State = membership.Stopped }), "and not new"},
		"it does not tell":                  {of("new", ""), member("old", ""), "it does not tell which authorities for peers its process trusts"},
		"its host is away":                  {of("new", ""), member("old", "old", away), "nobody knows which authorities it trusts"},
		"it leaves, and its host is away":   {of("new", ""), member("old", "old", away, leaves), ""},
		"it leaves, and has not followed":   {of("new", ""), member("old", "old", leaves), "and not new"},
		"it joins":                          {of("new", ""), member("", "", joins), ""},
		"it is configured anew":             {of("new", ""), member("", "", wiped), ""},
		"the old one goes":                  {of("new", "old"), member("new", "new old"), ""},
		"the old one goes, and is in use":   {of("new", "old"), member("new old", "new old"), "its certificates for peers are of authority old, which is to be given up"},
		"the new one goes, which is unused": {of("old", "new"), member("old", "old"), ""},
		"the new one goes, and is in use":   {of("old", "new"), member("new", "new old"), "are of authority new"},
	} {
		t.Run(name, func(t *testing.T) {
			diags := RefuseUnfollowed("prod", []providerdata.Rotation{test.rotation}, membership.ClusterStatus{Members: []membership.MemberStatus{test.member}}, nil)
			switch {
			case test.says == "" && diags.HasError():
				t.Fatalf("it is refused: %v", diags)
			case test.says != "" && !diags.HasError():
				t.Fatal("it is not refused")
			case test.says != "":
				for _, text := range []string{"a (192.0.2.11): ", test.says, `et phase = "trust" in rotation of etcd_pki "prod" again`} {
					if !strings.Contains(diags[0].Detail(), text) {
						t.Errorf("it does not say %q: %s", text, diags[0].Detail())
					}
				}
			}
		})
	}
}

// TestWhomRotationsConcern: among several etcd_pki and clusters of one run, a rotation concerns the clusters that use
// its authorities.
func TestWhomRotationsConcern(t *testing.T) {
	made := func(name string) (authority.Model, providerdata.Rotation) {
		authorities, err := pki.NewAuthorities(name, pki.DefaultAlgorithm, time.Hour, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		model, err := authority.Of(authorities)
		if err != nil {
			t.Fatal(err)
		}
		peers, err := cert.ParseOne(authorities.Peers.CertificatePEM())
		if err != nil {
			t.Fatal(err)
		}
		return model, providerdata.Rotation{Of: name, Peers: true, Signs: cert.Name(peers), Goes: "old"}
	}
	prod, ofProd := made("prod")
	_, ofStaging := made("staging")
	var run providerdata.Rotations
	for _, rotation := range []providerdata.Rotation{ofProd, ofStaging, ofProd} { // an apply plans again
		run.Plan(rotation)
	}
	only := func(want providerdata.Rotation, pki authority.Model, status membership.ClusterStatus) {
		t.Helper()
		if concerned := Concerned(run.Planned(), pki, status); len(concerned) != 1 || concerned[0] != want {
			t.Errorf("it concerns %v, want %v", concerned, want)
		}
	}
	only(ofProd, prod, membership.ClusterStatus{})
	prod.Peer.Certificate = types.StringUnknown()
	trusts := membership.MemberStatus{Issued: membership.Issued{Trusts: membership.Authorities{Peers: membership.NamesOf(ofStaging.Signs)}}}
	only(ofStaging, prod, membership.ClusterStatus{Members: []membership.MemberStatus{trusts}})
	if concerned := Concerned(run.Planned(), prod, membership.ClusterStatus{}); len(concerned) != 0 {
		t.Errorf("it concerns a cluster that nothing is known of: %v", concerned)
	}
}
