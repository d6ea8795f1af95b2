package acctest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	// tableOfMessages matches a table whose first column has what Terraform prints.
	tableOfMessages = regexp.MustCompile(`(?m)^\| (?:(?:what )?the plan says|error) \|.*\n\|[-|]+\n((?:\|.*\n)+)`)
	inBackticks     = regexp.MustCompile("`([^`]+)`")
	// exampleValues are what a documented message has where the provider's text has a value of its own.
	exampleValues = regexp.MustCompile(`\.\.\.|\([\d.]+\)|\b\d[\d.]*\b|\b[a-e]\b|\b(prod|ops|data_dir)\b`)
)

// TestDocumentedMessagesExist holds that the messages which the tables of guides and README explain are messages of the
// provider. It compares what is between example values, two words at least.
func TestDocumentedMessagesExist(t *testing.T) {
	said := literals(t, "bootstrap", "node", "pki", "provider", "resources", "upgrade")
	documents, err := filepath.Glob("../templates/docs/guides/*.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, document := range append(documents, "../README.md") {
		content, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range tableOfMessages.FindAllStringSubmatch(string(content), -1) {
			for row := range strings.Lines(table[1]) {
				cell, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
				for _, phrase := range inBackticks.FindAllStringSubmatch(cell, -1) {
					for _, part := range exampleValues.Split(phrase[1], -1) {
						if part = strings.Trim(part, " ,:"); !strings.Contains(part, " ") {
							continue
						}
						checked++
						if !slices.ContainsFunc(said, func(text string) bool { return strings.Contains(text, strings.ToLower(part)) }) {
							t.Errorf("%s explains %q, and the provider says no %q", document, phrase[1], part)
						}
					}
				}
			}
		}
	}
	if checked < 50 {
		t.Errorf("%d parts of messages were checked", checked)
	}
}

// literals returns the string literals in folders of the repository, those that are added together as one. They are in
// lower case, since a summary is often a rule with a capital.
func literals(t *testing.T, folders ...string) (all []string) {
	t.Helper()
	files := token.NewFileSet()
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join("..", folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BasicLit:
					all = append(all, strings.ToLower(added(n)))
				case *ast.BinaryExpr:
					all = append(all, strings.ToLower(added(n)))
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// added returns the text of a string literal, or of a sum in which a line break stands for what is no literal.
func added(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value) // a number has none
		return text
	case *ast.BinaryExpr:
		return added(e.X) + added(e.Y)
	}
	return "\n"
}
