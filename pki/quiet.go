package pki

import (
	"errors"

	cferr "github.com/cloudflare/cfssl/errors"
	"github.com/cloudflare/cfssl/log"
)

// cfssl logs through a global logger to stderr: every key and certificate at Info, and at Error what
// it returns as an error as well. A provider's stderr is nobody's to read, so it is told here, once,
// to keep to what would end the process.
func init() { log.Level = log.LevelFatal }

// plain takes the message out of a cfssl error, whose text is a JSON object.
func plain(err error) error {
	if e, ok := errors.AsType[*cferr.Error](err); ok {
		return errors.New(e.Message)
	}
	return err
}
