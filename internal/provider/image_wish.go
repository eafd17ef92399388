package provider

import (
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

// wish reads a pim_image's configuration. It is pure; values that are not known yet end up in unknown.
func (m *imageModel) wish() wish {
	var w wish
	u := &w.unknown
	w.request.Override = m.override(u)
	w.request.ISO = inlineISO(m.ISO, &w.request.Override, u)
	w.base = inlineBase(m.Base, u)
	w.request.Override.PasswordVersion = u.number(m.PasswordWOVersion)
	w.request.Name = m.Profile.ValueString()
	w.request.Arch = host.Arch(m.Arch.ValueString())
	w.emulation = m.Emulation.ValueBool()
	w.triggers = triggers(m.Triggers, u)
	if m.Username.IsUnknown() { // whether there is an account is known
		w.request.Override.Username = &unknownUser
	}

	// These decide which parts there are, or all of them at once.
	for _, v := range []value{m.Profile, m.Arch, m.Installer, m.Scripts, m.Triggers, m.PasswordWOVersion, m.TPM} {
		u.opaque = u.opaque || v.IsUnknown()
	}
	for _, e := range m.Scripts.Elements() {
		u.opaque = u.opaque || e.IsUnknown()
	}
	return w
}

// override is what the settings given inline say in the profile's terms.
func (s *imageSettings) override(u *unknowns) profile.Profile {
	return profile.Profile{
		Firmware: u.text(s.Firmware, partFirmware, partPreseed),
		TPM:      u.boolean(s.TPM),
		Preseed:  u.text(s.Preseed, partPreseed),

		Installer:   u.text(s.Installer),
		Autoinstall: u.text(s.Autoinstall, partPreseed),
		Answers:     u.text(s.Answers),

		Install:  u.text(s.Install, partInstall),
		BootArgs: u.list(s.BootArgs, partBootArgs),
		Scripts:  u.list(s.Scripts),
		Packages: u.list(s.Packages, partPreseed),

		Hostname: u.text(s.Hostname, partPreseed),
		Domain:   u.text(s.Domain, partPreseed),
		Username: u.text(s.Username, partPreseed),
		Fullname: u.text(s.Fullname, partPreseed),
		Timezone: u.text(s.Timezone, partPreseed),
		Locale:   u.text(s.Locale, partPreseed),
		Keyboard: u.text(s.Keyboard, partPreseed),

		MirrorHost:         u.text(s.MirrorHost, partPreseed),
		MirrorPath:         u.text(s.MirrorPath, partPreseed),
		PartitioningMethod: u.text(s.PartitioningMethod, partPreseed),
		PartitioningRecipe: u.text(s.PartitioningRecipe, partPreseed),
		Tasksel:            u.text(s.Tasksel, partPreseed),
		GrubDevice:         u.text(s.GrubDevice, partPreseed),
		AuthorizedKeysURL:  u.text(s.AuthorizedKeysURL, partPreseed),

		DiskSize: u.size(s.DiskSize, partDiskSize),
		Memory:   u.number(s.Memory),
		CPUs:     u.number(s.CPUs),
		Verify:   u.boolean(s.Verify),
		OnError:  u.text(s.OnError),

		InstallTimeout: u.duration(s.InstallTimeout),
		SSHTimeout:     u.duration(s.SSHTimeout),
		ScriptTimeout:  u.duration(s.ScriptTimeout),
		StallTimeout:   u.duration(s.StallTimeout),
	}
}

// triggers gives the known triggers; a null one has the empty value.
func triggers(v types.Map, u *unknowns) map[string]string {
	out := map[string]string{}
	for k, e := range v.Elements() {
		s, ok := e.(types.String)
		if !ok || s.IsUnknown() {
			u.mark("trigger:" + k)
			continue
		}
		out[k] = s.ValueString()
	}
	return out
}

// unknownUser stands for an account's name that is not known yet. What it goes into is unknown anyway.
var unknownUser = "unknown"

// placeholderISO stands for an ISO that is not known yet, so that the rest can be resolved without one.
var placeholderISO = profile.ISO{URL: "https://unknown.invalid/unknown.iso", SHA256: strings.Repeat("0", 64)}

// inlineISO is the ISO given inline, nil for none. One taken from the catalogue by name goes into the override.
func inlineISO(v types.Object, o *profile.Profile, u *unknowns) *profile.ISO {
	if v.IsNull() {
		return nil
	}
	m, ok := isoOf(v)
	u.isoMay = !ok || m.Path.IsUnknown() || m.Name.IsUnknown()
	if !ok || m.undecided() {
		u.mark(partISO)
		iso := placeholderISO
		return &iso
	}
	if !m.Name.IsNull() {
		o.ISO = u.text(m.Name)
		return nil
	}
	iso := profile.ISO{
		URL: m.URL.ValueString(), Path: m.Path.ValueString(), SHA256: m.SHA256.ValueString(),
		ChecksumURL: m.ChecksumURL.ValueString(), Filename: m.Filename.ValueString(),
	}
	if iso.URL == "" && iso.Path == "" { // the digest is known, only the place is not
		iso.URL = placeholderISO.URL
	}
	return &iso
}

// undecided reports whether the ISO's digest depends on something unknown: nothing else matters once the digest is
// given.
func (m isoModel) undecided() bool {
	if m.SHA256.IsUnknown() {
		return true
	}
	if m.SHA256.ValueString() != "" {
		return false
	}
	return m.Name.IsUnknown() || m.URL.IsUnknown() || m.Path.IsUnknown() || m.ChecksumURL.IsUnknown() || m.Filename.IsUnknown()
}

// isoOf reads the iso object; false when all of it is unknown.
func isoOf(v types.Object) (isoModel, bool) {
	if v.IsUnknown() {
		return isoModel{}, false
	}
	text := func(name string) types.String {
		s, _ := v.Attributes()[name].(types.String)
		return s
	}
	return isoModel{
		Name: text("name"), URL: text("url"), Path: text("path"),
		SHA256: text("sha256"), ChecksumURL: text("checksum_url"), Filename: text("filename"),
	}, true
}
