package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
)

const password = "opensesame"

// carrier holds a secret in every way in which requests hold secrets.
type carrier struct {
	Name   string          `json:"name"`
	Key    Text            `json:"key,omitzero"`
	None   Text            `json:"none,omitzero"`
	At     *carrier        `json:"at,omitempty"`
	All    []carrier       `json:"all,omitempty"`
	By     map[string]Text `json:"by,omitempty"`
	Any    any             `json:"any,omitempty"`
	Two    [2]Text         `json:"two"`
	Raw    json.RawMessage `json:"raw,omitempty"`
	hidden Text
}

func full() carrier {
	key := New(password)
	return carrier{
		Name: "a", Key: key, At: &carrier{Key: key}, All: []carrier{{Key: key}}, By: map[string]Text{"k": key},
		Any: &carrier{Key: key}, Two: [2]Text{key, key}, Raw: json.RawMessage(`{"n":1}`), hidden: key,
	}
}

// printed is everything that fmt, slog and encoding/json print of a value.
func printed(t *testing.T, value any) string {
	t.Helper()
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+"\n", value)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("", "value", value)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("", "value", value)
	if err := json.NewEncoder(&out).Encode(value); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestIsNotPrinted(t *testing.T) {
	value := full()
	key := New(password)
	for _, v := range []any{key, &key, value, &value, []Text{key}, map[string]Text{"k": key}, fmt.Errorf("with %v", value)} {
		text := printed(t, v)
		for _, form := range []string{password, fmt.Sprintf("%x", password), fmt.Sprintf("%X", password)} {
			if strings.Contains(text, form) {
				t.Errorf("a %T prints its secret: %s", v, text)
			}
		}
	}
	if key.Reveal() != password || !(Text{}).IsEmpty() || !New("").IsEmpty() || New("").Reveal() != "" || !New(" \n").IsBlank() || key.IsBlank() {
		t.Error("a secret does not give out what it keeps")
	}
	if !key.Equal(New(password)) || key.Equal(New("other")) || key.Equal(Text{}) {
		t.Error("secrets do not compare by what they keep")
	}
}

// TestRevealed: a copy that is meant for a host encodes every secret and still prints none, and the original stays as
// it is.
func TestRevealed(t *testing.T) {
	value := full()
	copied := Revealed(value)
	text, err := json.Marshal(copied)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(text), password); got != 7 {
		t.Errorf("%d secrets of 7 are in %s", got, text)
	}
	if strings.Contains(string(text), "none") || !strings.Contains(string(text), `"raw":{"n":1}`) {
		t.Errorf("it encodes as %s", text)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if said := fmt.Sprintf(verb, copied); strings.Contains(said, password) {
			t.Errorf("a copy prints by %s: %s", verb, said)
		}
	}
	if !reflect.DeepEqual(value, full()) {
		t.Error("the original was changed")
	}
	if again, err := json.Marshal(value); err != nil || strings.Contains(string(again), password) {
		t.Errorf("the original encodes as %s, %v", again, err)
	}
	var body any = value // as requests are passed on
	if text, err := json.Marshal(Revealed(body)); err != nil || !strings.Contains(string(text), password) {
		t.Errorf("a value of any type encodes as %s, %v", text, err)
	}
	if text, err := json.Marshal(Revealed[any](nil)); err != nil || string(text) != "null" {
		t.Errorf("nothing encodes as %s, %v", text, err)
	}
}

// TestUnmarshal: a secret arrives as it was sent, and one that was left out is empty.
func TestUnmarshal(t *testing.T) {
	text, err := json.Marshal(Revealed(carrier{Key: New(password)}))
	if err != nil {
		t.Fatal(err)
	}
	var back carrier
	if err := json.Unmarshal(text, &back); err != nil || back.Key.Reveal() != password || !back.None.IsEmpty() {
		t.Errorf("it reads back as %q, %v", back.Key.Reveal(), err)
	}
	if again, err := json.Marshal(back); err != nil || strings.Contains(string(again), password) {
		t.Errorf("what was read encodes as %s, %v", again, err)
	}
	left, err := json.Marshal(carrier{Key: New(password)})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(left, &back); err == nil || !strings.Contains(err.Error(), "left out") {
		t.Errorf("what stands in place of a secret reads as one: %v", err)
	}
}
