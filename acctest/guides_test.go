package acctest

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

var (
	pageTitle  = regexp.MustCompile(`(?m)^page_title: "(.*)"$`)
	namedGuide = regexp.MustCompile(`[Gg]uide "([^"]+)"`)
)

// TestGuidesAreNamedByTheirTitles holds that whoever reads an error or a warning finds the guide that it names.
func TestGuidesAreNamedByTheirTitles(t *testing.T) {
	var titles []string
	guides, err := filepath.Glob(filepath.Join("..", "templates", "docs", "guides", "*.tmpl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, guide := range guides {
		text, err := os.ReadFile(guide)
		if err != nil {
			t.Fatal(err)
		}
		if title := pageTitle.FindSubmatch(text); title != nil {
			titles = append(titles, string(title[1]))
		}
	}
	named := 0
	files := token.NewFileSet()
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "bin"):
			return fs.SkipDir
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, is := n.(*ast.BasicLit)
			if !is || literal.Kind != token.STRING {
				return true
			}
			text, _ := strconv.Unquote(literal.Value)
			for _, guide := range namedGuide.FindAllStringSubmatch(text, -1) {
				if named++; !slices.Contains(titles, guide[1]) {
					t.Errorf("%s names the guide %q, and no guide has this title", files.Position(literal.Pos()), guide[1])
				}
			}
			return true
		})
		return nil
	})
	if err != nil || len(titles) < 10 || named == 0 {
		t.Errorf("%d titles, of which %d are named: %v", len(titles), named, err)
	}
}

// TestDocumentsAreNarrow holds that the prose of what users and contributors read has at most 120 columns. Tables, code
// and titles are as wide as they have to be.
func TestDocumentsAreNarrow(t *testing.T) {
	documents, err := filepath.Glob("../templates/docs/guides/*.tmpl")
	if err != nil || len(documents) == 0 {
		t.Fatal(err)
	}
	for _, document := range append(documents, "../README.md", "../CHANGELOG.md", "../CONTRIBUTING.md", "../SECURITY.md", "../docs/ARCHITECTURE.md") {
		content, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		text := string(content)
		if title, rest, is := strings.Cut(strings.TrimPrefix(text, "---\n"), "\n---\n"); is && strings.HasPrefix(text, "---\n") {
			text = strings.Repeat("\n", strings.Count(title, "\n")+3) + rest
		}
		code, number := false, 0
		for line := range strings.Lines(text) {
			number++
			if line = strings.TrimRight(line, "\n"); strings.HasPrefix(strings.TrimSpace(line), "```") {
				code = !code
			}
			if !code && !strings.HasPrefix(line, "|") && utf8.RuneCountInString(line) > 120 {
				t.Errorf("%s:%d has %d columns", document, number, utf8.RuneCountInString(line))
			}
		}
	}
}

// TestCommentsAreNarrow holds that lines with a comment have at most 120 columns, with four for a tab. What a comment
// quotes as code is as wide as it has to be.
func TestCommentsAreNarrow(t *testing.T) {
	comments := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		lines := strings.Split(string(content), "\n")
		files := token.NewFileSet()
		file := files.AddFile(path, -1, len(content))
		var tokens scanner.Scanner
		tokens.Init(file, content, nil, scanner.ScanComments)
		for {
			at, kind, text := tokens.Scan()
			if kind == token.EOF {
				return nil
			}
			if kind != token.COMMENT || strings.HasPrefix(text, "//\t") {
				continue
			}
			comments++
			number := file.Line(at)
			if columns := utf8.RuneCountInString(strings.ReplaceAll(lines[number-1], "\t", "    ")); columns > 120 {
				t.Errorf("%s:%d has %d columns", path, number, columns)
			}
		}
	})
	if err != nil || comments < 1000 {
		t.Errorf("%d comments: %v", comments, err)
	}
}
