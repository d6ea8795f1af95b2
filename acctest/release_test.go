package acctest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReleaseNotes holds what a release says of itself: the section of its version, and that one is not released which
// the changelog does not know, or calls unreleased.
func TestReleaseNotes(t *testing.T) {
	t.Parallel()
	changelog := filepath.Join(t.TempDir(), "CHANGELOG.md")
	text := "# Changelog\n\n## 0.3.0 (unreleased)\n\n- Yet to come.\n\n## 0.2.10 (2026-12-01)\n\n## 0.2.1 (2026-11-30)\n\n- A line,\n  and its rest.\n\n## 0.2.0\n\n- Before.\n"
	if err := os.WriteFile(changelog, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for tag, want := range map[string]struct {
		notes string // empty: refused,
		says  string // with this
	}{
		"v0.2.1":  {notes: "- A line,\n  and its rest."},
		"v0.2.0":  {notes: "- Before."},
		"v0.3.0":  {says: "unreleased"},
		"v0.2":    {says: "no heading '## 0.2'"},
		"v0.2.10": {says: "says nothing below"},
		"v9.9.9":  {says: "no heading"},
	} {
		command := exec.Command("../.ci/notes", tag)
		command.Env = append(os.Environ(), "CHANGELOG="+changelog)
		var complaint strings.Builder
		command.Stderr = &complaint
		out, err := command.Output()
		if got := strings.TrimSpace(string(out)); got != want.notes || (err == nil) != (want.notes != "") || !strings.Contains(complaint.String(), want.says) {
			t.Errorf("notes of %s: %q, %v, %s; want %q %s", tag, got, err, complaint.String(), want.notes, want.says)
		}
	}
}

// TestActionsArePinned holds that no workflow of this repository runs an action by a tag, which its owner, or whoever
// has taken the owner's account, can move to other code.
func TestActionsArePinned(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`^(\./\S+|[\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*)$`)
	workflows, err := filepath.Glob("../.github/workflows/*.yml")
	if err != nil || len(workflows) == 0 {
		t.Fatalf("no workflows: %v", err)
	}
	for _, path := range workflows {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if _, action, uses := strings.Cut(strings.TrimSpace(line), "uses: "); uses && !pinned.MatchString(action) {
				t.Errorf("%s: %s is not pinned by its commit, with its version behind", path, action)
			}
		}
	}
}

// TestReleaseIsTested holds that a tag is published only after all that a change has to pass: by the job that needs it,
// and by no other.
func TestReleaseIsTested(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../.github/workflows/release.yml")
	if err != nil {
		t.Fatal(err)
	}
	_, jobs, _ := strings.Cut(string(text), "\njobs:\n")
	tested, publishes := false, 0
	for _, job := range regexp.MustCompile(`(?m)^  \w+:\n(?:    .*\n|\n)+`).FindAllString(jobs, -1) {
		name, body, _ := strings.Cut(strings.TrimSpace(job), ":\n")
		switch {
		case name == "test":
			tested = strings.Contains(body, "uses: ./.github/workflows/test.yml") && !strings.Contains(body, "continue-on-error")
		case strings.Contains(body, "goreleaser") || strings.Contains(body, "contents: write"):
			publishes++
			if !regexp.MustCompile(`(?m)^    needs: (test|\[.*\btest\b.*\])$`).MatchString(body) || regexp.MustCompile(`(?m)^    if:`).MatchString(body) {
				t.Errorf("job %s publishes whatever the tests say", name)
			}
		}
	}
	if !tested || publishes != 1 {
		t.Errorf("the workflow tests: %v, and %d of its jobs publish", tested, publishes)
	}
	if every, err := os.ReadFile("../.github/workflows/test.yml"); err != nil || !strings.Contains(string(every), "workflow_call:") || !strings.Contains(string(every), "run: .ci/run") {
		t.Errorf("what a change has to pass is not what a release calls: %v", err)
	}
}

// TestReleaseIsComplete holds what a release comes with, and on what each change is tested: lines of files that nothing
// on this machine runs.
func TestReleaseIsComplete(t *testing.T) {
	t.Parallel()
	for path, lines := range map[string][]string{
		".github/workflows/test.yml": {
			"- { cli: terraform, version: 1.11.x }", "- { cli: terraform, version: latest }",
			"- { cli: tofu, version: 1.11.x }", "- { cli: tofu, version: latest }", "runs-on: macos-latest", "- run: make test-operator",
		},
		".github/workflows/nightly.yml": {"- run: make test-all", "- run: make vulnerabilities"},
		".github/workflows/release.yml": {
			`- run: .ci/notes "$GITHUB_REF_NAME" >"$RUNNER_TEMP/notes.md"`, "subject-checksums: ${{ steps.built.outputs.checksums }}", "attestations: write",
		},
		".goreleaser.yml": {"goos: [linux, darwin]", "sboms:", "- id: archives", "- id: stores", "signs:", "algorithm: sha256"},
		".github/dependabot.yml": {
			"- package-ecosystem: gomod", "directories: [/tools, /tools/cfssl, /tools/s3, /tools/tofu]", "- package-ecosystem: github-actions",
		},
	} {
		text, err := os.ReadFile(filepath.Join("..", path))
		if err != nil {
			t.Error(err)
			continue
		}
		var trimmed []string
		for line := range strings.Lines(string(text)) {
			trimmed = append(trimmed, strings.TrimSpace(line))
		}
		for _, line := range lines {
			if !slices.Contains(trimmed, line) {
				t.Errorf("%s has no line %q", path, line)
			}
		}
	}
}

// TestChangesHaveOwners holds that whatever is in the repository has somebody who reviews it, and that no rule is for
// what is gone.
func TestChangesHaveOwners(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../.github/CODEOWNERS")
	if err != nil {
		t.Fatal(err)
	}
	rule := regexp.MustCompile(`^(\*|/[\w./-]+)( +@[\w-]+/[\w-]+)+$`)
	all := false
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		found := rule.FindStringSubmatch(line)
		if found == nil {
			t.Errorf("%q is no path with its owners", line)
			continue
		}
		if found[1] == "*" {
			all = true
		} else if _, err := os.Stat(filepath.Join("..", found[1])); err != nil {
			t.Error(err)
		}
	}
	if !all {
		t.Error("what no rule names has no owner")
	}
}
