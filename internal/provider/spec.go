package provider

import (
	"cmp"
	"context"
	"fmt"

	"github.com/pim-tools/terraform-provider-pim/internal/build"
	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/preseed"
	"github.com/pim-tools/terraform-provider-pim/internal/profile"
)

// guestDisk is the image's disk as the guest sees it: virtio, the first one.
const guestDisk = "/dev/vda"

// resolution is a wish with the configuration directories read and every reference followed.
type resolution struct {
	spec    build.Spec
	answers string // the installer's, as they go into the key
	config  *profile.Config
	profile *profile.Resolved
	digests digests
}

// isoError is an ISO whose digest cannot be told.
type isoError struct{ err error }

func (e *isoError) Error() string { return fmt.Sprintf("cannot tell the digest of the ISO: %v", e.err) }
func (e *isoError) Unwrap() error { return e.err }

// preseedError are answers that do not render.
type preseedError struct {
	setting string // the one that names their template or document
	err     error
}

func (e *preseedError) Error() string { return e.err.Error() }
func (e *preseedError) Unwrap() error { return e.err }

// resolve reads the configuration and turns a wish into a spec and its digests. Plan and build both come through
// here, so they agree on the key. Nothing is downloaded but, for an ISO that has one, its SHA256SUMS file.
// Errors: profile.Errors, *isoError, *baseError, *preseedError.
func (r *runtime) resolve(ctx context.Context, w wish) (*resolution, error) {
	config, err := profile.Load(profile.Options{ConfigDir: r.configDir, ProjectDir: r.projectDir})
	if err != nil {
		return nil, err
	}
	if iso := w.request.ISO; iso != nil && iso.Path != "" {
		if iso.Path, err = absolute(iso.Path, r.env.home); err != nil {
			return nil, &isoError{err}
		}
	}
	if w.base != nil {
		if w.request.Override.Base, err = w.base.locate(); err != nil {
			return nil, err
		}
	}
	w.request.HostArch = r.host.Arch()
	resolved, err := config.Resolve(w.request)
	if err != nil {
		return nil, err
	}
	spec := specOf(w, resolved, r.httpProxy)
	if err := cache.CheckName(spec.Name); err != nil {
		return nil, profile.Errors{{Field: "name", Msg: err.Error()}}
	}
	if spec.FromBase() {
		w.unknown = w.unknown.forBase()
		if !w.unknown.parts[partBase] {
			if spec.Base.SHA256, err = r.store.ISODigest(ctx, spec.Base); err != nil {
				return nil, &baseError{err}
			}
		}
	}
	withoutISO := resolved.ISO == profile.ISO{} // the request allows it, or there is a base
	if !withoutISO && !w.unknown.parts[partISO] {
		if spec.ISO.SHA256, err = r.store.ISODigest(ctx, spec.ISO); err != nil {
			return nil, &isoError{err}
		}
	}
	part, answers, err := spec.Answers()
	setting := part
	if spec.FromBase() {
		setting = partBase
	}
	if err != nil {
		return nil, &preseedError{setting, err}
	}
	inputs, err := spec.Inputs()
	if err != nil {
		return nil, &preseedError{setting, err}
	}
	w.unknown.answersAre(part)
	w.unknown.opaque = w.unknown.opaque || w.unknown.isoMay && !resolved.InstallerSaid
	d := w.unknown.merge(inputs.Map())
	if withoutISO {
		delete(d.parts, partISO)
	}
	return &resolution{spec: spec, answers: string(answers), config: config, profile: resolved, digests: d}, nil
}

// specOf maps a resolved profile to the spec of its build. It is pure. The password stays behind: it is hashed when
// a build starts, and nothing of it is in the key.
func specOf(w wish, p *profile.Resolved, httpProxy string) build.Spec {
	s := build.Spec{
		Name:            cmp.Or(p.Name, p.Hostname),
		Profile:         p.Name,
		Arch:            p.Arch,
		Firmware:        p.Firmware,
		TPM:             p.TPM,
		ISO:             isoFor(p.ISO),
		Base:            baseFor(p.Base),
		Preseed:         build.Preseed{Templates: p.Templates, Name: p.PreseedTemplate, Values: answers(p, httpProxy)},
		Install:         build.Script{Name: p.Install.Name, Body: p.Install.Body},
		DiskSize:        p.DiskSize,
		BootArgs:        p.BootArgs,
		Triggers:        w.triggers,
		PasswordVersion: p.PasswordVersion,
		Memory:          p.Memory,
		CPUs:            p.CPUs,
		Emulation:       w.emulation,
		Verify:          p.Verify,
		KeepGuest:       p.OnError == "keep",
		Timeouts: build.Timeouts{
			Build: w.timeout, Install: p.InstallTimeout, SSH: p.SSHTimeout, Script: p.ScriptTimeout, Stall: p.StallTimeout,
		},
	}
	if p.Installer == profile.Ubuntu {
		s.Autoinstall = &build.Autoinstall{Over: []byte(p.Autoinstall.Body), Seed: p.Answers == "seed"}
	}
	for _, sc := range p.Scripts {
		s.Scripts = append(s.Scripts, build.Script{Name: sc.Name, Body: sc.Body})
	}
	return s
}

func isoFor(i profile.ISO) cache.ISO {
	return cache.ISO{Name: i.Name, URL: i.URL, Path: i.Path, SHA256: i.SHA256, ChecksumURL: i.ChecksumURL, Filename: i.Filename}
}

// answers are the installer's answers.
func answers(p *profile.Resolved, httpProxy string) preseed.Values {
	return preseed.Values{
		Hostname: p.Hostname, Domain: p.Domain,
		Username: p.Username, Fullname: p.Fullname,
		Locale: p.Locale, Keyboard: p.Keyboard, Timezone: p.Timezone,
		MirrorHost: p.MirrorHost, MirrorPath: p.MirrorPath, HTTPProxy: cmp.Or(httpProxy, p.HTTPProxy),
		PartitioningMethod: p.PartitioningMethod, PartitioningRecipe: p.PartitioningRecipe,
		Tasksel: p.Tasksel, Packages: p.Packages, GrubDevice: p.GrubDevice,
		AuthorizedKeysURL: p.AuthorizedKeysURL,
		Firmware:          build.InstallFirmware(p.Firmware), Arch: p.Arch, Disk: guestDisk,
	}
}
