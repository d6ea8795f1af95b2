package host

import (
	"context"
	"errors"
	"slices"
	"testing"
)

func TestShadowFindsUsers(t *testing.T) {
	s := Shadow{}
	if owner, found, err := s.Lookup("root"); err != nil || !found || owner != root {
		t.Errorf("root is %+v, %v, %v", owner, found, err)
	}
	if owner, found, err := s.Lookup("nobody-has-this-name"); err != nil || found {
		t.Errorf("nobody is %+v, %v, %v", owner, found, err)
	}
}

func TestShadowKeepsUsersThatAreThere(t *testing.T) {
	s := Shadow{Run: func(context.Context, string, ...string) ([]byte, error) {
		t.Error("a user was made")
		return nil, nil
	}}
	if owner, err := s.Ensure(t.Context(), "root"); err != nil || owner != root {
		t.Errorf("root is %+v, %v", owner, err)
	}
}

func TestShadowMakesSystemUsers(t *testing.T) {
	var ran []string
	s := Shadow{Run: func(_ context.Context, name string, args ...string) ([]byte, error) {
		ran = append([]string{name}, args...)
		return nil, nil
	}}
	// The Runner makes nobody, which is noticed.
	if owner, err := s.Ensure(t.Context(), "nobody-has-this-name"); err == nil {
		t.Errorf("it is %+v", owner)
	}
	for _, want := range []string{"useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "--user-group", "nobody-has-this-name"} {
		if !slices.Contains(ran, want) {
			t.Errorf("%q lacks %s", ran, want)
		}
	}

	// A group of the name is there already: the name of a group that every machine has, and no user.
	if _, found, _ := s.Lookup("shadow"); !found {
		_, _ = s.Ensure(t.Context(), "shadow")
		if i := slices.Index(ran, "--gid"); i < 0 || ran[i+1] != "shadow" || slices.Contains(ran, "--user-group") {
			t.Errorf("with a group: %q", ran)
		}
	}

	s.Run = func(context.Context, string, ...string) ([]byte, error) {
		return nil, errors.New("cannot lock /etc/passwd")
	}
	if _, err := s.Ensure(t.Context(), "nobody-has-this-name"); err == nil {
		t.Error("an error was swallowed")
	}
}
