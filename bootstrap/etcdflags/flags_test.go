package etcdflags

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, test := range []struct{ name, value, version, says string }{
		{"max-wals", "7", "3.7", ""},
		{"max-wals", "-1", "3.7", "no number"},
		{"max-wals", "many", "", "no number"},
		{"bcrypt-cost", "4", "", ""},
		{"bcrypt-cost", "31", "", ""},
		{"bcrypt-cost", "3", "", "no number from 4 to 31"},
		{"bcrypt-cost", "32", "", "no number from 4 to 31"},
		{"warning-apply-duration", "200ms", "3.7.3", ""},
		{"warning-apply-duration", "200", "", "is no duration"},
		{"pre-vote", "false", "", ""},
		{"pre-vote", "yes", "", "neither true nor false"},
		{"metrics", "extensive", "", ""},
		{"metrics", "all", "", "none of basic, extensive"},
		{"cors", "", "", "not a text"},
		{"cors", "a\nb", "", "not a text"},
		{"peer-crl-file", "crl.pem", "", "no absolute path"},
		{"peer-crl-file", "/etc/crl.pem", "", ""},
		{"client-crl-file", "/etc/crl.pem", "", "set client_crl"},
		{"tls-min-version", "TLS1.3", "", ""},
		{"tls-min-version", "TLS1.0", "", "none of TLS1.2, TLS1.3"},
		{"cipher-suites", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "", ""},
		{"cipher-suites", "TLS_RSA_WITH_RC4_128_SHA", "", "no cipher suite"},
		{"feature-gates", "StopGRPCServiceOnDefrag=true,LeaseCheckpoint=false", "3.6", ""},
		{"feature-gates", "PriorityRequest=true", "3.7.3", ""},
		{"feature-gates", "PriorityRequest=true", "", ""},
		{"feature-gates", "PriorityRequest=true", "3.6", "etcd 3.6 has no feature gate PriorityRequest, which came with etcd 3.7"},
		{"feature-gates", "CompactHashCheck=false", "", "the provider sets the feature gate CompactHashCheck itself"},
		{"feature-gates", "LeaseCheckpoint=true,LeaseCheckpoint=false", "", "twice"},
		{"feature-gates", "LeaseCheckpoint", "", "neither true nor false"},
		{"feature-gates", "Nonsense=true", "", "no feature gate"},
		{"data-dir", "/srv", "", "set data_dir"},
		{"listen-metrics-urls", "http://0.0.0.0:1", "", "set metrics_port"},
		{"force-new-cluster", "true", "", "set recover_from"},
		{"unsafe-no-fsync", "true", "", "lose writes"},
		{"discovery-srv", "example.com", "", "looked up nowhere"},
		{"quota-backend-bytes", "1", "", "set settings.quota_backend_bytes"},
		{"--max-wals", "7", "", `it is "max-wals"`},
		{"max_wals", "7", "", `it is "max-wals"`},
		{"max-wals=7", "7", "", `it is "max-wals"`},
		{"experimental-warning-apply-duration", "1s", "3.6", `it is "warning-apply-duration"`},
		{"experimental-stop-grpc-service-on-defrag", "true", "3.6", `"feature-gates" = "StopGRPCServiceOnDefrag=true"`},
		{"nonsense", "1", "", "etcd has no flag --nonsense: extra_flags takes"},
		{"max-wal", "7", "", `did you mean "max-wals"?`},
		{"warnig-aply-duration", "1s", "", `did you mean "warning-apply-duration"?`},
		{"Warning_Apply_Duratoin", "1s", "", `did you mean "warning-apply-duration"?`},
		{"snapshot-cout", "1", "", "did you mean settings.snapshot_count?"},
		{"quota_backend_byte", "1", "", "did you mean settings.quota_backend_bytes?"},
	} {
		err := Check(test.name, test.value, test.version)
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s=%s, %q: %v, want %q", test.name, test.value, test.version, err, test.says)
		}
	}
}

func TestCheckTogether(t *testing.T) {
	for _, test := range []struct {
		flags map[string]string
		want  string
	}{
		{nil, ""},
		{map[string]string{"tls-min-version": "TLS1.3"}, ""},
		{map[string]string{"tls-min-version": "TLS1.3", "cipher-suites": "X"}, "cipher-suites"},
		{map[string]string{"tls-min-version": "TLS1.3", "tls-max-version": "TLS1.2"}, "tls-max-version"},
	} {
		if name, err := CheckTogether(test.flags); name != test.want || (err == nil) != (test.want == "") {
			t.Errorf("%v: %q, %v", test.flags, name, err)
		}
	}
}

// TestExtra finds what a configuration has set among all flags of a member.
func TestExtra(t *testing.T) {
	flags := map[string]string{"name": "a", "snapshot-count": "5", "tls-min-version": "TLS1.2", "cipher-suites": ModernSuites, "feature-gates": "CompactHashCheck=true,InitialCorruptCheck=true,SetMemberLocalAddr=true"}
	if extra := Extra(flags); extra != nil {
		t.Errorf("%v is set by nobody", extra)
	}
	want := map[string]string{"tls-min-version": "TLS1.3", "feature-gates": "LeaseCheckpoint=true", "max-wals": "7"}
	maps.Copy(flags, want)
	flags["feature-gates"] = "CompactHashCheck=true,InitialCorruptCheck=true,LeaseCheckpoint=true"
	if extra := Extra(flags); !maps.Equal(extra, want) {
		t.Errorf("%v, want %v", extra, want)
	}
}

// TestSetTLS: members accept TLS 1.2 with modern suites by default, and what a configuration says counts.
func TestSetTLS(t *testing.T) {
	for _, c := range []struct{ says, want map[string]string }{
		{map[string]string{}, map[string]string{"tls-min-version": "TLS1.2", "cipher-suites": ModernSuites}},
		{map[string]string{"tls-min-version": "TLS1.3"}, map[string]string{"tls-min-version": "TLS1.3"}},
		{map[string]string{"cipher-suites": "X"}, map[string]string{"tls-min-version": "TLS1.2", "cipher-suites": "X"}},
	} {
		flags := maps.Clone(c.says)
		if SetTLS(flags); !maps.Equal(flags, c.want) {
			t.Errorf("%v: members get %v, want %v", c.says, flags, c.want)
		}
	}
	if err := Check("cipher-suites", ModernSuites, ""); err != nil {
		t.Error(err)
	}
}

// TestAsked tells what a configuration says from what the provider sets by itself.
func TestAsked(t *testing.T) {
	before := []string{"--name=a", "--client-cert-auth=true", "--feature-gates=CompactHashCheck=true", "--tls-min-version=TLS1.2", "--listen-peer-urls=https://192.0.2.11:2380", "--snapshot-count=5"}
	for line, want := range map[string]bool{
		"--client-cert-auth=true": false, "--feature-gates=CompactHashCheck=true,InitialCorruptCheck=true": false, "--strict-reconfig-check=true": false, "--peer-skip-client-san-verification=true": false,
		"--feature-gates=CompactHashCheck=true,LeaseCheckpoint=true": true, "--tls-min-version=TLS1.3": true, "--listen-peer-urls=https://192.0.2.11:2381": true,
		"--cipher-suites=" + ModernSuites: false, "--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": true,
		"--snapshot-count=6": true, "--max-wals=7": true, "--max-txn-ops=9": true, "--data-dir=/srv": true,
	} {
		name, _, _ := strings.Cut(line, "=")
		after := append(slices.DeleteFunc(slices.Clone(before), func(l string) bool { return strings.HasPrefix(l, name+"=") }), line)
		if Asked(before, after) != want || Asked(after, before) != want {
			t.Errorf("%s: a configuration says it: %t, want %t", line, !want, want)
		}
	}
}

// TestOneSetsAFlag: each flag has one who sets it.
func TestOneSetsAFlag(t *testing.T) {
	var all []string
	all = append(all, Names()...)
	all = append(all, settings...)
	all = slices.AppendSeq(all, maps.Keys(owned))
	slices.Sort(all)
	if once := slices.Compact(slices.Clone(all)); len(once) != len(all) {
		t.Errorf("a flag is named twice among %v", all)
	}
}

// TestRefused holds that what the reference lists as refused is refused, and nothing that may be set.
func TestRefused(t *testing.T) {
	ours, own := Refused()
	for _, name := range append(ours, own...) {
		if CheckName(strings.Replace(name, "*", "-srv", 1)) == nil {
			t.Errorf("--%s is listed, and is not refused", name)
		}
	}
	for _, name := range Names() {
		if slices.Contains(ours, name) || slices.Contains(own, name) {
			t.Errorf("--%s is listed, and may be set", name)
		}
	}
}
