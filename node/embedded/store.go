package embedded

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Store is the store with one version of etcd, for one architecture.
type Store struct {
	EtcdVersion  string // 3.7.3
	Architecture string // as Go names it: amd64, arm64
	SHA256       string // of the binary, in hexadecimal
}

// Name returns the name of the store's file, which has all of this in it.
func (s Store) Name() string {
	return fmt.Sprintf("store-%s-linux-%s-%s.gz", s.EtcdVersion, s.Architecture, s.SHA256)
}

var fileName = regexp.MustCompile(`^store-([0-9]+\.[0-9]+\.[0-9]+)-linux-(amd64|arm64)-([0-9a-f]{64})\.gz$`)

// Parse returns the store that a file holds, by the file's name.
func Parse(file string) (Store, error) {
	parts := fileName.FindStringSubmatch(file)
	if parts == nil {
		return Store{}, fmt.Errorf("%q is no name of a store: want store-ETCD-linux-ARCH-SHA256.gz; remove it, and build anew: %s", file, buildCommand)
	}
	return Store{EtcdVersion: parts[1], Architecture: parts[2], SHA256: parts[3]}, nil
}

// satisfies tells whether a version satisfies a request for it, for its minor version, or for any.
func satisfies(version, desired string) bool {
	return desired == "" || version == desired || strings.Count(desired, ".") == 1 && strings.HasPrefix(version, desired+".")
}

// compareVersions orders versions by their numbers: 3.7.10 is newer than 3.7.9.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range as {
		x, _ := strconv.Atoi(as[i]) // Parse accepts only numbers
		y, _ := strconv.Atoi(bs[i])
		if order := cmp.Compare(x, y); order != 0 {
			return order
		}
	}
	return 0
}
