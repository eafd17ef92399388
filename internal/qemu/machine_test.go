package qemu

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Where the files of both architectures are on the machine that the golden files tell of.
var (
	goldenBinary = map[host.Arch]string{host.X86_64: "/usr/bin/qemu-system-x86_64", host.ARM64: "/usr/bin/qemu-system-aarch64"}
	goldenUEFI   = map[firmwareKind]Firmware{
		{host.X86_64, UEFI}:       {UEFI, "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd", "raw"},
		{host.X86_64, UEFISecure}: {UEFISecure, "/usr/share/edk2/ovmf/OVMF_CODE_4M.secboot.qcow2", "/usr/share/edk2/ovmf/OVMF_VARS_4M.secboot.qcow2", "qcow2"},
		{host.ARM64, UEFI}:        {UEFI, "/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd", "raw"},
		{host.ARM64, UEFISecure}:  {UEFISecure, "/usr/share/AAVMF/AAVMF_CODE.ms.fd", "/usr/share/AAVMF/AAVMF_VARS.ms.fd", "raw"},
	}
)

// The three guests of a build.
var roles = []string{"install", "provision", "verify"}

// guestOf is a machine as a build makes it. Nothing in it comes from the machine the test runs on.
func guestOf(arch host.Arch, accel, role, firmware string) Machine {
	const dir = "/data/builds/0123456789ab/"
	m := Machine{
		Name: "pim-0123456789ab-" + role, Arch: arch, Binary: goldenBinary[arch], Accel: accel, CPUs: 2, Memory: 2048,
		Firmware: Firmware{Name: BIOS}, Disk: dir + "disk.qcow2",
		QMPSocket: "/tmp/pim-0123456789ab/qmp.sock", ConsoleLog: dir + role + ".console.log",
	}
	if firmware != BIOS {
		m.Firmware = goldenUEFI[firmwareKind{arch, firmware}]
	}
	switch role {
	case "install":
		m.Kernel, m.Initrd, m.NoReboot = dir+"vmlinuz", dir+"initrd", true
		m.Append = "auto=true priority=critical url=http://10.0.2.2:8080/token/preseed.cfg console=" + SerialConsole(arch)
		m.AppendFile = dir + "install.conf"
		m.CDROMs = []string{"/cache/isos/debian-netinst.iso"}
	case "verify":
		m.Seed = dir + "seed.iso"
	}
	return m
}

// goldenMachines holds every guest and firmware under emulation, and the other accelerators once per architecture:
// TestAcceleratorChangesTheCPUOnly is why that is enough.
func goldenMachines() map[string]Machine {
	all := map[string]Machine{}
	add := func(arch host.Arch, accel, role, firmware string) {
		all[strings.Join([]string{string(arch), accel, role, firmware}, "-")] = guestOf(arch, accel, role, firmware)
	}
	for _, role := range roles {
		add(host.X86_64, TCG, role, BIOS)
		add(host.X86_64, TCG, role, UEFI)
		add(host.ARM64, TCG, role, UEFI)
	}
	for _, arch := range host.Arches {
		m := guestOf(arch, TCG, "verify", UEFISecure)
		m.TPMSocket = "/tmp/pim-0123456789ab/tpm.sock"
		all[string(arch)+"-tcg-verify-uefi-secure-tpm"] = m
	}
	for _, accel := range []string{KVM, HVF} {
		add(host.X86_64, accel, "provision", BIOS)
		add(host.ARM64, accel, "provision", UEFI)
	}
	return all
}

// readable puts an option and its value on a line of its own.
func readable(argv []string) []byte {
	var b bytes.Buffer
	for i, arg := range argv {
		switch {
		case i == 0:
		case strings.HasPrefix(arg, "-"):
			b.WriteString("\n")
		default:
			b.WriteString(" ")
		}
		b.WriteString(arg)
	}
	b.WriteString("\n")
	return b.Bytes()
}

func TestArgvGolden(t *testing.T) {
	all := goldenMachines()
	for name, m := range all {
		t.Run(name, func(t *testing.T) {
			got, file := readable(m.Argv()), filepath.Join("testdata", "argv", name+".txt")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs, run with -update and look at the difference; got:\n%s", file, got)
			}
		})
	}
	files, err := filepath.Glob("testdata/argv/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, ok := all[strings.TrimSuffix(filepath.Base(file), ".txt")]; !ok {
			t.Errorf("no test has the golden file %s", file)
		}
	}
}

// An image must not depend on how it was built: the accelerator decides what computes, not what the guest is made of.
func TestAcceleratorChangesTheCPUOnly(t *testing.T) {
	devices := func(m Machine) []string {
		var kept []string
		for line := range strings.Lines(string(readable(m.Argv()))) {
			switch option, _, _ := strings.Cut(line, " "); option {
			case "-accel", "-cpu", "-smp", "-smbios":
			default:
				kept = append(kept, line)
			}
		}
		return kept
	}
	for _, arch := range host.Arches {
		for _, role := range roles {
			for _, firmware := range []string{BIOS, UEFI, UEFISecure} {
				want := devices(guestOf(arch, TCG, role, firmware))
				for _, accel := range []string{KVM, HVF} {
					if got := devices(guestOf(arch, accel, role, firmware)); !slices.Equal(got, want) {
						t.Errorf("%s %s %s: %s has\n%s\nand tcg\n%s", arch, role, firmware, accel, got, want)
					}
				}
			}
		}
	}
}

// Commas separate QEMU's suboptions, so one in a path must be doubled, and in a kernel command line must not.
func TestArgvCommas(t *testing.T) {
	m := guestOf(host.X86_64, TCG, "install", UEFI)
	m.Name, m.Disk, m.Seed, m.CDROMs, m.Append = "a,b", "/d,1", "/s,1", []string{"/c,1"}, "console=ttyS0,115200"
	m.AppendFile, m.QMPSocket, m.ConsoleLog, m.TPMSocket = "", "/q,1", "/l,1", "/t,1"
	m.Firmware.Code, m.Firmware.Vars = "/f,1", "/v,1"
	argv := m.Argv()
	for want, n := range map[string]int{
		"a,,b": 1, "unix:/q,,1,server=on,wait=off": 1, "socket,id=tpm,path=/t,,1": 1, "console=ttyS0,115200": 1,
	} {
		if got := len(slices.DeleteFunc(slices.Clone(argv), func(s string) bool { return s != want })); got != n {
			t.Errorf("%q is there %d times, want %d", want, got, n)
		}
	}
	for _, want := range []string{"path=/l,,1", "file=/d,,1", "file=/s,,1", "file=/c,,1", "file=/f,,1", "file=/v,,1"} {
		if !slices.ContainsFunc(argv, func(s string) bool { return strings.HasSuffix(s, ","+want) }) {
			t.Errorf("no argument ends with %q: %q", want, argv)
		}
	}
}

// The kernel command line says where the answers are: only what its file cannot hold is an argument.
func TestAppendFile(t *testing.T) {
	m := guestOf(host.X86_64, TCG, "install", BIOS)
	if argv := strings.Join(m.Argv(), " "); strings.Contains(argv, "token") || !strings.Contains(argv, "-readconfig "+m.AppendFile) {
		t.Errorf("got %s", argv)
	}
	if got, want := string(m.appendFile()), "[machine]\n  append = \""+m.Append+"\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, args := range []string{`a="b"`, strings.Repeat("x", 1024)} {
		m.Append = args
		if argv := m.Argv(); !slices.Contains(argv, args) || slices.Contains(argv, m.AppendFile) {
			t.Errorf("got %q", argv)
		}
	}
}

// Two CD-ROMs need two places, whatever the board.
func TestArgvTwoCDROMs(t *testing.T) {
	for _, arch := range host.Arches {
		m := guestOf(arch, TCG, "install", UEFI)
		m.CDROMs = []string{"/a.iso", "/b.iso"}
		devices := map[string]bool{}
		for _, arg := range m.Argv() {
			if strings.Contains(arg, "-cd,bus=") {
				devices[arg] = true
			}
		}
		if len(devices) != 2 {
			t.Errorf("%s: got %q", arch, slices.Collect(maps.Keys(devices)))
		}
	}
}

func TestArgvIsPure(t *testing.T) {
	for name, m := range goldenMachines() {
		if a, b := m.Argv(), m.Argv(); !slices.Equal(a, b) {
			t.Errorf("%s: %q and %q", name, a, b)
		}
	}
}
