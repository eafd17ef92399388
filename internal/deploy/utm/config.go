package utm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"howett.net/plist"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy/localfile"
	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// configVersion is the one that UTM 4 reads and writes. Source: Configuration/UTMConfiguration.swift of UTM.
const configVersion = 4

// config is a bundle's config.plist. The keys are those of the Swift type UTMQemuConfiguration; UTM refuses a file that
// lacks one it does not call optional. Source: Configuration/UTMQemuConfiguration*.swift of UTM 4.
type config struct {
	Information          information `plist:"Information"`
	System               system      `plist:"System"`
	QEMU                 tweaks      `plist:"QEMU"`
	Input                input       `plist:"Input"`
	Sharing              sharing     `plist:"Sharing"`
	Display              []display   `plist:"Display"`
	Drive                []drive     `plist:"Drive"`
	Network              []network   `plist:"Network"`
	Serial               []serial    `plist:"Serial"`
	Sound                []struct{}  `plist:"Sound"`
	Backend              string      `plist:"Backend"`
	ConfigurationVersion int         `plist:"ConfigurationVersion"`
}

type information struct {
	Name       string `plist:"Name"`
	Icon       string `plist:"Icon"`
	IconCustom bool   `plist:"IconCustom"`
	Notes      string `plist:"Notes"`
	UUID       string `plist:"UUID"`
}

type system struct {
	Architecture   string   `plist:"Architecture"`
	Target         string   `plist:"Target"`
	CPU            string   `plist:"CPU"`
	CPUFlagsAdd    []string `plist:"CPUFlagsAdd"`
	CPUFlagsRemove []string `plist:"CPUFlagsRemove"`
	CPUCount       int      `plist:"CPUCount"`
	ForceMulticore bool     `plist:"ForceMulticore"`
	MemorySize     int      `plist:"MemorySize"` // MiB
	JITCacheSize   int      `plist:"JITCacheSize"`
}

type tweaks struct {
	DebugLog            bool     `plist:"DebugLog"`
	UEFIBoot            bool     `plist:"UEFIBoot"` // UTM makes the variables at the first start, for a machine with a TPM with Microsoft's keys
	RNGDevice           bool     `plist:"RNGDevice"`
	BalloonDevice       bool     `plist:"BalloonDevice"`
	TPMDevice           bool     `plist:"TPMDevice"`
	Hypervisor          bool     `plist:"Hypervisor"` // where the Mac has the same architecture
	RTCLocalTime        bool     `plist:"RTCLocalTime"`
	PS2Controller       bool     `plist:"PS2Controller"`
	AdditionalArguments []string `plist:"AdditionalArguments"`
}

type input struct {
	UsbBusSupport   string `plist:"UsbBusSupport"`
	UsbSharing      bool   `plist:"UsbSharing"`
	MaximumUsbShare int    `plist:"MaximumUsbShare"`
}

type sharing struct {
	DirectoryShareMode     string `plist:"DirectoryShareMode"`
	DirectoryShareReadOnly bool   `plist:"DirectoryShareReadOnly"`
	ClipboardSharing       bool   `plist:"ClipboardSharing"`
}

type display struct {
	Hardware          string `plist:"Hardware"`
	DynamicResolution bool   `plist:"DynamicResolution"`
	UpscalingFilter   string `plist:"UpscalingFilter"`
	DownscalingFilter string `plist:"DownscalingFilter"`
	NativeResolution  bool   `plist:"NativeResolution"`
}

type drive struct {
	ImageName        string `plist:"ImageName,omitempty"` // in Data; none makes the drive removable
	ReadOnly         bool   `plist:"ReadOnly"`
	ImageType        string `plist:"ImageType"`
	Interface        string `plist:"Interface"`
	InterfaceVersion int    `plist:"InterfaceVersion"`
	Identifier       string `plist:"Identifier"`
}

type network struct {
	Mode            string     `plist:"Mode"`
	Hardware        string     `plist:"Hardware"`
	MacAddress      string     `plist:"MacAddress"`
	IsolateFromHost bool       `plist:"IsolateFromHost"`
	PortForward     []struct{} `plist:"PortForward"`
}

type serial struct {
	Mode     string   `plist:"Mode"`
	Target   string   `plist:"Target"`
	Terminal terminal `plist:"Terminal"`
}

type terminal struct {
	ForegroundColor string `plist:"ForegroundColor"`
	BackgroundColor string `plist:"BackgroundColor"`
	Font            string `plist:"Font"`
	FontSize        int    `plist:"FontSize"`
	CursorBlink     bool   `plist:"CursorBlink"`
}

// modes are the settings' names of networks → UTM's. Source: Configuration/QEMUConstant.swift of UTM.
var modes = map[string]string{Shared: "Shared", Bridged: "Bridged", Emulated: "Emulated"}

// machines are what UTM itself chooses for a new machine of an architecture. Sources: the default constructions in
// Configuration/UTMQemuConfiguration{Display,Drive}.swift of UTM.
var machines = map[host.Arch]struct{ architecture, target, display, cd string }{
	host.ARM64:  {"aarch64", "virt", "virtio-ramfb", "USB"},
	host.X86_64: {"x86_64", "q35", "virtio-vga", "IDE"},
}

// configure is the machine of a generation whose bundle has a name.
func configure(r *localfile.Record, name string, s Settings) config {
	m := machines[r.Arch]
	id := func(of string) [sha256.Size]byte {
		return sha256.Sum256([]byte(strings.Join([]string{of, name, r.ImageKey, r.DeployedAt.Format(time.RFC3339)}, "\n")))
	}
	return config{
		Information: information{Name: name, Icon: "linux", Notes: notes(r), UUID: uuid(id("machine"))},
		System: system{
			Architecture: m.architecture, Target: m.target, CPU: "default", CPUFlagsAdd: []string{}, CPUFlagsRemove: []string{},
			CPUCount: s.Cores, MemorySize: s.Memory,
		},
		QEMU:    tweaks{UEFIBoot: r.UEFI, TPMDevice: r.TPM, RNGDevice: true, Hypervisor: true, AdditionalArguments: []string{}},
		Input:   input{UsbBusSupport: "3.0", MaximumUsbShare: 3},
		Sharing: sharing{DirectoryShareMode: "None"},
		Display: []display{{Hardware: m.display, DynamicResolution: true, UpscalingFilter: "Nearest", DownscalingFilter: "Linear"}},
		Drive: []drive{ // in the order they are booted
			{ImageName: diskName, ImageType: "Disk", Interface: "VirtIO", InterfaceVersion: 1, Identifier: uuid(id("disk"))},
			{ReadOnly: true, ImageType: "CD", Interface: m.cd, InterfaceVersion: 1, Identifier: uuid(id("cd"))}, // for a seed
		},
		Network: []network{{
			Mode: modes[s.Network], Hardware: "virtio-net-pci", MacAddress: mac(id("network")), PortForward: []struct{}{},
		}},
		Serial: []serial{{Mode: "Terminal", Target: "Auto", Terminal: terminal{
			ForegroundColor: "#ffffff", BackgroundColor: "#000000", Font: "Menlo", FontSize: 12, CursorBlink: true,
		}}},
		Sound: []struct{}{}, Backend: "QEMU", ConfigurationVersion: configVersion,
	}
}

// notes are what UTM shows of the machine.
func notes(r *localfile.Record) string {
	return fmt.Sprintf("Golden image %s, made by pim (image %s).\n\n"+
		"Do not start it: clone it. Before the clone's first start put a NoCloud seed (an ISO labelled CIDATA, with user-data "+
		"and meta-data) into its CD drive, for a host name and a user of its own, and give its network card a new MAC address.",
		r.Name, localfile.ShortKey(r.ImageKey))
}

// uuid makes a UUID of a digest, so that a generation always has the same. It is of version 8, which is for such uses.
// Source: RFC 9562, 5.8.
func uuid(sum [sha256.Size]byte) string {
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// mac makes the address of a network card of a digest: one that is locally administered, as UTM's own are.
func mac(sum [sha256.Size]byte) string {
	b := binary.BigEndian.AppendUint16(nil, uint16(sum[0]&0xfc|0x02)<<8|uint16(sum[1]))
	return strings.ReplaceAll(fmt.Sprintf("% X", append(b, sum[2:6]...)), " ", ":")
}

func (c config) encode() ([]byte, error) {
	var out bytes.Buffer
	e := plist.NewEncoderForFormat(&out, plist.XMLFormat)
	e.Indent("\t")
	err := e.Encode(c)
	return out.Bytes(), err
}

// drift says what of a config.plist is not as it should be. What a person may well change, such as the icon or further
// devices, is passed over.
func (c config) drift(data []byte) []string {
	var have config
	if _, err := plist.Unmarshal(data, &have); err != nil {
		return []string{fmt.Sprintf("config.plist cannot be read: %v", err)}
	}
	var lines []string
	want := func(what string, is, should any) {
		if is != should {
			lines = append(lines, fmt.Sprintf("%s is %v, not %v", what, is, should))
		}
	}
	want("the architecture", have.System.Architecture, c.System.Architecture)
	want("cores", have.System.CPUCount, c.System.CPUCount)
	want("memory", have.System.MemorySize, c.System.MemorySize)
	want("UEFI boot", have.QEMU.UEFIBoot, c.QEMU.UEFIBoot)
	want("the TPM", have.QEMU.TPMDevice, c.QEMU.TPMDevice)
	mode := "missing"
	if len(have.Network) > 0 {
		mode = strings.ToLower(have.Network[0].Mode)
	}
	want("network", mode, strings.ToLower(c.Network[0].Mode))
	if !slices.ContainsFunc(have.Drive, func(d drive) bool { return d.ImageName == diskName }) {
		lines = append(lines, diskName+" is not among the drives")
	}
	return lines
}
