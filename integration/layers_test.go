package integration_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The import rules of the architecture (docs/design.md, "Who may import whom"), as a test over the source itself. Test
// files are free to import more, but for the libraries that have one home.

const module = "github.com/stoa-project/stoa"

// layers are the folders that know nothing of each other. Only cmd and integration see all of them.
var layers = []string{"master", "slave", "executor", "frameworks"}

// allowedAcross are the imports between layers that are meant: a framework may use the executors' driver.
var allowedAcross = map[[2]string]bool{{"frameworks", "executor"}: true}

// pure are the packages that decide: no clock, no IO, no goroutine, no randomness, no log.
var pure = []string{
	"proto/mesos", "proto/resource", "proto/codec", "proto/wire", "proto/flow",
	"master/core", "master/allocator", "master/registry",
	"slave/core", "executor/core", "frameworks/scheduler/core",
}

// impureStd are the parts of the standard library that a pure package has no use for.
var impureStd = []string{"os", "net", "syscall", "log", "sync", "runtime", "math/rand", "crypto/rand", "context", "testing"}

// pureParts are the parts of those that only hold values.
var pureParts = []string{"net/netip"}

// impureCalls are the functions of otherwise pure packages that look at the clock.
var impureCalls = map[string][]string{
	"time": {"Now", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Since", "Until"},
}

// homes are the libraries that exactly one package may import, so that each can be replaced at one place.
var homes = map[string]string{
	"github.com/asynkron/protoactor-go": "actor",
	"github.com/opencontainers/runc":    "slave/containerizer/libcontainer",
	"github.com/opencontainers/cgroups": "slave/containerizer/libcontainer",
	"github.com/hashicorp/serf":         "actor/member",
	"github.com/hashicorp/raft":         "master/quorum",
}

type sourceFile struct {
	path    string // below the project's root
	dir     string
	test    bool
	imports []string
	syntax  *ast.File
}

func sources(t *testing.T) []sourceFile {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	var files []sourceFile
	err = filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			_, nested := os.Stat(filepath.Join(file, "go.mod"))
			if file != root && (nested == nil || name == "testdata" || strings.HasPrefix(name, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, ".pb.go") {
			return nil
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		source := sourceFile{path: relative, dir: path.Dir(relative), test: strings.HasSuffix(name, "_test.go"), syntax: syntax}
		for _, spec := range syntax.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			source.imports = append(source.imports, imported)
		}
		files = append(files, source)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("only %d source files found below %s: the test looks at the wrong place", len(files), root)
	}
	return files
}

func below(dir, folder string) bool { return dir == folder || strings.HasPrefix(dir, folder+"/") }

// ours gives the folder of an import of this project.
func ours(imported string) (string, bool) { return strings.CutPrefix(imported, module+"/") }

func TestActorAndProtoKnowNothingOfTheRest(t *testing.T) {
	for _, file := range sources(t) {
		for _, layer := range []string{"actor", "proto"} {
			if !below(file.dir, layer) {
				continue
			}
			for _, imported := range file.imports {
				if folder, our := ours(imported); our && !below(folder, layer) {
					t.Errorf("%s imports %s; %s may import nothing of ours but %s", file.path, folder, layer, layer)
				}
			}
		}
	}
}

func TestLayersDoNotImportEachOther(t *testing.T) {
	for _, file := range sources(t) {
		from := strings.SplitN(file.dir, "/", 2)[0]
		if file.test || !slices.Contains(layers, from) {
			continue
		}
		for _, imported := range file.imports {
			folder, our := ours(imported)
			to := strings.SplitN(folder, "/", 2)[0]
			if !our || to == from || to == "actor" || to == "proto" || allowedAcross[[2]string{from, to}] {
				continue
			}
			t.Errorf("%s imports %s; %s may import actor, proto and itself", file.path, folder, from)
		}
	}
}

func TestPurePackagesDecideAndDoNothingElse(t *testing.T) {
	for _, file := range sources(t) {
		if file.test || !slices.Contains(pure, file.dir) {
			continue
		}
		for _, imported := range file.imports {
			for _, impure := range impureStd {
				if below(imported, impure) && !slices.Contains(pureParts, imported) {
					t.Errorf("%s imports %s; a pure package has no IO, clock, goroutine, lock or randomness", file.path, imported)
				}
			}
			if folder, our := ours(imported); our && !below(folder, "proto") && !slices.Contains(pure, folder) {
				t.Errorf("%s imports %s; a pure package may import proto and other pure packages", file.path, folder)
			}
		}
		ast.Inspect(file.syntax, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.GoStmt, *ast.SelectStmt, *ast.SendStmt:
				t.Errorf("%s starts a goroutine or uses a channel; a pure package may not", file.path)
			case *ast.SelectorExpr:
				if name, ok := node.X.(*ast.Ident); ok && slices.Contains(impureCalls[name.Name], node.Sel.Name) {
					t.Errorf("%s uses %s.%s; a pure package is told the time", file.path, name.Name, node.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestEachLibraryHasOneHome(t *testing.T) {
	for _, file := range sources(t) {
		for _, imported := range file.imports {
			for library, home := range homes {
				if below(imported, library) && file.dir != home {
					t.Errorf("%s imports %s; only %s may", file.path, imported, home)
				}
			}
		}
	}
}

func TestOnlyTheTopSeesEverything(t *testing.T) {
	for _, file := range sources(t) {
		if file.test || below(file.dir, "cmd") || below(file.dir, "integration") {
			continue
		}
		for _, imported := range file.imports {
			if folder, our := ours(imported); our && (below(folder, "cmd") || below(folder, "integration")) {
				t.Errorf("%s imports %s; only cmd and integration may", file.path, folder)
			}
		}
	}
}
