package integration_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// linkedModules lists the modules of which something is in the program, as "path version".
func linkedModules(t *testing.T) []string {
	t.Helper()
	command := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}} {{.Version}}{{end}}", "./cmd/...")
	command.Dir = ".."
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.Split(string(output), "\n")
}

// Tools that fetch by the means of others, git and hg among them, take what a task names for their options, follow links and
// bring their own bits. Stoa fetches by itself.
func TestCVE_2024_3817_AndCVE_2025_8959_AndCVE_2022_30324_NoFetcherOfOthersIsLinked(t *testing.T) {
	modules := linkedModules(t)
	if len(modules) < 100 {
		t.Fatalf("only %d packages are listed: the test looks at the wrong place", len(modules))
	}
	for _, module := range modules {
		if strings.HasPrefix(module, "github.com/hashicorp/go-getter") || strings.HasPrefix(module, "github.com/go-git/") {
			t.Errorf("%s is linked", module)
		}
	}
}

// leastRunc is the oldest libcontainer without a hole that is known: those of the name of this test, and those of 2025 and 2026.
var leastRunc = [3]int{1, 5, 2}

func TestCVE_2024_45310_AndCVE_2023_27561_AndCVE_2023_28642_AndCVE_2023_25809_AndCVE_2021_43784_LibcontainerIsNoneOfThoseWithHoles(t *testing.T) {
	manifest, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\s*github\.com/opencontainers/runc v(\S+)`).FindAllStringSubmatch(string(manifest), -1)
	if len(found) != 1 || strings.Contains(string(manifest), "replace github.com/opencontainers/runc") {
		t.Fatalf("go.mod names libcontainer %d times, or replaces it", len(found))
	}
	var version [3]int
	if n, err := fmt.Sscanf(found[0][1], "%d.%d.%d", &version[0], &version[1], &version[2]); n != 3 {
		t.Fatalf("version %s: %v", found[0][1], err)
	}
	older := false
	for i := range version {
		if version[i] != leastRunc[i] {
			older = version[i] < leastRunc[i]
			break
		}
	}
	if older || strings.Contains(found[0][1], "-") && version == leastRunc {
		t.Errorf("libcontainer is of version %s, want %v at least", found[0][1], leastRunc)
	}
}

// secretNames end the names of what nobody may guess bit by bit.
var secretNames = regexp.MustCompile(`([sS]ecret|[tT]oken|[cC]redential|[pP]assword)s?[][():]*$`)

// How long a comparison takes must not tell how much of a secret was right.
func TestCVE_2018_8023_SecretsAreComparedInConstantTime(t *testing.T) {
	for _, file := range sources(t) {
		if file.test {
			continue
		}
		ast.Inspect(file.syntax, func(node ast.Node) bool {
			var compared []ast.Expr
			switch node := node.(type) {
			case *ast.BinaryExpr:
				if node.Op == token.EQL || node.Op == token.NEQ {
					compared = []ast.Expr{node.X, node.Y}
				}
			case *ast.CallExpr:
				if name := types.ExprString(node.Fun); name == "bytes.Equal" || name == "bytes.Compare" || name == "slices.Equal" || name == "strings.EqualFold" {
					compared = node.Args
				}
			}
			for i, one := range compared {
				this, other := types.ExprString(one), types.ExprString(compared[len(compared)-1-i])
				fine := strings.HasPrefix(this, "len(") || strings.HasPrefix(this, "subtle.")
				if secretNames.MatchString(this) && !fine && other != "nil" && other != `""` && other != "0" {
					t.Errorf("%s compares %s with %s: secrets are compared by subtle.ConstantTimeCompare", file.path, this, other)
				}
			}
			return true
		})
	}
}

// holes finds the CVEs in the first column of a table, and testedHoles those in the name of a test.
var (
	holes       = regexp.MustCompile(`CVE-(\d{4})-(\d+)`)
	testedHoles = regexp.MustCompile(`CVE_(\d{4})_(\d+)`)
)

// Readers of docs/containers.md are told which holes of others are tested for. The table has them all, and each has its test.
func TestEachHoleOfOthersHasATestThatIsNamedAfterIt(t *testing.T) {
	page, err := os.ReadFile("../docs/containers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "### What went wrong elsewhere")
	table, _, _ = strings.Cut(table, "\n## ")
	told := map[string]bool{}
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			for _, cve := range holes.FindAllStringSubmatch(cells[1], -1) {
				told[cve[1]+"-"+cve[2]] = true
			}
		}
	}
	if len(told) < 30 {
		t.Errorf("the table tells of %d holes: the test looks at the wrong place", len(told))
	}
	tested := map[string]bool{}
	for _, file := range sources(t) {
		for _, declared := range file.syntax.Decls {
			function, ok := declared.(*ast.FuncDecl)
			if !ok || !file.test || !strings.HasPrefix(function.Name.Name, "Test") {
				continue
			}
			for _, cve := range testedHoles.FindAllStringSubmatch(function.Name.Name, -1) {
				tested[cve[1]+"-"+cve[2]] = true
			}
		}
	}
	for cve := range told {
		if !tested[cve] {
			t.Errorf("no test is named after CVE-%s", cve)
		}
	}
	for cve := range tested {
		if !told[cve] {
			t.Errorf("docs/containers.md does not tell of CVE-%s, which has a test", cve)
		}
	}
}
