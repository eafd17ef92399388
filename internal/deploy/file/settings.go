// Package file deploys images to files: qcow2, raw, vmdk, vdi or vhdx at a path, with a checksum beside it.
//
// Beside PATH lie PATH.pim.json, the record by which the file is known as ours, and PATH.sha256. The record comes first
// and goes last, so that whatever a killed provider leaves is known as well. An unfinished file is PATH.….part.
package file

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/deploy/localfile"
)

// Settings are those of a target of type "file".
type Settings struct {
	Path     string `yaml:"path"`     // of the file; absolute, or below "~/" as long as nobody has resolved that
	Format   string `yaml:"format"`   // one of localfile.Formats; by default what the path ends in, else qcow2
	Checksum *bool  `yaml:"checksum"` // whether PATH.sha256 is made, as sha256sum does; the default is true
}

// Complete fills the defaults in and checks the values. It does no I/O.
func (s *Settings) Complete() []deploy.Problem {
	if s.Format == "" {
		s.Format = localfile.Formats[0]
		if ext := strings.TrimPrefix(path.Ext(s.Path), "."); slices.Contains(localfile.Formats, ext) {
			s.Format = ext
		}
	}
	if s.Checksum == nil {
		yes := true
		s.Checksum = &yes
	}
	var problems []deploy.Problem
	switch {
	case s.Path == "":
		problems = append(problems, deploy.Problem{
			Field: "path", Summary: "No path", Detail: "Give the path of the file to make.",
		})
	case !strings.HasPrefix(s.Path, "/") && !strings.HasPrefix(s.Path, "~/"), strings.HasSuffix(s.Path, "/"),
		strings.ContainsFunc(s.Path, unicode.IsControl):
		problems = append(problems, deploy.Problem{
			Field: "path", Summary: "Not the path of a file",
			Detail: fmt.Sprintf("path is %q. Give an absolute one, such as abspath(\"${path.root}/image.qcow2\").", s.Path),
		})
	}
	if !slices.Contains(localfile.Formats, s.Format) {
		problems = append(problems, deploy.Problem{
			Field: "format", Summary: "Unknown format",
			Detail: fmt.Sprintf("format is %q. Choose one of %s.", s.Format, strings.Join(localfile.Formats, ", ")),
		})
	}
	return problems
}

// Effect is what it takes to put a change of a field into effect.
func Effect(field string) deploy.Effect {
	switch field {
	case "path":
		return deploy.Move
	case "format":
		return deploy.Recreate
	}
	return deploy.InPlace
}
