package plan

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestRefusalsHaveSummaries holds that every refusal of the planner has a summary, which people search for, and that
// a guide says of each what to do.
func TestRefusalsHaveSummaries(t *testing.T) {
	var guides strings.Builder
	pages, err := filepath.Glob("../../docs/guides/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no guides: %v", err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		guides.Write(text)
	}
	files, summaries, refusals := token.NewFileSet(), map[string]token.Pos{}, 0
	note := func(e ast.Expr) {
		if literal, is := e.(*ast.BasicLit); is {
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			summaries[text] = literal.Pos()
		}
	}
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		slashed := strings.TrimPrefix(filepath.ToSlash(path), "../../")
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if root, _, _ := strings.Cut(slashed, "/"); root != ".." && root != "bootstrap" && root != "upgrade" {
				return fs.SkipDir
			}
			return nil
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		if slashed == "bootstrap/membership/refusal.go" {
			for name, object := range constants(file) {
				if name != "HoldRestarts" { // an attribute
					note(object)
				}
			}
		}
		named := constants(file)
		ast.Inspect(file, func(n ast.Node) bool {
			literal, is := n.(*ast.CompositeLit)
			if !is || !isRefusal(literal.Type) || len(literal.Elts) == 0 {
				return true
			}
			refusals++
			summary := false
			for _, element := range literal.Elts {
				pair, is := element.(*ast.KeyValueExpr)
				if key, named := pair.Key.(*ast.Ident); !is || !named || key.Name != "Summary" {
					continue
				}
				summary = true
				note(pair.Value)
				if name, is := pair.Value.(*ast.Ident); is && named[name.Name] != nil {
					note(named[name.Name])
				}
			}
			// The error of a destroy has a summary of its own.
			if !summary && strings.HasPrefix(slashed, "upgrade/plan/") && slashed != "upgrade/plan/retire.go" {
				t.Errorf("%s: this refusal has no summary", files.Position(literal.Pos()))
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if refusals < 30 || len(summaries) < 30 {
		t.Errorf("%d refusals with %d summaries: these are not all", refusals, len(summaries))
	}
	for summary, at := range summaries {
		if !strings.Contains(guides.String(), "`"+summary+"`") {
			t.Errorf("%s: no guide says what to do about `%s`", files.Position(at), summary)
		}
	}
}

// constants returns the values of a file's constants that are literals.
func constants(file *ast.File) map[string]ast.Expr {
	values := map[string]ast.Expr{}
	for _, declaration := range file.Decls {
		general, is := declaration.(*ast.GenDecl)
		if !is || general.Tok != token.CONST {
			continue
		}
		for _, one := range general.Specs {
			if spec, is := one.(*ast.ValueSpec); is && len(spec.Values) == len(spec.Names) {
				for i, name := range spec.Names {
					values[name.Name] = spec.Values[i]
				}
			}
		}
	}
	return values
}

// isRefusal tells whether a type is membership.Refusal.
func isRefusal(of ast.Expr) bool {
	switch is := of.(type) {
	case *ast.SelectorExpr:
		return is.Sel.Name == "Refusal"
	case *ast.Ident:
		return is.Name == "Refusal"
	}
	return false
}
