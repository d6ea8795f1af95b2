package cert

import (
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
)

func TestParseSerial(t *testing.T) {
	for text, want := range map[string]string{
		"0a": "a", "A": "a", "0A:1B:c2": "a1bc2", "00ff": "ff", strings.Repeat("7f", 20): strings.Repeat("7f", 20),
		"": "", "0": "", "00:00": "", "xyz": "", "0x1f": "", strings.Repeat("7f", 21): "", "1 2": "",
	} {
		serial, err := ParseSerial(text)
		if err == nil && serial.Text(16) != want || err != nil && want != "" {
			t.Errorf("%q is read as %v, %v; want %q", text, serial, err, want)
		}
	}
}

func TestRevocationLists(t *testing.T) {
	text, key := authority(t, "a")
	ca, err := ParseOne(text)
	if err != nil {
		t.Fatal(err)
	}
	ca.KeyUsage, ca.SubjectKeyId = x509.KeyUsageCRLSign, []byte{1}
	listOf := func(number int64, serials ...*big.Int) string {
		var entries []x509.RevocationListEntry
		for _, serial := range serials {
			entries = append(entries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: now})
		}
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: now, NextUpdate: now.AddDate(1, 0, 0),
			RevokedCertificateEntries: entries}, ca, key)
		if err != nil {
			t.Fatal(err)
		}
		return EncodeRevocationList(der)
	}
	numbered := func(number int64, serials ...int64) string {
		var all []*big.Int
		for _, serial := range serials {
			all = append(all, big.NewInt(serial))
		}
		return listOf(number, all...)
	}
	own, other := listOf(1, ca.SerialNumber), listOf(1, new(big.Int).Add(ca.SerialNumber, big.NewInt(1)))
	for list, revoked := range map[string]bool{own: true, other: false} {
		parsed, err := ParseRevocationList([]byte("# a comment\n" + list))
		if err != nil || IsRevoked(parsed, ca) != revoked {
			t.Errorf("revoked: %t, %v", !revoked, err)
		}
	}
	if !SameRevocationList(own, strings.ReplaceAll(own, "\n", "\r\n")) || SameRevocationList(own, other) || SameRevocationList(own, "") || !SameRevocationList("", "") {
		t.Error("lists are compared wrongly")
	}
	for name, test := range map[string]struct {
		a, b []int64
		same bool
	}{
		"in another order, one twice": {[]int64{1, 2, 1}, []int64{2, 1}, true},
		"empty":                       {nil, nil, true},
		"one more":                    {[]int64{1}, []int64{1, 2}, false},
		"one less":                    {[]int64{1, 2}, []int64{1}, false},
		"another":                     {[]int64{1, 2}, []int64{1, 3}, false},
	} {
		if SameRevocationList(numbered(1, test.a...), numbered(2, test.b...)) != test.same {
			t.Errorf("%s: the same: %t", name, !test.same)
		}
	}
	for name, bad := range map[string]string{"nothing": "", "a certificate": string(text), "two": own + other, "cut off": own[:len(own)/2],
		"no list": EncodeRevocationList([]byte("x")), "a key beside it": "-----BEGIN PRIVATE KEY-----\n" + own} {
		if _, err := ParseRevocationList([]byte(bad)); err == nil {
			t.Errorf("%s passes for a list", name)
		}
	}
}
