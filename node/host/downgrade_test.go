package host

import (
	"fmt"
	"testing"

	"go.etcd.io/etcd/api/v3/version"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// minors returns the minor version of the tested etcd, and those below it.
func minors(t *testing.T) (this, below, further string) {
	t.Helper()
	var minor int
	if _, err := fmt.Sscanf(version.Version, "3.%d.", &minor); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("3.%d", minor), fmt.Sprintf("3.%d", minor-1), fmt.Sprintf("3.%d", minor-2)
}

func TestDowngradeOfACluster(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	this, below, further := minors(t)
	eventually(t, "the cluster's version is agreed on", func() bool { return f.probe(t).ClusterVersion == this+".0" })
	downgrade := func(to string) error {
		return f.Downgrade(t.Context(), "main", api.DowngradeRequest{Owner: fleetOwner, Version: to})
	}
	mustRefuse(t, downgrade(further), "one minor version")
	mustRefuse(t, downgrade("3"), `"3"`)
	mustRefuse(t, f.Downgrade(t.Context(), "main", api.DowngradeRequest{Owner: "another"}), "another Terraform object")
	for range 2 { // the second finds it under way
		if err := downgrade(below); err != nil {
			t.Fatal(err)
		}
		if v := f.probe(t); v.Downgrade != below+".0" {
			t.Errorf("the member reads %+v", v)
		}
	}
	mustRefuse(t, downgrade(further), "under way")
	for range 2 { // the second finds none
		if err := downgrade(""); err != nil {
			t.Fatal(err)
		}
		if v := f.probe(t); v.Downgrade != "" {
			t.Errorf("the member reads %+v", v)
		}
	}
}
