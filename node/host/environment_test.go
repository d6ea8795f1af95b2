package host

import (
	"slices"
	"testing"
)

func TestMemberEnvironment(t *testing.T) {
	got := MemberEnvironment([]string{"PATH=/bin", "ETCD_QUOTA_BACKEND_BYTES=1", "ETCDCTL_ENDPOINTS=kept", "GOMEMLIMIT=1GiB",
		"HTTPS_PROXY=http://proxy:3128", "https_proxy=http://proxy:3128", "http_proxy=x", "NO_PROXY=x", "all_proxy=x", "PROXY=kept"})
	if want := []string{"PATH=/bin", "ETCDCTL_ENDPOINTS=kept", "GOMEMLIMIT=1GiB", "PROXY=kept"}; !slices.Equal(got, want) {
		t.Errorf("etcd would be given %q, want %q", got, want)
	}
}
