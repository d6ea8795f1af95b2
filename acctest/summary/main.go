// Command summary prints what a run of the tests came to: each package with the number of its tests and the time it
// took, how often properties were tried, and what was left to make test-all. It reads the files that test2json wrote.
//
//	go run ./acctest/summary bin/test/unit.json bin/test/acceptance.json
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// module is what the names of all packages begin with.
const module = "github.com/etcd-on-hosts/terraform-provider-etcd/"

func main() {
	var all []*tested
	for _, path := range os.Args[1:] {
		file, err := os.Open(path)
		if err == nil {
			var run []*tested
			run, err = read(strings.TrimSuffix(filepath.Base(path), ".json"), file)
			all = append(all, run...)
			file.Close()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	print(os.Stdout, all)
}

// tested is what became of one package in one run.
type tested struct {
	run, name            string
	passed, failed, left int
	seconds              float64
	slowest              string // its slowest test, and how long that took
	slowestSeconds       float64
	drawn                []string // how often its properties were tried
	skipped              []string // tests that were left out, with the reason
}

// event is what test2json says. Its times are seconds.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// read reads the events of one run.
func read(run string, from io.Reader) (all []*tested, err error) {
	packages := map[string]*tested{}
	said := map[string]string{} // by tests that were skipped
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Package == "" {
			continue // what a build says is none
		}
		p := packages[e.Package]
		if p == nil {
			p = &tested{run: run, name: strings.TrimPrefix(e.Package, module)}
			packages[e.Package] = p
			all = append(all, p)
		}
		id, top := e.Package+" "+e.Test, !strings.Contains(e.Test, "/")
		switch {
		case e.Action == "output":
			if _, text, found := strings.Cut(e.Output, sample.LeftToTestAll); found {
				said[id] = strings.TrimSpace(text)
			}
			if _, text, found := strings.Cut(e.Output, ": "+sample.Drew); found && strings.Contains(text, " of ") {
				p.drawn = append(p.drawn, e.Test+" "+strings.TrimSpace(text))
			}
		case e.Test == "":
			p.seconds = max(p.seconds, e.Elapsed)
		case e.Action == "pass":
			p.passed++
			if top && e.Elapsed > p.slowestSeconds {
				p.slowest, p.slowestSeconds = e.Test, e.Elapsed
			}
		case e.Action == "fail":
			p.failed++
		case e.Action == "skip":
			p.left++
			p.skipped = append(p.skipped, e.Test+": "+cmp.Or(said[id], "skipped here"))
		}
	}
	return slices.DeleteFunc(all, func(p *tested) bool { return p.passed+p.failed+p.left == 0 }), lines.Err()
}

// print prints the packages, the slowest first.
func print(to io.Writer, all []*tested) {
	slices.SortStableFunc(all, func(a, b *tested) int { return cmp.Compare(b.seconds, a.seconds) })
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "seconds\ttests\tleft out\tpackage\tslowest test")
	passed, failed, left := 0, 0, 0
	for _, p := range all {
		fmt.Fprintf(table, "%.1f\t%d\t%d\t%s (%s)\t%s %.1f\n", p.seconds, p.passed+p.failed, p.left, p.name, p.run, p.slowest, p.slowestSeconds)
		passed, failed, left = passed+p.passed, failed+p.failed, left+p.left
	}
	table.Flush()
	list(to, "Drawn, of what make test-all draws:", all, func(p *tested) []string { return p.drawn })
	list(to, "Left out:", all, func(p *tested) []string { return p.skipped })
	fmt.Fprintf(to, "\n%d passed, %d failed, %d skipped\n", passed, failed, left)
}

// list prints some lines of each package below a title, if there are any.
func list(to io.Writer, title string, all []*tested, lines func(*tested) []string) {
	for _, p := range all {
		for _, line := range lines(p) {
			if title != "" {
				fmt.Fprintln(to, "\n"+title)
				title = ""
			}
			fmt.Fprintln(to, " ", p.name, line)
		}
	}
}
