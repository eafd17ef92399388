package utm

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"howett.net/plist"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy/localfile"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

var update = flag.Bool("update", false, "write the golden files anew")

func settings() Settings {
	s := Settings{OutputDir: "/x"}
	s.Complete()
	return s
}

func record(arch host.Arch, uefi bool) *localfile.Record {
	return &localfile.Record{
		Name: "web", ImageKey: strings.Repeat("0123456789abcdef", 4), DeployedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Arch: arch, UEFI: uefi,
	}
}

var configs = map[string]*localfile.Record{
	"arm64": record(host.ARM64, true), "x86_64-bios": record(host.X86_64, false), "x86_64-uefi": record(host.X86_64, true),
	"x86_64-tpm": withTPM(record(host.X86_64, true)),
}

func withTPM(r *localfile.Record) *localfile.Record {
	r.TPM = true
	return r
}

func encoded(t *testing.T, r *localfile.Record, name string) []byte {
	t.Helper()
	data, err := configure(r, name, settings()).encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestConfigGolden(t *testing.T) {
	for name, r := range configs {
		file := filepath.Join("testdata", name+".plist")
		got := encoded(t, r, "web")
		if *update {
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %v; got\n%s", file, err, got)
		}
	}
}

// rule is what UTM's decoder wants of a key.
type rule struct {
	key      string // path of keys; [] is each element of an array
	kind     string // string, bool, int, array
	values   string // that the Swift enumeration has, separated by spaces; "" for any
	optional bool   // decodeIfPresent
}

// rules are those of UTM's decoders: without a key that is not optional, or with a value that an enumeration lacks, UTM
// does not open the bundle. Sources: Configuration/*.swift of UTM 4, each named before its rules.
var rules = []rule{
	// UTMQemuConfiguration.swift, UTMConfiguration.swift
	{"Backend", "string", "QEMU", false},
	{"ConfigurationVersion", "int", "4", false},
	{"Display", "array", "", false},
	{"Drive", "array", "", false},
	{"Network", "array", "", false},
	{"Serial", "array", "", false},
	{"Sound", "array", "", false},
	// UTMConfigurationInfo.swift
	{"Information.Name", "string", "", false},
	{"Information.IconCustom", "bool", "false", false}, // true needs a file in Data
	{"Information.Icon", "string", "", true},
	{"Information.Notes", "string", "", true},
	{"Information.UUID", "string", "", false},
	// UTMQemuConfigurationSystem.swift; values from QEMUConstantGenerated.swift: QEMUArchitecture, QEMUTarget_aarch64 and
	// QEMUTarget_x86_64, the default of QEMUCPU_*
	{"System.Architecture", "string", "aarch64 x86_64", false},
	{"System.Target", "string", "virt q35", false},
	{"System.CPU", "string", "default", false},
	{"System.CPUFlagsAdd", "array", "", false},
	{"System.CPUFlagsRemove", "array", "", false},
	{"System.CPUCount", "int", "", false},
	{"System.ForceMulticore", "bool", "", false},
	{"System.MemorySize", "int", "", false},
	{"System.JITCacheSize", "int", "", false},
	// UTMQemuConfigurationQEMU.swift
	{"QEMU.DebugLog", "bool", "", false},
	{"QEMU.UEFIBoot", "bool", "", false},
	{"QEMU.RNGDevice", "bool", "", false},
	{"QEMU.BalloonDevice", "bool", "", false},
	{"QEMU.TPMDevice", "bool", "", false},
	{"QEMU.Hypervisor", "bool", "", false},
	{"QEMU.TSO", "bool", "", true},
	{"QEMU.RTCLocalTime", "bool", "", false},
	{"QEMU.PS2Controller", "bool", "", false},
	{"QEMU.MachinePropertyOverride", "string", "", true},
	{"QEMU.AdditionalArguments", "array", "", false},
	// UTMQemuConfigurationInput.swift; QEMUConstant.swift: QEMUUSBBus
	{"Input.UsbBusSupport", "string", "Disabled 2.0 3.0", false},
	{"Input.UsbSharing", "bool", "", false},
	{"Input.MaximumUsbShare", "int", "", false},
	// UTMQemuConfigurationSharing.swift; QEMUConstant.swift: QEMUFileShareMode
	{"Sharing.DirectoryShareMode", "string", "None WebDAV VirtFS", false},
	{"Sharing.DirectoryShareReadOnly", "bool", "", false},
	{"Sharing.ClipboardSharing", "bool", "", false},
	// UTMQemuConfigurationDisplay.swift; QEMUConstantGenerated.swift: QEMUDisplayDevice_*; QEMUConstant.swift: QEMUScaler
	{"Display[].Hardware", "string", "virtio-ramfb virtio-vga", false},
	{"Display[].VgaRamMib", "int", "", true},
	{"Display[].DynamicResolution", "bool", "", false},
	{"Display[].UpscalingFilter", "string", "Linear Nearest", false},
	{"Display[].DownscalingFilter", "string", "Linear Nearest", false},
	{"Display[].NativeResolution", "bool", "", false},
	// UTMQemuConfigurationDrive.swift; QEMUConstant.swift: QEMUDriveImageType, QEMUDriveInterface
	{"Drive[].ImageName", "string", "disk.qcow2", true},
	{"Drive[].ReadOnly", "bool", "", true},
	{"Drive[].ImageType", "string", "None Disk CD BIOS LinuxKernel LinuxInitrd LinuxDTB", false},
	{"Drive[].Interface", "string", "None IDE SCSI SD MTD Floppy PFlash VirtIO NVMe USB", false},
	{"Drive[].InterfaceVersion", "int", "1", true},
	{"Drive[].Identifier", "string", "", false},
	// UTMQemuConfigurationNetwork.swift; QEMUConstant.swift: QEMUNetworkMode; QEMUConstantGenerated.swift: QEMUNetworkDevice_*
	{"Network[].Mode", "string", "Emulated Shared Host Bridged", false},
	{"Network[].Hardware", "string", "virtio-net-pci", false},
	{"Network[].MacAddress", "string", "", false},
	{"Network[].IsolateFromHost", "bool", "", false},
	{"Network[].PortForward", "array", "", false},
	{"Network[].BridgeInterface", "string", "", true},
	// UTMQemuConfigurationSerial.swift, UTMConfigurationTerminal.swift; QEMUConstant.swift: QEMUSerialMode, QEMUSerialTarget
	{"Serial[].Mode", "string", "Terminal TcpClient TcpServer Ptty", false},
	{"Serial[].Target", "string", "Auto Manual GDB Monitor", false},
	{"Serial[].Terminal.ForegroundColor", "string", "", true},
	{"Serial[].Terminal.BackgroundColor", "string", "", true},
	{"Serial[].Terminal.Font", "string", "", false},
	{"Serial[].Terminal.FontSize", "int", "", false},
	{"Serial[].Terminal.CursorBlink", "bool", "", true},
}

// leaves lists what is in a decoded plist, as key = kind value.
func leaves(v any, key string, add func(key, kind, value string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			leaves(e, strings.TrimPrefix(key+"."+k, "."), add)
		}
	case []any:
		add(key, "array", "")
		for _, e := range v {
			leaves(e, key+"[]", add)
		}
	case string:
		add(key, "string", v)
	case bool:
		add(key, "bool", fmt.Sprint(v))
	case uint64:
		add(key, "int", fmt.Sprint(v))
	default:
		add(key, fmt.Sprintf("%T", v), "")
	}
}

// UTM's own rules hold for every bundle.
func TestConfigRules(t *testing.T) {
	for name, r := range configs {
		for _, mode := range []string{Shared, Bridged, Emulated} {
			s := settings()
			s.Network = mode
			data, err := configure(r, "web", s).encode()
			if err != nil {
				t.Fatal(err)
			}
			var tree map[string]any
			if f, err := plist.Unmarshal(data, &tree); err != nil || f != plist.XMLFormat {
				t.Fatalf("%s: format %d, %v", name, f, err)
			}
			seen := map[string]bool{}
			leaves(tree, "", func(key, kind, value string) {
				seen[key] = true
				i := slices.IndexFunc(rules, func(r rule) bool { return r.key == key })
				switch {
				case i < 0:
					t.Errorf("%s: UTM does not know %s", name, key)
				case rules[i].kind != kind:
					t.Errorf("%s: %s is a %s, not a %s", name, key, kind, rules[i].kind)
				case rules[i].values != "" && !slices.Contains(strings.Fields(rules[i].values), value):
					t.Errorf("%s: %s is %q, not one of %s", name, key, value, rules[i].values)
				}
			})
			for _, r := range rules {
				if !r.optional && !seen[r.key] {
					t.Errorf("%s: %s is missing", name, r.key)
				}
			}
		}
	}
}

func TestConfigMachines(t *testing.T) {
	for name, want := range map[string]struct{ architecture, target, cd string }{
		"arm64": {"aarch64", "virt", "USB"}, "x86_64-bios": {"x86_64", "q35", "IDE"}, "x86_64-uefi": {"x86_64", "q35", "IDE"},
	} {
		r := configs[name]
		c := configure(r, "web", settings())
		if c.System.Architecture != want.architecture || c.System.Target != want.target || c.QEMU.UEFIBoot != r.UEFI ||
			len(c.Drive) != 2 || c.Drive[0].ImageName != diskName || c.Drive[0].Interface != "VirtIO" ||
			c.Drive[1].ImageName != "" || !c.Drive[1].ReadOnly || c.Drive[1].Interface != want.cd {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

var (
	uuidForm = regexp.MustCompile(`^[0-9A-F]{8}-[0-9A-F]{4}-8[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$`)
	macForm  = regexp.MustCompile(`^[0-9A-F][26AE](:[0-9A-F]{2}){5}$`) // local, and no group's
)

// A generation is always the same machine, and no other is.
func TestIdentity(t *testing.T) {
	ids := func(c config) []string {
		for _, id := range []string{c.Information.UUID, c.Drive[0].Identifier, c.Drive[1].Identifier} {
			if !uuidForm.MatchString(id) {
				t.Errorf("not a UUID: %s", id)
			}
		}
		if !macForm.MatchString(c.Network[0].MacAddress) {
			t.Errorf("not an address: %s", c.Network[0].MacAddress)
		}
		return []string{c.Information.UUID, c.Drive[0].Identifier, c.Drive[1].Identifier, c.Network[0].MacAddress}
	}
	r := record(host.ARM64, true)
	first := ids(configure(r, "web", settings()))
	if again := ids(configure(r, "web", settings())); !slices.Equal(first, again) {
		t.Errorf("%q, then %q", first, again)
	}
	later := *r
	later.DeployedAt = later.DeployedAt.Add(time.Second)
	all := slices.Concat(first, ids(configure(r, "web-2", settings())), ids(configure(&later, "web", settings())))
	slices.Sort(all)
	if len(slices.Compact(all)) != 12 {
		t.Errorf("not all different: %q", all)
	}
}

func TestDrift(t *testing.T) {
	r := record(host.X86_64, true)
	c := configure(r, "web", settings())
	for name, want := range map[string]struct {
		change func(c *config)
		drift  []string
	}{
		"none":      {func(*config) {}, nil},
		"a taste":   {func(c *config) { c.Information.Icon, c.Information.Notes, c.Sound = "debian", "mine", []struct{}{{}} }, nil},
		"more":      {func(c *config) { c.Drive, c.Network = append([]drive{{}}, c.Drive...), append(c.Network, network{}) }, nil},
		"hardware":  {func(c *config) { c.System.CPUCount, c.System.MemorySize = 8, 512 }, []string{"cores is 8, not 2", "memory is 512, not 2048"}},
		"network":   {func(c *config) { c.Network[0].Mode = "Bridged" }, []string{"network is bridged, not shared"}},
		"no card":   {func(c *config) { c.Network = nil }, []string{"network is missing, not shared"}},
		"firmware":  {func(c *config) { c.QEMU.UEFIBoot = false }, []string{"UEFI boot is false, not true"}},
		"TPM":       {func(c *config) { c.QEMU.TPMDevice = true }, []string{"the TPM is true, not false"}},
		"no drives": {func(c *config) { c.Drive = nil }, []string{"disk.qcow2 is not among the drives"}},
	} {
		changed := configure(r, "web", settings())
		want.change(&changed)
		for _, format := range []int{plist.XMLFormat, plist.BinaryFormat} {
			data, err := plist.Marshal(changed, format)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.drift(data); !slices.Equal(got, want.drift) {
				t.Errorf("%s: got %q, want %q", name, got, want.drift)
			}
		}
	}
	if got := c.drift([]byte("<plist><dict>")); len(got) != 1 || !strings.Contains(got[0], "cannot be read") {
		t.Errorf("a broken file: %q", got)
	}
}
