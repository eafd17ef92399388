//go:build !linux

package hosttest

import "errors"

func inNetworkOf(int, func() error) error { return errors.ErrUnsupported }
