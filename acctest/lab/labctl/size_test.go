package main

import "testing"

func TestSize(t *testing.T) {
	for text, want := range map[string]size{"0": 0, "1048576": 1 << 20, "4K": 4 << 10, "500M": 500 << 20, "1G": 1 << 30} {
		var got size
		if err := got.Set(text); err != nil || got != want {
			t.Errorf("%s is read as %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "G", "1g", "1GK", "-1", "-1G", "1.5G", "9999999999G", "1 G"} {
		if err := new(size).Set(text); err == nil {
			t.Errorf("%q is taken for a size", text)
		}
	}
}
