package systemd

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

var (
	//go:embed etcd-backup@.service
	backupService string
	//go:embed etcd-rehearsal@.service
	rehearsalService string
	//go:embed sandbox
	sandbox string
	//go:embed run.timer
	runTimer string
)

var (
	backupUnit    = runUnit("etcd-backup@.service", backupService)
	rehearsalUnit = runUnit("etcd-rehearsal@.service", rehearsalService)
	timerUnit     = runUnit("run.timer", runTimer)
)

func runUnit(name, text string) *template.Template {
	return template.Must(template.Must(template.New(name).Option("missingkey=error").Parse(sandbox)).Parse(text))
}

// RunOptions are what the units of one cluster's backups or rehearsals on one host depend on.
type RunOptions struct {
	Cluster     string   // the instance of the units
	Store       string   // path of the program that they run
	Schedule    string   // as OnCalendar
	StateDir    string   // that a run wants to be there, and writes to, as Options.DataDir
	Writable    []string // directories besides that a run writes to where they are there, as Options.DataDir
	MemoryBytes int64    // of the host; positive
}

// Run is a unit that does its work and ends, and the timer that starts it.
type Run struct{ Service, Timer string }

// RenderBackup is the text of the units by which a cluster is backed up.
func RenderBackup(o RunOptions) (Run, error) { return renderRun(o, backupUnit, "backed up") }

// RenderRehearsal is the text of the units by which its backups are rehearsed.
func RenderRehearsal(o RunOptions) (Run, error) { return renderRun(o, rehearsalUnit, "rehearsed") }

// schedule is what can be a calendar specification. Whether it is one, systemd says.
var schedule = regexp.MustCompile(`^[A-Za-z0-9*:,./~_+-]+( [A-Za-z0-9*:,./~_+-]+)*$`)

func renderRun(o RunOptions, service *template.Template, what string) (Run, error) {
	if err := checkRun(o); err != nil {
		return Run{}, fmt.Errorf("render the units by which cluster %s is %s: %w", o.Cluster, what, err)
	}
	var mounts []string
	for _, dir := range o.Writable {
		mounts = append(mounts, MountUnits(dir)...)
	}
	slices.Sort(mounts)
	o.Writable = append([]string{o.StateDir}, o.Writable...)
	memory := RunMemory(o.MemoryBytes)
	values := struct {
		RunOptions
		What, Mounts                string
		MemoryMaxMiB, MemoryGoalMiB int64
	}{o, what, strings.Join(slices.Compact(mounts), " "), memory >> 20, memory >> 21}
	var run Run
	for unit, text := range map[*template.Template]*string{service: &run.Service, timerUnit: &run.Timer} {
		var b strings.Builder
		if err := unit.Execute(&b, values); err != nil {
			return Run{}, fmt.Errorf("render the units by which cluster %s is %s: %w", o.Cluster, what, err)
		}
		*text = b.String()
	}
	return run, nil
}

func checkRun(o RunOptions) error {
	if err := checkProgram(o.Cluster, o.Store); err != nil {
		return err
	}
	switch {
	case !schedule.MatchString(o.Schedule):
		return fmt.Errorf("%q is no schedule", o.Schedule)
	case o.MemoryBytes <= 0:
		return fmt.Errorf("the host's memory is given as %d bytes", o.MemoryBytes)
	}
	for _, dir := range append([]string{o.StateDir}, o.Writable...) {
		if err := CheckDataDir(dir); err != nil {
			return fmt.Errorf("directory %q: %w", dir, err)
		}
	}
	return nil
}

// RunMemory is what a run of a backup or a rehearsal may use, in bytes: a quarter of the host's memory. The pages of files that it reads are
// a part of it, which the kernel takes back.
func RunMemory(memory int64) int64 { return max(nominal(memory)/4, 256<<20) }

// MountUnits are the units by which systemd would mount a file system that an absolute path lies on, the outermost first,
// whether there are any.
func MountUnits(dir string) (units []string) {
	for at, char := range dir + "/" {
		if char == '/' && at > 0 {
			units = append(units, escapePath(dir[1:at])+".mount")
		}
	}
	return units
}

// escapePath spells a path without its first slash as systemd does in names of units.
func escapePath(path string) string {
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case c == '/':
			b.WriteByte('-')
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == ':' || c == '_' || c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}
