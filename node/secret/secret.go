// Package secret has the one type for texts that must not leak by accident: keys, passphrases, passwords, on the
// provider's side and on hosts. It imports only the standard library.
package secret

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
)

// Text is a text that no verb of fmt, no slog handler and no JSON encoder prints. The zero Text is empty. Only Reveal
// and Revealed, for hosts, return it.
//
// It is a pointer because fmt calls no methods on values in unexported fields of other structs; there it prints an
// address instead of the text.
type Text struct {
	text *string
	open bool // it encodes as what it is: see Revealed
}

// New returns a secret text.
func New(text string) Text {
	if text == "" {
		return Text{}
	}
	return Text{text: &text}
}

// Reveal returns the text, for the one place that has to use it.
func (t Text) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// IsEmpty reports whether there is no text to keep.
func (t Text) IsEmpty() bool { return t.text == nil }

// IsBlank reports whether there is nothing but white space.
func (t Text) IsBlank() bool { return strings.TrimSpace(t.Reveal()) == "" }

// IsZero is IsEmpty, for the omitzero of encoding/json.
func (t Text) IsZero() bool { return t.IsEmpty() }

// Equal compares the texts themselves.
func (t Text) Equal(other Text) bool { return t.Reveal() == other.Reveal() }

// These stand in place of a text.
const (
	redacted = "(secret)"
	none     = "(none)"
)

// String says whether there is a secret, and never which.
func (t Text) String() string {
	if t.IsEmpty() {
		return none
	}
	return redacted
}

// Format prints String for every verb: %v, %+v, %#v, %q, %x and the rest.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue passes String to slog.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText encodes String, or the text itself in a Revealed copy.
func (t Text) MarshalText() ([]byte, error) {
	if t.open {
		return []byte(t.Reveal()), nil
	}
	return []byte(t.String()), nil
}

// UnmarshalText decodes a text. It refuses the placeholder that MarshalText encodes, which would otherwise be taken
// for the secret.
func (t *Text) UnmarshalText(text []byte) error {
	if s := string(text); s == redacted || s == none {
		return errors.New("a secret was left out of what was sent or stored")
	}
	*t = New(string(text))
	return nil
}

// Revealed returns a copy of a value whose texts encode as they are, in whatever structs, pointers, slices and maps
// they lie: for a request to a host, or for a file that only root reads. The copy still prints as redacted. It must
// never be encoded for a log.
func Revealed[T any](value T) T {
	var copied T
	reflect.ValueOf(&copied).Elem().Set(reveal(reflect.ValueOf(&value).Elem()))
	return copied
}

var textType = reflect.TypeFor[Text]()

func reveal(v reflect.Value) reflect.Value {
	copied := reflect.New(v.Type()).Elem()
	copied.Set(v)
	switch {
	case v.Type() == textType:
		text := v.Interface().(Text)
		text.open = true
		copied.Set(reflect.ValueOf(text))
	case (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface || v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.IsNil():
	case v.Kind() == reflect.Pointer:
		copied.Set(reflect.New(v.Type().Elem()))
		copied.Elem().Set(reveal(v.Elem()))
	case v.Kind() == reflect.Interface:
		copied.Set(reveal(v.Elem()))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				copied.Field(i).Set(reveal(v.Field(i)))
			}
		}
	case v.Kind() == reflect.Slice:
		copied.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			copied.Index(i).Set(reveal(v.Index(i)))
		}
	case v.Kind() == reflect.Array:
		for i := range v.Len() {
			copied.Index(i).Set(reveal(v.Index(i)))
		}
	case v.Kind() == reflect.Map:
		copied.Set(reflect.MakeMap(v.Type()))
		for key, value := range v.Seq2() {
			copied.SetMapIndex(key, reveal(value))
		}
	}
	return copied
}
