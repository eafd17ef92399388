package localfile

import (
	"fmt"
	"path"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// Options are what a target of files has beside its settings.
type Options struct {
	Pace deploy.Pace // the zero value is deploy.DefaultPace
	Host host.Host   // that gets the files; nil is this machine
}

// Filled are the options with the defaults in the place of what is not set.
func (o Options) Filled() Options {
	o.Pace = o.Pace.OrDefault()
	if o.Host == nil {
		o.Host = host.NewLocal()
	}
	return o
}

// Place is the clean path of a setting's value, which must be absolute: a "~" is the caller's to resolve.
func Place(field, value string) (string, error) {
	if !path.IsAbs(value) {
		return "", &deploy.FieldError{Field: field, Err: fmt.Errorf("%s is not absolute", value)}
	}
	return path.Clean(value), nil
}
