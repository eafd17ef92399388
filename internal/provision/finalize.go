package provision

import (
	"bytes"
	"context"
	_ "embed"
	"io"
	"strings"
)

var (
	//go:embed lib.sh
	libScript []byte
	//go:embed prepare.sh
	prepareScript []byte
	//go:embed finalize.sh
	finalizeScript []byte
	//go:embed finalize-check.sh
	checkScript []byte
)

// Prepare readies a freshly booted guest for scripts: apt's own timers are stopped until the next boot, running
// package managers are waited for, and packages are fetched through proxy (a URL as the guest reaches it, ""
// for none) instead of the one the installer used. Finalize removes that proxy again.
func (g *Guest) Prepare(ctx context.Context, proxy string) error {
	env := map[string]string{"PIM_APT_PROXY": proxy}
	return g.Run(ctx, Script{Name: "prepare", Body: shell(libScript, prepareScript), Env: env}, nil)
}

// NotGenericError is what Finalize found left in the guest that must not be in an image.
type NotGenericError struct{ Findings []string } // "path: what is wrong"

func (e *NotGenericError) Error() string {
	return "the image is not generic: " + strings.Join(e.Findings, "; ")
}

// Finalize makes the guest generic, so that each clone of its disk becomes a machine of its own, and then looks
// whether it is: a finding is a *NotGenericError. What it removes: the build's key, settings and proxy, SSH host
// keys (a unit makes new ones at first boot), machine-id, random seed, logs, histories, leases, package lists
// and caches, what cloud-init remembers. It may be called again. After it, the connection still works, but no
// new one can be made; follow it with PowerOff.
func (g *Guest) Finalize(ctx context.Context, out io.Writer) error {
	err := g.Run(ctx, Script{Name: "finalize", Body: shell(libScript, finalizeScript), Env: g.traces()}, out)
	if err != nil {
		return err
	}
	return g.checkGeneric(ctx)
}

func (g *Guest) checkGeneric(ctx context.Context) error {
	var found bytes.Buffer
	err := g.Run(ctx, Script{Name: "finalize-check", Body: shell(libScript, checkScript), Env: g.traces()}, &found)
	if err != nil {
		return err
	}
	if s := strings.TrimSpace(found.String()); s != "" {
		return &NotGenericError{strings.Split(s, "\n")}
	}
	return nil
}

// traces tells the scripts what the build put into the guest.
func (g *Guest) traces() map[string]string {
	return map[string]string{"PIM_BUILD_KEY": g.key, "PIM_SSHD_DROP_IN": sshdDropIn}
}

// shell makes one script of parts.
func shell(parts ...[]byte) []byte {
	return append([]byte("#!/bin/sh\nset -eu\n"), bytes.Join(parts, []byte("\n"))...)
}
