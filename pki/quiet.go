package pki

import (
	"errors"

	cferr "github.com/cloudflare/cfssl/errors"
	"github.com/cloudflare/cfssl/log"
)

// The library cfssl logs to stderr through a global logger: keys and certificates at Info, and its returned errors at
// Error. Nobody reads a provider's stderr, so the logger is limited to fatal messages.
func init() { log.Level = log.LevelFatal }

// plain returns the message of a cfssl error, whose text is a JSON object.
func plain(err error) error {
	if e, ok := errors.AsType[*cferr.Error](err); ok {
		return errors.New(e.Message)
	}
	return err
}
