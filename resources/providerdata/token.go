package providerdata

import (
	"encoding/hex"
	"fmt"
	"io"
)

// tokenBytes is the length of a random token: at 128 bits, two tokens are never equal by chance.
const tokenBytes = 16

// NewToken returns a random token in hexadecimal.
func NewToken(random io.Reader) (string, error) {
	token := make([]byte, tokenBytes)
	if _, err := io.ReadFull(random, token); err != nil {
		return "", fmt.Errorf("make a random token: %w", err)
	}
	return hex.EncodeToString(token), nil
}
