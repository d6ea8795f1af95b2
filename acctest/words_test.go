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
	"strings"
	"testing"
	"unicode"
)

// private are words that stood here for what the field has a word for. What a person or an API reads keeps its
// spelling: the schema's values, keys of JSON that lies on hosts or in private state.
//
// Some words of the style's table cannot be held, since they mean something else elsewhere: a snapshot is taken, text
// has lines, a value is held, a silent host sends nothing, a serving member answers, a disk is failing, systemd has
// jobs and services, endpoints are asked in turn, progress is logged, a slot is scheduled, and a key fits an algorithm.
var private = map[string]string{
	"seat": "member, member status", "picture": "cluster status", "sight": "reports", "stranger": "unmanaged member", "wish": "configuration, desired",
	"mute": "unhealthy", "wallet": "credentials", "seal": "checksum", "populate": "prefault", "breathe": "heartbeat", "reviving": "restore run",
	"revive": "restore run", "cease": "disable", "certify": "renew certificates", "living": "running, formed", "tidy": "clean up", "settle": "fill in, hand over, sync",
	"usual": "default, common", "judge": "check, assess", "origin": "source", "young": "starting", "choice": "planner", "understood": "preconditions, read",
}

// spared are names in which a word is somebody else's, or has another meaning.
var spared = regexp.MustCompile(`^(certify|Certify|MAP_POPULATE|OriginHost|OriginPort)$`)

// former are texts that hosts and private state have by their former names.
var former = regexp.MustCompile(`^("take-back"|"sight"|.json:"seats".|.\{"seats":\[\]\}.)$`)

// prose are words that comments, documents and golden files do not say: what each stood for has a word in the field.
var prose = regexp.MustCompile(`\b(seats?|sight|pictures?|wish|wishes|wallet|usualKeep|living (cluster|member)s?|(tak(e|es|en|ing)|took) (it |this |that |them )?back|take-back|thin line|` +
	`(a|the|no|each|every|one|another|older|newer|newest) lines? of (etcd|versions)|(older|newer|newest) lines?|` +
	`judge[sd]?|judging|ceas(e|es|ed|ing)|breathes?|breathing|reviv(e|es|ed|ing)|a living one)\b`)

// readable are files that are read beside Go and documents: templates, golden files, examples, workflows and units.
var readable = []string{".tmpl", ".txt", ".tf", ".hcl", ".sh", ".yml", ".service", ".timer"}

// TestWords holds that code speaks the words of the field: in the names of everything, and in comments, texts,
// documents and golden files where a word has no other meaning.
func TestWords(t *testing.T) {
	files := token.NewFileSet()
	seen := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "bin"):
			return fs.SkipDir
		case filepath.Ext(path) == ".md", d.Name() == "GNUmakefile", slices.Contains(readable, filepath.Ext(path)):
			text, err := os.ReadFile(path)
			if found := prose.FindString(string(text)); found != "" {
				t.Errorf("%s says %q", path, found)
			}
			return err
		case filepath.Ext(path) != ".go" || d.Name() == "words_test.go":
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		seen++
		ast.Inspect(file, func(n ast.Node) bool {
			if text, is := n.(*ast.BasicLit); is && text.Kind == token.STRING && !former.MatchString(text.Value) {
				if found := prose.FindString(text.Value); found != "" {
					t.Errorf("%s: the text says %q", files.Position(text.Pos()), found)
				}
			}
			name, is := n.(*ast.Ident)
			if !is || spared.MatchString(name.Name) {
				return true
			}
			for _, word := range words(name.Name) {
				if say, found := private[strings.TrimSuffix(word, "s")]; found {
					t.Errorf("%s: %s: say %s", files.Position(name.Pos()), name.Name, say)
				}
			}
			return true
		})
		for _, group := range file.Comments {
			for _, c := range group.List {
				if found := prose.FindString(c.Text); found != "" {
					t.Errorf("%s: the comment says %q", files.Position(c.Pos()), found)
				}
			}
		}
		return nil
	})
	if err != nil || seen < 100 {
		t.Errorf("%d files were read: %v", seen, err)
	}
}

// words are those of a name in camel case, in lower case.
func words(name string) (all []string) {
	begin := 0
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) {
			all, begin = append(all, strings.ToLower(name[begin:i])), i
		}
	}
	return append(all, strings.ToLower(name[begin:]))
}

// leading matches a name at the beginning of a comment: a word with a capital in it, or without any, which no sentence
// begins with.
var leading = regexp.MustCompile(`^([A-Za-z]*[a-z][A-Z]\w*|[a-z]\w*)\b`)

// TestCommentsNameWhatTheyAreAbout holds that a comment on a declaration does not begin with another name: mostly the
// one that the declaration had before.
func TestCommentsNameWhatTheyAreAbout(t *testing.T) {
	files := token.NewFileSet()
	named := 0
	check := func(doc *ast.CommentGroup, name string) {
		if begin := leading.FindString(doc.Text()); begin == name {
			named++
		} else if begin != "" {
			t.Errorf("%s: the comment on %s begins with %s", files.Position(doc.Pos()), name, begin)
		}
	}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, declared := range file.Decls {
			switch is := declared.(type) {
			case *ast.FuncDecl:
				check(is.Doc, is.Name.Name)
			case *ast.GenDecl:
				if kind, one := is.Specs[0].(*ast.TypeSpec); one && len(is.Specs) == 1 {
					check(is.Doc, kind.Name.Name)
				} else if value, one := is.Specs[0].(*ast.ValueSpec); one && len(is.Specs) == 1 && len(value.Names) == 1 {
					check(is.Doc, value.Names[0].Name)
				}
			}
		}
		return nil
	})
	if err != nil || named < 100 {
		t.Errorf("%d comments name what they are about: %v", named, err)
	}
}
