package unitfiles

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// fakeSystemd goes by the texts that units had when it read them last.
type fakeSystemd struct {
	tree     files.Tree
	read     map[string]string
	running  map[string]bool
	commands []string
	fails    string
	states   map[string]api.UnitState // of units for which the above does not count
}

func (s *fakeSystemd) do(command, unit string) error {
	s.commands = append(s.commands, strings.TrimSpace(command+" "+unit))
	if s.fails == command {
		return errors.New("it was told so")
	}
	return nil
}

func (s *fakeSystemd) State(_ context.Context, unit string) (api.UnitState, error) {
	if state, set := s.states[unit]; set {
		return state, nil
	}
	state := api.UnitState{LoadState: "not-found", ActiveState: "inactive"}
	if text, known := s.read[unit]; known {
		now, err := os.ReadFile(s.tree.Path(path.Join(Dir, unit)))
		state.LoadState, state.FileState, state.NeedReload = "loaded", "disabled", err != nil || string(now) != text
	}
	if s.running[unit] {
		state.ActiveState, state.FileState = "active", "enabled"
	}
	return state, nil
}

func (s *fakeSystemd) Reload(context.Context) error {
	if err := s.do("reload", ""); err != nil {
		return err
	}
	clear(s.read)
	entries, err := os.ReadDir(s.tree.Path(Dir))
	for _, entry := range entries {
		text, _ := os.ReadFile(s.tree.Path(path.Join(Dir, entry.Name())))
		s.read[entry.Name()] = string(text)
	}
	return err
}

func (s *fakeSystemd) Start(_ context.Context, unit string) error {
	s.running[unit] = true
	return s.do("start", unit)
}

func (s *fakeSystemd) Stop(_ context.Context, unit string) error {
	delete(s.running, unit)
	return s.do("stop", unit)
}

func (s *fakeSystemd) Disable(_ context.Context, unit string) error { return s.do("disable", unit) }

func newUnits(t *testing.T) (Units, *fakeSystemd) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("gives files to other users: run as root")
	}
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tree := files.Tree{Root: root}
	if err := os.MkdirAll(tree.Path(Dir), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &fakeSystemd{tree: tree, read: map[string]string{}, running: map[string]bool{}}
	return Units{Files: tree, Systemd: s}, s
}

// TestUnitsAreKept: units are written, read by systemd where it has not read them, and removed, and a host tells how
// they are.
func TestUnitsAreKept(t *testing.T) {
	h, s := newUnits(t)
	all, timer := []string{"etcd-a@main.timer", "etcd-a@main.service"}, []string{"etcd-a@main.timer"}
	texts := map[string]string{all[0]: "[Timer]\n", all[1]: "[Service]\n"}
	put := func(texts map[string]string, does ...string) {
		t.Helper()
		s.commands = nil
		if err := h.Put(t.Context(), all, texts); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(s.commands, does) {
			t.Errorf("systemd was told to %q, want %q", s.commands, does)
		}
	}
	look := func(want Status) {
		t.Helper()
		if has, err := h.Status(t.Context(), all, timer); err != nil || has != want {
			t.Errorf("it is %+v, %v, want %+v", has, err, want)
		}
	}
	good := Status{Units: systemd.Digest(texts), Enabled: true}
	look(Status{Units: systemd.Digest(nil)})
	put(texts, "reload")
	look(Status{Units: good.Units})
	s.running[all[0]] = true
	look(good)
	put(texts)

	s.read[all[1]] = "another"
	look(Status{Units: good.Units, Enabled: true, NeedReload: true})
	put(texts, "reload") // an earlier call was cut short
	delete(s.read, all[1])
	put(texts, "reload")
	look(good)

	file := h.Files.Path(path.Join(Dir, all[1]))
	if err := os.WriteFile(file, []byte("[Service]\nUser=me\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	look(Status{Units: systemd.Digest(map[string]string{all[0]: texts[all[0]], all[1]: "[Service]\nUser=me\n"}), Enabled: true, NeedReload: true})
	put(texts, "reload")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o755); err != nil {
		t.Fatal(err)
	}
	if has, err := h.Status(t.Context(), all, timer); err != nil || has.Units != "" {
		t.Errorf("where one cannot be read it is %+v, %v", has, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	put(texts, "reload")

	for _, command := range []string{"stop", "disable", "reload"} {
		put(texts, s.reloads(texts)...)
		s.fails = command
		if err := h.Put(t.Context(), all, nil); err == nil {
			t.Errorf("a %s that fails is no error", command)
		}
		s.fails = ""
	}
	put(texts, "reload")
	put(nil, "stop etcd-a@main.timer", "disable etcd-a@main.timer", "stop etcd-a@main.service", "disable etcd-a@main.service", "reload")
	look(Status{Units: systemd.Digest(nil)})
	put(nil)
}

// TestAUnitWhoseFileIsGone: a unit that somebody has deleted is stopped all the same, since systemd still has it; and a
// removal that was cut short before systemd read it is completed.
func TestAUnitWhoseFileIsGone(t *testing.T) {
	h, s := newUnits(t)
	const timer = "etcd-a@main.timer"
	if err := h.Put(t.Context(), []string{timer}, map[string]string{timer: "[Timer]\n"}); err != nil {
		t.Fatal(err)
	}
	s.running[timer] = true
	if err := os.Remove(h.Files.Path(path.Join(Dir, timer))); err != nil {
		t.Fatal(err)
	}
	s.fails = "reload"
	if err := h.Put(t.Context(), []string{timer}, nil); err == nil || s.running[timer] {
		t.Errorf("it runs: %t, %v", s.running[timer], err)
	}
	s.fails, s.commands = "", nil
	if err := h.Put(t.Context(), []string{timer}, nil); err != nil || s.commands[len(s.commands)-1] != "reload" || len(s.read) > 0 {
		t.Errorf("systemd was told to %q, and has %v: %v", s.commands, s.read, err)
	}
}

// TestEnabledUnits: a timer has to be active, and a service that starts with a member may have yet to run.
func TestEnabledUnits(t *testing.T) {
	for _, row := range []struct {
		unit, active, file string
		want               bool
	}{
		{"a.timer", "active", "enabled", true}, {"a.timer", "inactive", "enabled", false}, {"a.timer", "active", "disabled", false}, {"a.timer", "failed", "enabled", false},
		{"a.service", "active", "enabled", true}, {"a.service", "inactive", "enabled", true}, {"a.service", "activating", "enabled", true}, {"a.service", "failed", "enabled", false},
		{"a.service", "active", "disabled", false},
	} {
		h, s := newUnits(t)
		if err := os.WriteFile(h.Files.Path(path.Join(Dir, row.unit)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		s.states = map[string]api.UnitState{row.unit: {LoadState: "loaded", ActiveState: row.active, FileState: row.file}}
		if has, err := h.Status(t.Context(), []string{row.unit}, []string{row.unit}); err != nil || has.Enabled != row.want {
			t.Errorf("%+v: %+v, %v", row, has, err)
		}
	}
}

// reloads are the commands by which systemd comes to know units.
func (s *fakeSystemd) reloads(texts map[string]string) []string {
	for name, text := range texts {
		if now, err := os.ReadFile(s.tree.Path(path.Join(Dir, name))); err != nil || s.read[name] != text || string(now) != text {
			return []string{"reload"}
		}
	}
	return nil
}

// TestOtherUnits: units of a cluster that another release has written are found, with timers first, and nobody else's.
func TestOtherUnits(t *testing.T) {
	h, _ := newUnits(t)
	const ours = "# terraform-provider-etcd writes this file.\n"
	for name, text := range map[string]string{
		"etcd-new@main.service": ours, "etcd-new@main.timer": ours, "etcd-known@main.timer": ours, "etcd-new@other.timer": ours, "etcd-theirs@main.timer": "[Timer]\n", "new@main.timer": ours,
	} {
		if err := os.WriteFile(h.Files.Path(path.Join(Dir, name)), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	others, err := h.Others("main", []string{"etcd-known@main.timer"})
	if want := []string{"etcd-new@main.timer", "etcd-new@main.service"}; err != nil || !slices.Equal(others, want) {
		t.Errorf("they are %q, %v, want %q", others, err, want)
	}
}
