package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path"
	"syscall"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// guestRecord is written beside a build's logs before its guest starts. A provider that is killed leaves its
// guest running; the record's socket is how the next run ends exactly that guest and no other process.
type guestRecord struct {
	Key  string `json:"key"`
	QMP  string `json:"qmp"`
	Kept bool   `json:"kept"` // on_error = "keep": ended only by the next build of the same image
	// Process is QEMU itself, on another machine: there a lost connection of ours may hold the monitor for hours.
	Process *host.ProcessRef `json:"process,omitempty"`
	TPM     *host.ProcessRef `json:"tpm,omitempty"` // swtpm, likewise; it ends with QEMU, and leaves its folder there
}

const recordFile = "guest.json"

// reapTime bounds each thing that is asked of what an earlier build left.
const reapTime = 10 * time.Second

func (st *state) record(r guestRecord) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := host.WriteFile(st.Host, st.path(recordFile), data, 0o600); err != nil {
		return fmt.Errorf("cannot record the guest: %w", err)
	}
	return nil
}

// reap ends the guests of builds whose process is gone, and removes their disks. The caller holds the lock of own; the
// lock of every other build tells whether it still runs. Another's guest that cannot be ended is left for the next
// run; our own would write to what we are about to remove, so that is an error.
func (b *Builder) reap(ctx context.Context, own string) error {
	builds := path.Dir(b.Store.BuildDir(own))
	dirs, err := b.Host.ReadDir(builds)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot look for what interrupted builds left: %w", err)
	}
	for _, d := range dirs {
		dir := path.Join(builds, d.Name())
		r, err := readRecord(b.Host, path.Join(dir, recordFile))
		if err != nil {
			continue // no guest was running there
		}
		if r.Key == own {
			if err := b.endGuest(ctx, r, dir); err != nil {
				return err
			}
			continue
		}
		if r.Kept {
			continue
		}
		try, cancel := context.WithTimeout(ctx, reapTime)
		unlock, err := b.Store.Lock(try, r.Key, cancel)
		cancel()
		if err != nil {
			continue // it still builds
		}
		if err := errors.Join(b.endGuest(ctx, r, dir), unlock()); err != nil {
			b.progress(ctx, err.Error())
		}
	}
	return nil
}

// keepGuest leaves a failed build's guest running and says how to look at it.
func (st *state) keepGuest() (hint string, err error) {
	r, err := readRecord(st.Host, st.path(recordFile))
	if err != nil {
		return "", err
	}
	r.Kept = true
	if err := st.record(r); err != nil {
		return "", err
	}
	if err := st.vm.Release(); err != nil {
		return "", err
	}
	hint = fmt.Sprintf("The guest was left running on %s (on_error = \"keep\"); the next build of this image ends it. Its monitor: %s", st.where(), r.QMP)
	if st.layer == nil { // the installer has no SSH server
		return hint, nil
	}
	key := st.path("ssh-key")
	if err := host.WriteFile(st.Host, key, st.identity.ClientPrivatePEM(), 0o600); err != nil {
		return hint, err
	}
	_, port, err := net.SplitHostPort(st.vm.SSHAddr())
	return fmt.Sprintf("%s\nLog in from there with: ssh -i %s -p %s -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no root@127.0.0.1",
		hint, key, port), err
}

// endGuest ends a recorded guest and removes all that its build left but the logs.
func (b *Builder) endGuest(ctx context.Context, r guestRecord, dir string) error {
	limit, cancel := context.WithTimeout(ctx, reapTime)
	defer cancel()
	err := qemu.QuitAt(limit, b.Host, r.QMP)
	if h, ok := b.Host.(reattacher); ok && r.Process != nil {
		if certain := endProcess(ctx, h, *r.Process); err != nil || !errors.Is(certain, host.ErrNotFound) {
			err = certain
		}
	}
	switch {
	case err == nil:
		b.progress(ctx, "ended the guest that an earlier build left: "+dir)
	case b.ended(r, err):
	default:
		return fmt.Errorf("cannot end the guest that an earlier build left (%s): %w", r.QMP, err)
	}
	if err := b.endTPM(ctx, r); err != nil {
		return err
	}
	files, err := b.Host.ReadDir(dir)
	if err != nil {
		return err
	}
	errs := []error{b.Host.RemoveAll(path.Dir(r.QMP))}
	for _, f := range files {
		switch path.Ext(f.Name()) {
		case ".log", ".jsonl", ".png":
		default:
			errs = append(errs, b.Host.RemoveAll(path.Join(dir, f.Name())))
		}
	}
	return errors.Join(errs...)
}

// endTPM ends the swtpm of a recorded guest, which has ended: it ends with QEMU, unless that never came to it. Nobody
// listens on the socket then.
func (b *Builder) endTPM(ctx context.Context, r guestRecord) error {
	limit, cancel := context.WithTimeout(ctx, reapTime)
	defer cancel()
	socket := path.Join(path.Dir(r.QMP), tpmName)
	if _, err := b.Host.Stat(socket); err == nil {
		if err := qemu.EndTPMAt(limit, b.Host, socket); err != nil {
			b.progress(ctx, "the TPM of an earlier build's guest has ended: "+err.Error())
		}
	}
	if h, ok := b.Host.(reattacher); ok && r.TPM != nil {
		if err := endProcess(ctx, h, *r.TPM); err != nil && !errors.Is(err, host.ErrNotFound) {
			return fmt.Errorf("cannot end the TPM of the guest that an earlier build left: %w", err)
		}
	}
	return nil
}

// ended tells by the error of reaching a guest that it has ended by itself. Through SSH every socket nobody listens on
// looks the same; QEMU removes its own when it ends.
func (b *Builder) ended(r guestRecord, err error) bool {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, host.ErrNotFound) {
		return true
	}
	_, err = b.Host.Stat(r.QMP)
	return errors.Is(err, fs.ErrNotExist)
}

// reattacher is a Host on which processes outlive the connection they were started through.
type reattacher interface {
	Reattach(ctx context.Context, ref host.ProcessRef) (*host.SSHProcess, error)
}

// endProcess ends a process if it still runs, and clears away what its machine kept of it. The error of one of which
// nothing is left wraps host.ErrNotFound.
func endProcess(ctx context.Context, h reattacher, ref host.ProcessRef) error {
	limit, cancel := context.WithTimeout(ctx, reapTime)
	defer cancel()
	p, err := h.Reattach(limit, ref)
	if err != nil {
		return err
	}
	return p.Terminate(limit)
}

func readRecord(h host.Files, name string) (r guestRecord, err error) {
	data, err := host.ReadFile(h, name)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, err
	}
	if path.Base(r.QMP) != socketName {
		return r, errors.New("not a guest's record")
	}
	return r, nil
}
