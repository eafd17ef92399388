package proxmox

import (
	"fmt"
)

// way is how an image gets into a version of Proxmox VE.
type way struct {
	content string // content type of the upload
	ext     string // of its name
	wrapped bool   // in a tar
	asRoot  bool   // imported by its path, which only root may
}

var (
	imported = way{content: "import", ext: ".qcow2"}
	// appliance is how 8.3 takes a qcow2: its content type import knows OVA only, but does not look at the OVF in it.
	appliance = way{content: "import", ext: ".ova", wrapped: true}
	// byPath is how 8.0 to 8.2 do, which lack that content type. Any name that ends in .img is an ISO image to them.
	byPath = way{content: "iso", ext: ".img", asRoot: true}
)

// innerDisk is the image's name in an appliance.
const innerDisk = "disk.qcow2"

// wayInto chooses by the server's version, such as "8.4.21".
func wayInto(version string) (way, error) {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return way{}, fmt.Errorf("the server says that its version is %q, which is none of Proxmox VE's", version)
	}
	switch {
	case major < 8:
		return way{}, fmt.Errorf("Proxmox VE %s is too old: 8.0 is the oldest that works, 8.4 the oldest without limits", version) //nolint:staticcheck // a name
	case major == 8 && minor < 3:
		return byPath, nil
	case major == 8 && minor == 3:
		return appliance, nil
	}
	return imported, nil
}
