package systemd

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
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
	//go:embed etcd-reach@.service
	reachService string
	//go:embed sandbox
	sandbox string
	//go:embed run.timer
	runTimer string
)

var (
	backupUnit    = runUnit("etcd-backup@.service", backupService)
	rehearsalUnit = runUnit("etcd-rehearsal@.service", rehearsalService)
	reachUnit     = runUnit("etcd-reach@.service", reachService)
	timerUnit     = runUnit("run.timer", runTimer)
)

func runUnit(name, text string) *template.Template {
	return template.Must(template.Must(template.New(name).Option("missingkey=error").Parse(sandbox)).Parse(text))
}

// RunOptions are what the units of one cluster's backups on one host depend on.
type RunOptions struct {
	Cluster     string   // the instance of the units
	Store       string   // path of the program that they run
	Schedule    string   // of backups, as OnCalendar
	Rehearsals  string   // the schedule of rehearsals likewise; empty: there are none
	StateDir    string   // that a run wants to be there, and writes to, as Options.DataDir
	Writable    []string // directories besides that a run writes to where they are there, as Options.DataDir
	Hidden      string   // a file that is no run's to read, where it is there; empty: none
	MemoryBytes int64    // of the host; positive
}

// RenderRuns are the units by which a cluster is backed up, and its backups rehearsed, by the names of their files.
func RenderRuns(o RunOptions) (map[string]string, error) {
	units, err := renderRuns(o)
	if err != nil {
		return nil, fmt.Errorf("render the units by which cluster %s is backed up: %w", o.Cluster, err)
	}
	return units, nil
}

func renderRuns(o RunOptions) (map[string]string, error) {
	if err := checkRun(o); err != nil {
		return nil, err
	}
	units := map[string]string{}
	render := func(kind string, unit *template.Template, schedule, what string, writes []string) error {
		var text strings.Builder
		err := unit.Execute(&text, runValues(o, schedule, what, writes))
		units["etcd-"+kind] = text.String()
		return err
	}
	var links []string
	for i := range o.Writable {
		links = append(links, WritableLink(o.Cluster, i))
	}
	writes := append([]string{o.StateDir}, links...)
	service, timer := "@"+o.Cluster+".service", "@"+o.Cluster+".timer"
	err := errors.Join(
		render("backup"+service, backupUnit, o.Schedule, "backed up", writes),
		render("backup"+timer, timerUnit, o.Schedule, "backed up", nil),
	)
	if o.Rehearsals != "" {
		err = errors.Join(err,
			render("rehearsal"+service, rehearsalUnit, o.Rehearsals, "rehearsed", writes),
			render("rehearsal"+timer, timerUnit, o.Rehearsals, "rehearsed", nil))
	}
	if len(links) > 0 {
		err = errors.Join(err, render("reach"+service, reachUnit, "", "", nil))
	}
	return units, err
}

// runVariables are what the templates of runs are filled with.
type runVariables struct {
	RunOptions
	Schedule, What, Mounts      string
	Writes                      []string // what the sandbox lets it write to
	LinkDir                     string   // as systemd names it, below /run
	MemoryMaxMiB, MemoryGoalMiB int64
}

func runValues(o RunOptions, schedule, what string, writes []string) runVariables {
	var mounts []string
	for _, dir := range o.Writable {
		mounts = append(mounts, MountUnits(dir)...)
	}
	slices.Sort(mounts)
	memory := RunMemory(o.MemoryBytes)
	return runVariables{o, schedule, what, strings.Join(slices.Compact(mounts), " "), writes, linkDir(o.Cluster), memory >> 20, memory >> 21}
}

// linkDir is a directory below /run, which goes with a boot.
func linkDir(cluster string) string { return "etcd-reach/" + cluster }

// LinkDir holds the links to the directories besides that a cluster's runs write to.
func LinkDir(cluster string) string { return "/run/" + linkDir(cluster) }

// WritableLink leads to one of the directories besides that a run writes to, where that one answers. The sandbox names
// the link: a unit that names a directory on a file system whose server is gone hangs before it executes anything.
func WritableLink(cluster string, i int) string {
	return fmt.Sprintf("%s/writable-%d", LinkDir(cluster), i)
}

// IsOurs tells whether a unit is one that the provider has written, of whichever version.
func IsOurs(text string) bool {
	return strings.Contains(text, "terraform-provider-etcd writes this file")
}

// Digest stands for the texts of units, by the names of their files.
func Digest(units map[string]string) string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(units)) {
		fmt.Fprintf(sum, "%s %d\n%s", name, len(units[name]), units[name])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func checkRun(o RunOptions) error {
	if err := checkProgram(o.Cluster, o.Store); err != nil {
		return err
	}
	switch {
	case !schedule.MatchString(o.Schedule):
		return fmt.Errorf("%q is no schedule", o.Schedule)
	case o.Rehearsals != "" && !schedule.MatchString(o.Rehearsals):
		return fmt.Errorf("%q is no schedule", o.Rehearsals)
	case o.MemoryBytes <= 0:
		return fmt.Errorf("the host's memory is given as %d bytes", o.MemoryBytes)
	}
	if strings.ContainsFunc(o.Hidden, special) {
		return fmt.Errorf("file %q: control characters and the characters \" \\ %% $ mean something to systemd", o.Hidden)
	}
	for _, dir := range append([]string{o.StateDir}, o.Writable...) {
		if err := CheckDataDir(dir); err != nil {
			return fmt.Errorf("directory %q: %w", dir, err)
		}
	}
	return nil
}

// schedule is what can be a calendar specification. Whether it is one, systemd says.
var schedule = regexp.MustCompile(`^[A-Za-z0-9*:,./~_+-]+( [A-Za-z0-9*:,./~_+-]+)*$`)

// RunMemory is what a run of a backup or a rehearsal may use, in bytes: a quarter of the host's memory. The pages of
// files that it reads are a part of it, which the kernel reclaims.
func RunMemory(memory int64) int64 { return max(nominal(memory)/4, 256<<20) }

// MountUnits are the units by which systemd would mount a file system that an absolute path lies on, the outermost
// first, whether there are any.
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
