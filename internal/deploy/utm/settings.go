// Package utm deploys images as UTM bundles: virtual machines for a Mac, with QEMU as the back end.
//
// OUTPUT_DIR/NAME.utm holds config.plist, which is UTM's, Data/disk.qcow2, which is the image itself, and pim.json, the
// record by which the bundle is known as ours. It is a golden image: a person clones it in UTM, puts a NoCloud seed into
// the clone's CD drive and starts the clone. A bundle that was started all the same is somebody's machine, which is
// never deleted: a new generation puts it aside, destroying the deployment leaves it where it is.
package utm

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

// The ways a machine's network card is connected, by the names of the settings.
const (
	Shared   = "shared"   // NAT by macOS; the Mac and its other guests reach it
	Bridged  = "bridged"  // to the Mac's own network
	Emulated = "emulated" // NAT by QEMU, without rights; nobody reaches it
)

// Settings are those of a target of type "utm".
type Settings struct {
	OutputDir string `yaml:"output_dir"` // absolute, or below "~/" as long as nobody has resolved that
	Cores     int    `yaml:"cores"`      // virtual CPUs
	Memory    int    `yaml:"memory"`     // MiB
	Network   string `yaml:"network"`    // Shared, Bridged or Emulated
}

const (
	defaultCores  = 2
	defaultMemory = 2048
	minMemory     = 128
)

// Complete fills the defaults in and checks the values. It does no I/O.
func (s *Settings) Complete() []deploy.Problem {
	if s.Cores == 0 {
		s.Cores = defaultCores
	}
	if s.Memory == 0 {
		s.Memory = defaultMemory
	}
	if s.Network == "" {
		s.Network = Shared
	}
	var problems []deploy.Problem
	want := func(ok bool, field, summary, detail string, value ...any) {
		if !ok {
			problems = append(problems, deploy.Problem{Field: field, Summary: summary, Detail: fmt.Sprintf(detail, value...)})
		}
	}
	want(strings.HasPrefix(s.OutputDir, "/") || strings.HasPrefix(s.OutputDir, "~/"), "output_dir", "No folder for the bundle",
		"output_dir is %q. Give the absolute path of the folder that gets the bundle, such as \"~/.local/share/pim/utm\".", s.OutputDir)
	want(!strings.ContainsFunc(s.OutputDir, unicode.IsControl), "output_dir", "Not a folder's path",
		"output_dir is %q, which has control characters.", s.OutputDir)
	want(s.Cores > 0, "cores", "Too few cores", "cores is %d. Give 1 or more.", s.Cores)
	want(s.Memory >= minMemory, "memory", "Too little memory", "memory is %d MiB. Give %d or more.", s.Memory, minMemory)
	_, known := modes[s.Network]
	want(known, "network", "Unknown network", "network is %q. Choose one of %s.", s.Network,
		strings.Join([]string{Shared, Bridged, Emulated}, ", "))
	return problems
}

// Effect is what it takes to put a change of a field into effect.
func Effect(field string) deploy.Effect {
	if field == "output_dir" {
		return deploy.Move
	}
	return deploy.InPlace
}

// badName says what is wrong with a name for a bundle, "" for nothing.
func badName(name string) string {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsControl(r) || slices.Contains([]rune(`/:\`), r)
	}) {
		return fmt.Sprintf("%q cannot be the name of a bundle. Choose one without slashes, colons and leading dots.", name)
	}
	return ""
}
