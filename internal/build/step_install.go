package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/media"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// Names the installer fetches its files by, below the server's unguessable path.
const (
	preseedFile = "preseed.cfg"
	installFile = "install.sh"
)

// installLayer leaves the installed disk in st.layer: the stored one of the same install inputs, or a new one.
// Images that differ only in their scripts share it, so it has a lock of its own.
func installLayer(ctx context.Context, st *state) error {
	key, err := st.layerKey()
	if err != nil {
		return err
	}
	unlock, err := st.Store.Lock(ctx, key, func() { st.note(ctx, "install", "wait", "another build installs the same system") })
	if err != nil {
		return err
	}
	defer unlock() //nolint:errcheck // the lock ends with the process in any case
	layer, err := st.Store.Layer(ctx, key)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, cache.ErrCorrupt) {
		layer, err = st.install(ctx, key)
	} else if err == nil {
		st.note(ctx, "install", "reuse", "layer "+cache.Short(key))
		err = st.Store.UseLayer(layer)
	}
	if err != nil {
		return err
	}
	st.layer = layer
	return st.identity.UnmarshalText(layer.Identity)
}

// install runs the installer to its end and publishes the disk it leaves.
func (st *state) install(ctx context.Context, key string) (*cache.Layer, error) {
	id, err := provision.NewIdentity()
	if err != nil {
		return nil, err
	}
	disk := st.path("install.qcow2")
	if err := qemu.CreateDisk(ctx, st.Host, disk, st.DiskSize); err != nil {
		return nil, err
	}
	st.Defer("remove the installer's disk", func(context.Context) error { return st.Host.RemoveAll(disk) })
	m, err := st.installerMachine(ctx, id, disk)
	if err != nil {
		return nil, err
	}
	if err := st.start(ctx, m); err != nil {
		return nil, err
	}
	if err := st.awaitInstaller(ctx); err != nil {
		return nil, err
	}
	st.stopServing(ctx)
	st.vm = nil
	inputs, err := st.installInputs()
	if err != nil {
		return nil, err
	}
	identity, err := id.MarshalText()
	if err != nil {
		return nil, err
	}
	return st.Store.PublishLayer(ctx, disk, key, cache.LayerMeta{Arch: st.Arch, Inputs: inputs.Map(), Identity: identity})
}

// installerMachine is a guest that boots the ISO's kernel and finds its answers on our server.
func (st *state) installerMachine(ctx context.Context, id provision.Identity, disk string) (qemu.Machine, error) {
	if err := st.unpackInstaller(); err != nil {
		return qemu.Machine{}, err
	}
	url, err := st.serve(ctx, id)
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
	m.Append = st.commandLine(url)
	m.CDROMs = []string{st.iso}
	m.NoReboot = true
	return m, nil
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
	const use = "Use a Debian netinst, DVD or netboot (mini) ISO."
	inst, err := media.Open(f, info.Size())
	if err != nil {
		return &hintError{fmt.Errorf("%s: %w", st.iso, err), use}
	}
	if inst.Kind == media.UbuntuCasper {
		return &hintError{fmt.Errorf("%s is an Ubuntu live installer, which this version cannot drive", st.iso), use}
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
		return fmt.Errorf("cannot read %s out of the ISO: %w", name, err)
	}
	return nil
}

// serve starts the server with this build's answers and returns the preseed's URL as the guest sees it.
func (st *state) serve(ctx context.Context, id provision.Identity) (string, error) {
	ln, err := st.Host.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("cannot listen for the installer: %w", err)
	}
	files := map[string][]byte{installFile: []byte(id.InstallBlock() + "\n" + string(st.Install.Body))}
	server := preseed.Serve(ln, files)
	st.server = server
	st.Defer("stop the preseed server", server.Close)
	st.server.OnRequest(func(r preseed.Request) { st.note(ctx, "install", "request", r.String()) })

	base := st.server.BaseURL(qemu.GuestGateway)
	values := st.Preseed.Values
	values.InstallURL = base + installFile
	answers, err := preseed.Render(st.Preseed.Templates, st.Preseed.Name, values)
	if err != nil {
		return "", err
	}
	if !strings.Contains(string(answers), values.InstallURL) {
		return "", &hintError{
			fmt.Errorf("the preseed template %q never uses .InstallURL, so the installed system would not let the build in", st.Preseed.Name),
			"Fetch and run {{ .InstallURL }} in preseed/late_command, as debian.cfg.tmpl does.",
		}
	}
	st.server.Add(preseedFile, answers)
	return base + preseedFile, nil
}

// commandLine makes Debian's installer start without a question. Host and domain name are asked before the
// preseed is there, so they come from here. Source: the installation guide's appendix B.2.
func (st *state) commandLine(url string) string {
	v := st.Preseed.Values
	args := []string{
		"auto=true", "priority=critical", "url=" + url,
		"hostname=" + v.Hostname, "domain=" + v.Domain, "interface=auto",
		"DEBIAN_FRONTEND=text",
		"TERM=dumb", // no GNU screen on the serial console: its clock would be taken for a sign of life
		"console=tty0", "console=" + qemu.SerialConsole(st.Arch),
	}
	if st.accel.Name == qemu.TCG {
		args = append(args, "norandmaps") // emulation translates all code anew at every exec under ASLR: five times slower
	}
	return strings.Join(append(args, st.BootArgs...), " ")
}

// stopServing ends the server; the guest that could ask it is gone.
func (st *state) stopServing(ctx context.Context) {
	st.note(ctx, "install", "served", fmt.Sprintf("%d requests", len(st.server.Requests())))
	st.server = nil
}
