package records

import (
	"encoding/json"
	"errors"
	"io/fs"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// Settings reads the settings of a host's units, which hold secrets; nil: there is no such file. Of a file that no call
// of this store can have written it returns the error unreadable, which shows nothing of the file.
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
