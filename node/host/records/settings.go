package records

import (
	"encoding/json"
	"errors"
	"io/fs"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// Settings reads what units of a host go by, with secrets in it; nil: there is no such file. The error for one that no call of this
// store can have written is unreadable, and says nothing of what is in the file.
func Settings[T any](path string, unreadable error) (*T, error) {
	text, err := inside.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var settings T
	if json.Unmarshal(text, &settings) != nil {
		return nil, unreadable
	}
	return &settings, nil
}
