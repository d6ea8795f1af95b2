package ssh

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that must not leave the process by accident: no verb of fmt, no slog handler and
// no JSON encoder prints it. The zero Secret is the empty text.
//
// The text lies behind a pointer because fmt calls no method on a value that it reaches through an
// unexported field of somebody's struct; there it prints an address, and not the text.
type Secret struct{ text *string }

// NewSecret keeps a text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal returns the text, for the one place that has to use it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsEmpty reports whether there is no text to keep.
func (s Secret) IsEmpty() bool { return s.text == nil }

// String says whether there is a secret, and never which.
func (s Secret) String() string {
	if s.IsEmpty() {
		return "(none)"
	}
	return "(secret)"
}

// Format writes String for every verb: %v, %+v, %#v, %q, %x and the rest.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue gives String to slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText gives String to encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
