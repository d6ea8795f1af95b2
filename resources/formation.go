package resources

import (
	"encoding/hex"
	"fmt"
	"io"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
)

// tokenBytes is the length of a random token. 128 bits: two never meet by chance.
const tokenBytes = 16

// newToken makes a random token, in hexadecimal.
func newToken(random io.Reader) (string, error) {
	token := make([]byte, tokenBytes)
	if _, err := io.ReadFull(random, token); err != nil {
		return "", fmt.Errorf("make a random token: %w", err)
	}
	return hex.EncodeToString(token), nil
}

// newFormation identifies a new attempt to form a cluster. The initial-cluster-token is another one
// each time, so that a new cluster on the same hosts has another cluster ID than the one before it.
func newFormation(cluster string, random io.Reader) (bootstrap.Formation, error) {
	owner, err := newToken(random)
	if err != nil {
		return bootstrap.Formation{}, err
	}
	return bootstrap.Formation{Owner: owner, Token: cluster + "-" + owner[:12]}, nil
}
