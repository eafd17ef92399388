package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/media"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// distroInstaller is what the installers of distributions differ in.
type distroInstaller interface {
	// takes says whether it is the one on an ISO of a kind; see package media. advice is what to do when it is not.
	takes(kind string) bool
	advice(kind string) string
	// answer has st.server hold what it asks for below base, the server's URL as the guest sees it. It returns ISO images
	// to be put into further drives.
	answer(ctx context.Context, base string) (drives []string, err error)
	// preamble is shell text between the build's access and the post-install script.
	preamble() string
	// commandLine are the kernel parameters by which it starts without a question.
	commandLine(base string) []string
	// failed is closed when it tells that it has failed, for which failure then is the reason; nil for one that does not.
	failed() <-chan struct{}
	failure() error
	// evidence adds to a failure what it told.
	evidence(e *Error)
}

func (st *state) chooseInstaller() distroInstaller {
	if st.Autoinstall != nil {
		return &ubuntuInstaller{state: st, end: make(chan struct{})}
	}
	return debianInstaller{st}
}

// installFile is the name of the post-install script below the server's unguessable path.
const installFile = "install.sh"

// installerMachine is a guest that boots the ISO's kernel and finds its answers.
func (st *state) installerMachine(ctx context.Context, id provision.Identity, disk string) (qemu.Machine, error) {
	if err := st.unpackInstaller(); err != nil {
		return qemu.Machine{}, err
	}
	base, drives, err := st.serve(ctx, id)
	if err != nil {
		return qemu.Machine{}, err
	}
	m, err := st.machine(ctx, "install", disk)
	if err != nil {
		return qemu.Machine{}, err
	}
	// Neither changes what is installed; see InstallFirmware.
	m.TPMSocket = ""
	if m.Firmware, err = qemu.FindFirmware(ctx, st.Host, st.Arch, InstallFirmware(st.Firmware)); err != nil {
		return qemu.Machine{}, err
	}
	m.Kernel, m.Initrd = st.path("vmlinuz"), st.path("initrd")
	m.Append, m.AppendFile = st.commandLine(base), st.path("install.conf") // it holds the unguessable part of base
	st.Defer("remove the installer's command line", func(context.Context) error { return st.Host.RemoveAll(m.AppendFile) })
	m.CDROMs = append([]string{st.iso}, drives...)
	m.NoReboot = true
	return m, nil
}

// commandLine adds to the installer's own parameters the consoles, and what the user wants.
func (st *state) commandLine(base string) string {
	args := append(st.installer.commandLine(base), "console=tty0", "console="+qemu.SerialConsole(st.Arch),
		"panic=-1") // a kernel that panics reboots, which ends the guest, and nobody waits for a stall
	if st.accel.Name == qemu.TCG {
		args = append(args, "norandmaps") // emulation translates all code anew at every exec under ASLR: five times slower
	}
	return strings.Join(append(args, st.BootArgs...), " ")
}

// unpackInstaller copies kernel and initrd out of the ISO into the build directory.
func (st *state) unpackInstaller() error {
	f, err := st.Host.OpenFile(st.iso, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("cannot open the installer ISO: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	inst, err := media.Open(f, info.Size())
	if err != nil {
		return &hintError{fmt.Errorf("%s: %w", st.iso, err), st.installer.advice("")}
	}
	if !st.installer.takes(inst.Kind) {
		return &hintError{fmt.Errorf("%s is of the kind %s, which is not what was planned for", st.iso, inst.Kind), st.installer.advice(inst.Kind)}
	}
	if inst.Arch != "" && inst.Arch != st.Arch {
		return &hintError{
			fmt.Errorf("the ISO %s installs %s, the image is to be %s", st.iso, inst.Arch, st.Arch),
			"Set arch, or choose the ISO of that architecture.",
		}
	}
	return errors.Join(
		st.extract("vmlinuz", inst.WriteKernel),
		st.extract("initrd", inst.WriteInitrd))
}

func (st *state) extract(name string, write func(io.Writer) error) error {
	dst := st.path(name)
	f, err := st.Host.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	st.Defer("remove the installer's "+name, func(context.Context) error { return st.Host.RemoveAll(dst) })
	if err := errors.Join(write(f), f.Close()); err != nil {
		return fmt.Errorf("cannot unpack %s from the ISO: %w", name, err)
	}
	return nil
}

// serve starts the server with this build's answers. It returns the URL they are below as the guest sees it, and the
// answers' own ISO images.
func (st *state) serve(ctx context.Context, id provision.Identity) (base string, drives []string, err error) {
	st.serving = st.link()
	ln, err := st.Host.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("cannot listen for the installer: %w", err)
	}
	script := id.InstallBlock() + "\n" + st.installer.preamble() + string(st.Install.Body)
	server := preseed.Serve(ln, map[string][]byte{installFile: []byte(script)})
	st.server = server
	st.Defer("stop the preseed server", func(ctx context.Context) error {
		if err := server.Close(ctx); st.server == server && st.serving == st.link() {
			return err
		}
		return nil // nobody could be served any more
	})
	st.server.OnRequest(func(r preseed.Request) { st.note(ctx, "install", "request", r.String()) })
	base = st.server.BaseURL(qemu.GuestGateway)
	drives, err = st.installer.answer(ctx, base)
	return base, drives, err
}

// stopServing ends the server; the guest that could ask it is gone.
func (st *state) stopServing(ctx context.Context) {
	st.note(ctx, "install", "served", fmt.Sprintf("%d requests", len(st.server.Requests())))
	st.server = nil
}
