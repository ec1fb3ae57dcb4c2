package slave

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

const (
	mebibyte = 1 << 20
	gibibyte = 1 << 30
)

// What a slave keeps for the machine itself, in bytes: Mesos's figures.
const (
	ReservedMemory = 1 * gibibyte // of machines with more than twice as much; else half of the memory
	ReservedDisk   = 5 * gibibyte // of file systems with more than twice as much; else half of the disk
)

// The ports that a slave offers: Mesos's.
const (
	FirstPort = 31000
	LastPort  = 32000
)

// DetectResources returns what a slave offers: what text says (as resource.Parse reads it), and for each of cpus, mem,
// disk and ports that it does not mention, what the machine and the file system of workDir have, less what the machine
// needs itself. mem and disk are in MiB. A folder of workDir need not exist yet.
func DetectResources(text, workDir string) ([]*mesos.Resource, error) {
	given, err := resource.Parse(text)
	if err != nil {
		return nil, err
	}
	found, err := measure(workDir)
	if err != nil {
		return nil, err
	}
	return fillIn(given, found).ToProto(), nil
}

// machine is the size of a machine.
type machine struct {
	cpus         int
	memory, disk uint64 // in bytes
}

// fillIn adds to the given resources what the machine has of the names that are not given.
func fillIn(given resource.Resources, m machine) resource.Resources {
	all := resource.Sum(
		resource.Scalar("cpus", int64(m.cpus)*resource.Unit),
		resource.Scalar("mem", mebibytes(lessReserved(m.memory, ReservedMemory))),
		resource.Scalar("disk", mebibytes(lessReserved(m.disk, ReservedDisk))),
		resource.Ranges("ports", resource.Range{Begin: FirstPort, End: LastPort}),
	)
	mentioned := map[string]bool{}
	for _, name := range given.Names() {
		mentioned[name] = true
	}
	return given.Add(all.Filter(func(r resource.Resource) bool { return !mentioned[r.Name()] }))
}

func lessReserved(total, reserved uint64) uint64 {
	if total > 2*reserved {
		return total - reserved
	}
	return total / 2
}

// mebibytes converts bytes to thousandths of whole MiB.
func mebibytes(bytes uint64) int64 { return int64(bytes/mebibyte) * resource.Unit }

func measure(workDir string) (machine, error) {
	memory, err := totalMemory()
	if err != nil {
		return machine{}, fmt.Errorf("find out how much memory there is: %w", err)
	}
	disk, err := diskSize(workDir)
	if err != nil {
		return machine{}, fmt.Errorf("find out how large the disk of work_dir %s is: %w", workDir, err)
	}
	return machine{cpus: runtime.NumCPU(), memory: memory, disk: disk}, nil
}

// diskSize returns the size in bytes of the file system that a folder lies or will lie on.
func diskSize(folder string) (uint64, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return 0, err
	}
	var stat unix.Statfs_t
	for {
		err := unix.Statfs(folder, &stat)
		// That a file is in the way is found out, and told better, when the folder is made.
		if (errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR)) && folder != filepath.Dir(folder) {
			folder = filepath.Dir(folder)
			continue
		}
		if err != nil {
			return 0, err
		}
		return stat.Blocks * uint64(stat.Bsize), nil
	}
}

// diskUse is the part of the file system of a folder that is in use.
func diskUse(folder string) (float64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return 0, fmt.Errorf("file system of %s: %w", folder, err)
	}
	return useOf(&stat), nil
}

// useOf counts as df does, what only root may take as not free, and as df -i: a file system can be full of small files.
func useOf(stat *unix.Statfs_t) float64 {
	bytes := part(stat.Blocks-stat.Bfree, stat.Bavail)
	files := part(stat.Files-stat.Ffree, stat.Ffree) // of 0 where there is no bound of them
	return max(bytes, files)
}

// part is which part is in use, from 0 to 1.
func part(used, free uint64) float64 {
	if used+free == 0 {
		return 0
	}
	return float64(used) / float64(used+free)
}

// ParseAttributes reads attributes as operators write them: name:value pairs with semicolons between them. A value is
// a number, ranges like [1-5,8-9], or text:
//
//	rack:a;zone:eu-1;cores:8;vlans:[100-199]
func ParseAttributes(text string) ([]*mesos.Attribute, error) {
	var attributes []*mesos.Attribute
	for i, part := range strings.Split(text, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		a, err := parseAttribute(part)
		if err != nil {
			return nil, fmt.Errorf("attributes: part %d %q: %w", i+1, strings.TrimSpace(part), err)
		}
		attributes = append(attributes, a)
	}
	return attributes, nil
}

func parseAttribute(part string) (*mesos.Attribute, error) {
	name, value, found := strings.Cut(part, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	switch {
	case !found || value == "":
		return nil, errors.New("allowed is name:value, like rack:a")
	case name == "":
		return nil, errors.New("the name before the colon is empty")
	case strings.HasPrefix(value, "["):
		ranges, err := parseRanges(value)
		if err != nil {
			return nil, err
		}
		return &mesos.Attribute{Name: &name, Type: mesos.Value_RANGES.Enum(), Ranges: ranges}, nil
	}
	if number, err := strconv.ParseFloat(value, 64); err == nil && strings.Trim(value, "0123456789.+-eE") == "" {
		return &mesos.Attribute{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &number}}, nil
	}
	return &mesos.Attribute{Name: &name, Type: mesos.Value_TEXT.Enum(), Text: &mesos.Value_Text{Value: proto.String(value)}}, nil
}

// parseRanges reads [1-5,8-9].
func parseRanges(value string) (*mesos.Value_Ranges, error) {
	inner, closed := strings.CutSuffix(strings.TrimPrefix(value, "["), "]")
	if !closed {
		return nil, fmt.Errorf("value %q begins with [ and must end with ]", value)
	}
	ranges := &mesos.Value_Ranges{}
	for text := range strings.SplitSeq(inner, ",") {
		first, last, _ := strings.Cut(text, "-")
		begin, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 64)
		end, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 64)
		if err1 != nil || err2 != nil || begin > end {
			return nil, fmt.Errorf("range %q must be two whole numbers, the smaller first, like 1-5", strings.TrimSpace(text))
		}
		ranges.Range = append(ranges.Range, &mesos.Value_Range{Begin: &begin, End: &end})
	}
	return ranges, nil
}
