package provision

import (
	"context"
	"strings"
)

// CloudInitError is a cloud-init that did not do what its seed says.
type CloudInitError struct {
	Err  error
	Tail []string // last lines that it and what it ran have printed
}

func (e *CloudInitError) Error() string { return e.Err.Error() }

func (e *CloudInitError) Unwrap() error { return e.Err }

// cloudInitOutput prints the end of what cloud-init's modules, and the programs they ran, have printed.
const cloudInitOutput = "tail -n 20 /var/log/cloud-init-output.log"

// AwaitCloudInit waits until cloud-init has done what the guest's seed says, its packages included. An error of
// cloud-init is a *CloudInitError.
func (g *Guest) AwaitCloudInit(ctx context.Context) error {
	status, err := g.cloudInit(ctx)
	if err != nil {
		return err
	}
	if err = status.problem(); err == nil {
		return nil
	}
	failed := &CloudInitError{Err: err}
	if out, err := g.Output(ctx, cloudInitOutput); err == nil {
		failed.Tail = strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	}
	return failed
}
