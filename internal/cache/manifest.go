package cache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// manifestSchema is the version of the JSON below and of LayerMeta's.
const manifestSchema = 1

// Manifest is the JSON file beside an image: what it is, what it was made from and how. The names of its fields
// are stable. PublishImage fills in Schema, SHA256, SizeBytes and ModifiedAt.
type Manifest struct {
	Schema           int               `json:"schema"`
	Key              string            `json:"key"`
	Name             string            `json:"name"`
	Profile          string            `json:"profile"`
	Arch             host.Arch         `json:"arch"`
	Format           string            `json:"format"`
	Firmware         string            `json:"firmware"`
	TPM              bool              `json:"tpm,omitempty"`  // it was built and verified with one
	ISO              string            `json:"iso"`            // the ISO's name in the catalog
	Base             string            `json:"base,omitempty"` // file name of the base image, "" for an installed one
	Inputs           map[string]string `json:"inputs"`
	SHA256           string            `json:"sha256"` // of the image file, 64 hex digits
	SizeBytes        int64             `json:"size_bytes"`
	VirtualSizeBytes int64             `json:"virtual_size_bytes"`
	// ModifiedAt is the image file's modification time as it was published. While it and the size are the same
	// the file need not be read again to know its digest.
	ModifiedAt        time.Time     `json:"modified_at"`
	Packages          []Package     `json:"packages"`
	Builder           string        `json:"builder"`
	Accelerator       string        `json:"accelerator"`
	AcceleratorReason string        `json:"accelerator_reason"`
	Recipe            string        `json:"recipe"`
	StartedAt         time.Time     `json:"started_at"`
	BuiltAt           time.Time     `json:"built_at"`
	Steps             []Step        `json:"steps"`
	Verify            *Verification `json:"verify,omitempty"` // nil when the image was not booted
	ProviderVersion   string        `json:"provider_version"`
}

// Package is a package installed in an image.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
}

// Step is how long one step of a build took.
type Step struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// Verification is what the first boot of an image, on a throw-away overlay, showed.
type Verification struct {
	MachineID string   `json:"machine_id"`
	HostKeys  []string `json:"host_keys"`
	CloudInit string   `json:"cloud_init"`         // its final status, "done"
	Firmware  string   `json:"firmware,omitempty"` // as the guest saw it: "bios", "uefi", or "uefi-secure" with Secure Boot in force
	TPM       bool     `json:"tpm,omitempty"`      // the guest had one
}

// encode is the JSON of a manifest, indented because people read it.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("cannot encode a manifest: %w", err)
	}
	return b.Bytes(), nil
}
