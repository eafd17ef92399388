package provider

import (
	"errors"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// tools looks for the programs a build needs.
func (r *runtime) tools(arch host.Arch) error {
	return errors.New("todo")
}
