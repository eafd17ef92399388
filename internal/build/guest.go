package build

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// guestEndedError is a guest that ended when it should not have.
type guestEndedError struct{ exit qemu.Exit }

func (e *guestEndedError) Error() string { return "the guest ended: " + e.exit.String() }

// machine is what the guests of a build have in common.
func (st *state) machine(ctx context.Context, role, disk string) (qemu.Machine, error) {
	fw, err := qemu.FindFirmware(ctx, st.Host, st.Arch, st.Firmware)
	if err != nil {
		return qemu.Machine{}, err
	}
	bin, err := qemu.FindBinary(st.Host, st.Arch)
	if err != nil {
		return qemu.Machine{}, err
	}
	run, err := st.runtimeDir()
	if err != nil {
		return qemu.Machine{}, err
	}
	m := qemu.Machine{
		Binary: bin, Name: "pim-" + st.key[:12] + "-" + role, Arch: st.Arch, Accel: st.accel.Name,
		CPUs: st.CPUs, Memory: st.Memory, Firmware: fw, Disk: disk,
		QMPSocket: path.Join(run, socketName), ConsoleLog: st.path(role + ".console.log"),
	}
	if st.TPM {
		m.TPMSocket = path.Join(run, tpmName)
	}
	if st.remote() != "" {
		m.EventLog = path.Join(run, "events")
	}
	return m, nil
}

// socketName is what a guest's QMP socket is called, in a directory of its own.
const socketName = "qmp.sock"

// tpmName is the socket of the guest's TPM, beside it.
const tpmName = "tpm.sock"

// runtimeDir is a fresh directory for sockets, which must have short paths (108 bytes, sockaddr_un).
func (st *state) runtimeDir() (string, error) {
	dir := path.Join("/tmp", "pim-"+st.key[:12]+"-"+rand.Text()[:8])
	if err := st.Host.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("cannot make the directory for sockets: %w", err)
	}
	st.Defer("remove the sockets' directory", func(context.Context) error { return st.Host.RemoveAll(dir) })
	return dir, nil
}

// start runs a guest until it ends or the build does, and records it so that a later run can end it when this
// one is killed, or loses its machine.
func (st *state) start(ctx context.Context, m qemu.Machine) error {
	st.Defer("remove the guest's record", func(context.Context) error { return st.Host.RemoveAll(st.path(recordFile)) })
	record := guestRecord{Key: st.key, QMP: m.QMPSocket}
	if err := st.record(record); err != nil {
		return err
	}
	if m.TPMSocket != "" {
		tpm, err := qemu.StartTPM(ctx, st.Host, m.TPMSocket)
		if err != nil {
			return err
		}
		st.Defer("end the guest's TPM", tpm.End)
		if record.TPM = tpm.Ref(); record.TPM != nil {
			if err := st.record(record); err != nil {
				return err
			}
		}
	}
	vm, err := qemu.Start(ctx, st.Host, m)
	if errors.Is(err, host.ErrDisconnected) { // it may have come to run all the same
		st.Defer("end the guest "+m.Name, func(ctx context.Context) error {
			if err := qemu.QuitAt(ctx, st.Host, m.QMPSocket); err != nil && !st.ended(record, err) {
				return err
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	st.vm, st.consoleLog = vm, m.ConsoleLog
	st.Defer("end the guest "+m.Name, vm.Kill)
	if record.Process = vm.Ref(); record.Process != nil {
		if err := st.record(record); err != nil {
			return err
		}
	}
	st.note(ctx, "guest", "start", m.Name)
	return nil
}

// running says whether there is a guest that has not ended.
func (st *state) running() bool {
	if st.vm == nil {
		return false
	}
	select {
	case <-st.vm.Done():
		return false
	default:
		return true
	}
}

// lastWords is how long after a guest's last connection its end may become known, on a busy machine far away.
const lastWords = 15 * time.Second

// whileUp runs f with a context that ends when the guest does, so that nothing waits for a dead guest.
func (st *state) whileUp(ctx context.Context, f func(context.Context) error) error {
	up, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		exit, err := st.await(up)
		if err == nil {
			err = &guestEndedError{exit}
		}
		cancel(err)
	}()
	err := f(up)
	if errors.Is(err, provision.ErrConnectionLost) { // what ended the guest is known a moment after its connection has
		select {
		case <-up.Done():
		case <-time.After(lastWords):
		}
	}
	ended := up.Err() != nil
	cancel(nil)
	<-watched // the next step may have another guest
	if err != nil && ended && ctx.Err() == nil {
		return errors.Join(context.Cause(up), err)
	}
	return err
}

// await waits for the guest's end, also while its machine is out of reach for a time.
func (st *state) await(ctx context.Context) (qemu.Exit, error) {
	for {
		since := st.link()
		exit, err := st.vm.Wait(ctx)
		if !errors.Is(err, host.ErrDisconnected) {
			return exit, err
		}
		if err := st.regain(ctx, since); err != nil {
			return exit, err
		}
	}
}

// powerOff shuts the guest down from inside and waits for its end.
func (st *state) powerOff(ctx context.Context) error {
	limit, cancel := context.WithTimeoutCause(ctx, st.Timeouts.SSH, errors.New("the guest does not power off"))
	defer cancel()
	if err := st.guest.PowerOff(limit); err != nil {
		return err
	}
	exit, err := st.await(limit)
	if err != nil {
		return errors.Join(context.Cause(limit), err)
	}
	if exit.Reason != qemu.Shutdown {
		return &guestEndedError{exit}
	}
	st.vm, st.guest = nil, nil
	return nil
}

// end ends the guest without asking it, and forgets it.
func (st *state) end(ctx context.Context) error {
	err := st.vm.Kill(ctx)
	st.vm, st.guest = nil, nil
	return err
}

// console is what the guest that runs now has printed on its serial port.
func (st *state) console() ([]byte, error) { return host.ReadFile(st.Host, st.consoleLog) }
