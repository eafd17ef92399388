package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// tpmTime bounds the time from swtpm's start to its socket's being there.
const tpmTime = 30 * time.Second

// TPM is an emulated TPM 2.0 for one machine: it ends with that machine.
type TPM struct{ proc host.Process }

// StartTPM runs swtpm with a new, empty TPM for the machine with that TPMSocket, and keeps its files beside the socket,
// in a directory that is the caller's. ctx bounds the start only. The error of a swtpm that ends at once holds its
// message.
func StartTPM(ctx context.Context, h host.Host, socket string) (*TPM, error) {
	if len(socket) > maxSocketPath {
		return nil, fmt.Errorf("cannot start swtpm: the path of its socket is longer than %d bytes: %s", maxSocketPath, socket)
	}
	binary, err := FindSwtpm(h)
	if err != nil {
		return nil, err
	}
	t := &TPM{}
	argv := []string{
		binary, "socket", "--tpm2", "--tpmstate", "dir=" + path.Dir(socket) + ",mode=0600",
		"--ctrl", "type=unixio,path=" + socket + ",mode=0600",
		"--terminate", // when QEMU closes the connection
	}
	if t.proc, err = h.Start(ctx, host.Cmd{Argv: argv}); err != nil {
		return nil, fmt.Errorf("cannot start swtpm: %w", err)
	}
	limit, cancel := context.WithTimeoutCause(ctx, tpmTime, fmt.Errorf("it did not listen within %s", tpmTime))
	defer cancel()
	if err := t.listening(limit, h, socket); err != nil {
		return nil, fmt.Errorf("cannot start swtpm: %w", errors.Join(err, t.End(context.WithoutCancel(ctx))))
	}
	return t, nil
}

// listening waits until the socket is there.
func (t *TPM) listening(ctx context.Context, h host.Files, socket string) error {
	tick := time.NewTicker(attachEvery)
	defer tick.Stop()
	for {
		if _, err := h.Stat(socket); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-t.proc.Done():
			if err := t.proc.Wait(ctx); err != nil {
				return err
			}
			return errors.New("it ended at once, without a message")
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// End ends swtpm if it still runs.
func (t *TPM) End(ctx context.Context) error {
	if err := t.proc.Terminate(ctx); err != nil {
		return fmt.Errorf("cannot end swtpm: %w", err)
	}
	return nil
}

// Ref is how swtpm is found again on another machine; nil for one of our own.
func (t *TPM) Ref() *host.ProcessRef { return refOf(t.proc) }

// swtpmShutdown is swtpm's command CMD_SHUTDOWN. Source: swtpm_ioctls(3), swtpm/tpm_ioctl.h.
var swtpmShutdown = []byte{0, 0, 0, 3}

// EndTPMAt ends the swtpm that listens on a socket: one that another process started, and to which no QEMU came.
func EndTPMAt(ctx context.Context, d host.Dialer, socket string) error {
	conn, err := d.Dial(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := conn.Write(swtpmShutdown); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, len(swtpmShutdown))) // its answer
	return err
}
