package build

import (
	"context"
	"fmt"
	"strings"

	"github.com/pim-tools/terraform-provider-pim/internal/media"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
)

// preseedFile is the name Debian's installer fetches its answers by.
const preseedFile = "preseed.cfg"

// debianInstaller is debian-installer. It ends by a reboot, or not at all.
type debianInstaller struct{ *state }

func (debianInstaller) takes(kind string) bool {
	return kind == media.DebianNetinst || kind == media.DebianNetboot
}

func (debianInstaller) advice(kind string) string {
	const use = "Use a Debian netinst, DVD or netboot (mini) ISO."
	if kind == media.UbuntuCasper {
		return `It is an Ubuntu live installer: set installer to "autoinstall" in the image, in its profile, or in the ISO's entry in isos.d. Or: ` + use
	}
	return use
}

func (d debianInstaller) answer(_ context.Context, base string) ([]string, error) {
	values := d.Preseed.Values
	values.InstallURL = base + installFile
	answers, err := preseed.Render(d.Preseed.Templates, d.Preseed.Name, values)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(string(answers), values.InstallURL) {
		return nil, &hintError{
			fmt.Errorf("the preseed template %q never uses .InstallURL, so the installed system would not let the build in", d.Preseed.Name),
			"Fetch and run {{ .InstallURL }} in preseed/late_command, as debian.cfg.tmpl does.",
		}
	}
	d.server.Add(preseedFile, answers)
	return nil, nil
}

func (debianInstaller) preamble() string { return "" }

// commandLine: host and domain name are asked before the preseed is there, so they come from here.
// Source: the installation guide's appendix B.2.
func (d debianInstaller) commandLine(base string) []string {
	v := d.Preseed.Values
	return []string{
		"auto=true", "priority=critical", "url=" + base + preseedFile,
		"hostname=" + v.Hostname, "domain=" + v.Domain, "interface=auto",
		"DEBIAN_FRONTEND=text",
		"TERM=dumb", // no GNU screen on the serial console: its clock would be taken for a sign of life
	}
}

func (debianInstaller) failed() <-chan struct{} { return nil }

func (debianInstaller) failure() error { return nil }

func (debianInstaller) evidence(e *Error) { e.Unasked = "preseed" }
