//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
)

// tested is the file with the table of what was run; each run writes its own line.
const tested = "../../TESTED.md"

// result is what a row showed when it passed, in the words of the table. Key is the image's.
type result struct {
	Key, Image, Machine, Parts, Install, Rest, Verify, Clone, Based, Date string
}

// result describes a run. installed says that the installer ran in it, not in one before.
func (r row) result(t *testing.T, b *bench, m cache.Manifest, installed bool, booted, based time.Duration) result {
	t.Helper()
	qemu, err := exec.CommandContext(t.Context(), r.machine(t)[0], "--version").Output()
	must(t, err)
	_, version, _ := strings.Cut(strings.SplitN(string(qemu), "\n", 2)[0], "version ")
	version, _, _ = strings.Cut(version, " ")
	parts := "the mirror's"
	switch {
	case b.kit.Own:
		parts = "rebuilt where the mirror has none"
	case b.kit.Overlaid:
		parts = "repacked where the mirror has none"
	}
	install := "in an earlier run"
	if installed {
		install = seconds(m.Steps, "install").String()
	}
	var rest time.Duration
	for _, step := range []string{"boot", "scripts", "finalize", "compact"} {
		rest += seconds(m.Steps, step)
	}
	return result{
		Key: m.Key, Image: fmt.Sprintf("%s, %s", r.arch, r.firmware),
		Machine: fmt.Sprintf("%s, %d CPUs, QEMU %s, %s", runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), version, m.Accelerator),
		Parts:   parts, Install: install, Rest: rest.String(), Verify: seconds(m.Steps, "verify").String(),
		Clone: booted.Round(time.Second).String(), Based: based.Round(time.Second).String(), Date: m.BuiltAt.Format(time.DateOnly),
	}
}

// line is the row's line in the table.
func (d result) line(name string) string {
	return "| " + strings.Join([]string{
		name, d.Image, d.Machine, d.Parts, d.Install, d.Rest, d.Verify, d.Clone, d.Based, d.Date, "`" + d.Key[:12] + "`",
	}, " | ") + " |"
}

// readResult reads what an earlier run wrote down; ok is false when there is none.
func readResult(t *testing.T, file string) (d result, ok bool) {
	t.Helper()
	data, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return d, false
	}
	must(t, err)
	must(t, json.Unmarshal(data, &d))
	return d, true
}

// writeTested puts the row's line into the table, in the place of an earlier one.
func writeTested(t *testing.T, r row, d result) {
	t.Helper()
	text, err := os.ReadFile(tested)
	must(t, err)
	lines := strings.Split(string(text), "\n")
	named := func(name string) int {
		return slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "| "+name+" |") })
	}
	if at := named(r.name); at >= 0 {
		lines[at] = d.line(r.name)
	} else {
		after := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "|---") })
		for _, before := range matrix[:slices.IndexFunc(matrix, func(o row) bool { return o.name == r.name })] {
			after = max(after, named(before.name))
		}
		if after < 0 {
			t.Fatalf("%s has no table", tested)
		}
		lines = slices.Insert(lines, after+1, d.line(r.name))
	}
	must(t, os.WriteFile(tested, []byte(strings.Join(lines, "\n")), 0o644))
}
