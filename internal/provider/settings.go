package provider

import (
	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

// The attributes that take a fixed set of values.
var (
	architectures = choices{
		{value: string(host.X86_64)},
		{value: string(host.ARM64)},
	}
	firmwares = choices{
		{value: "bios", meaning: "x86_64 only"},
		{value: "uefi", meaning: "the default for arm64"},
		{value: "uefi-secure", meaning: "with Secure Boot and Microsoft's keys"},
	}
	installers = choices{
		{value: profile.Debian, meaning: "debian-installer, which reads a preseed"},
		{value: profile.Ubuntu, meaning: "subiquity, of Ubuntu's live-server ISOs"},
	}
	deliveries = choices{
		{value: "http", meaning: "fetched from the build"},
		{value: "seed", meaning: "on a volume labelled `cidata`, Ubuntu only"},
	}
	onErrors = choices{
		{value: "destroy", meaning: "nothing of a failed build stays but its logs"},
		{value: "keep", meaning: "the failed guest goes on running, and the error says how to log in to it"},
	}
)

// settingDocs describes the settings that a profile holds, the resource overrides and the data source reports.
// They have the same names and meanings in all three places.
var settingDocs = map[string]string{
	"arch": "CPU architecture of the image. " + architectures.markdown(),
	"firmware": "Firmware the image boots with. " + firmwares.markdown() + " With `uefi-secure` all that boots must be signed, as the " +
		"distributions' own kernels are: the installer alone runs without, scripts and verification run under it, and the system must " +
		"see it in force. A verified UEFI image boots from the removable path, with empty variables.",
	"tpm": "Whether the guest has an emulated TPM 2.0 when scripts run and when the image is verified, which then requires one; default " +
		"`false`. Each boot has a new, empty TPM, so nothing in the image can be bound to it. Deployments give their machines one. It " +
		"takes the program `swtpm`.",
	"installer": "Installer on the ISO. " + installers.markdown() + " The default is what the ISO's entry in `isos.d` says, then what a local " +
		"ISO holds, then `debian`. A setting that an installer cannot express is an error.",
	"autoinstall": "YAML document merged over the answers to Ubuntu's installer, with or without a key `autoinstall` around it: a name from " +
		"`autoinstalls.d`, or the path of a file. Maps merge, scalars and lists replace. What subiquity leaves to a " +
		"first boot, which an image does not have, such as `user-data` and `snaps`, is an error, and so is what another setting says, " +
		"such as `locale`.",
	"answers":   "How the installer gets its answers. " + deliveries.markdown() + " It does not change the image.",
	"preseed":   "Template of the answers to Debian's installer: a name from `preseeds.d`, or the path of a file.",
	"install":   "Post-install script, run by the installer in the new system: a name from `installs.d`, or the path of a file.",
	"boot_args": "Arguments added to the installer's kernel command line.",
	"scripts": "Provisioning scripts, run as root over SSH in this order: names from `scripts.d`, or paths of files, " +
		"recognised by a `/` or the ending `.sh`.",
	"packages":            "Packages the installer adds to the base system.",
	"hostname":            "Host name during the build; each clone is given its own by cloud-init.",
	"domain":              "Domain name during the build.",
	"username":            "Name of the account the installer makes.",
	"fullname":            "Full name of the account the installer makes.",
	"timezone":            "Time zone, such as `UTC` or `Europe/Berlin`.",
	"locale":              "Locale, such as `en_US.UTF-8`.",
	"keyboard":            "Keyboard layout, such as `us`.",
	"mirror_host":         "Host name of the package mirror; the installer's own default when unset.",
	"mirror_path":         "Folder of the distribution on the mirror, such as `/debian`.",
	"partitioning_method": "The installer's partitioning method, such as `regular` or `lvm`.",
	"partitioning_recipe": "The installer's partitioning recipe, such as `atomic`.",
	"tasksel":             "Tasks the installer selects, such as `standard`.",
	"grub_device":         "Disk the boot loader is installed on, such as `/dev/vda`.",
	"authorized_keys_url": "URL from which the installer fetches the account's authorized SSH keys.",
	"disk_size":           "Size of the image's disk, such as `\"20G\"` or `\"512M\"` (powers of 1024).",
	"memory":              "Memory of the build's guest in MiB. It does not change the image.",
	"cpus":                "Virtual CPUs of the build's guest. They do not change the image.",
	"verify": "Whether a finished image is booted once, on a throw-away copy, and cloud-init must report that it is done " +
		"without an error, before it is stored.",
	"on_error":        "What happens to the guest of a failed build. " + onErrors.markdown(),
	"install_timeout": "Longest time the installer may take, such as `\"90m\"`.",
	"ssh_timeout":     "Longest wait for the installed system to accept SSH, such as `\"10m\"`.",
	"script_timeout":  "Longest time one script may run, such as `\"30m\"`.",
	"stall_timeout": "An installer that writes nothing to the disk, prints nothing and requests nothing for this long " +
		"is taken to be stuck, such as `\"15m\"`.",
}
