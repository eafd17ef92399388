package build

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
	"github.com/pim-tools/terraform-provider-pim/internal/provision"
	"github.com/pim-tools/terraform-provider-pim/internal/qemu"
)

// sshEvery is how often a booting guest's SSH port is tried.
const sshEvery = 2 * time.Second

// bootGuest boots an overlay of the installed disk and connects to it.
func bootGuest(ctx context.Context, st *state) error {
	st.disk = st.path("provision.qcow2")
	if err := qemu.CreateOverlay(ctx, st.Host, st.disk, st.layer.Path); err != nil {
		return err
	}
	disk := st.disk
	st.Defer("remove the scripts' disk", func(context.Context) error { return st.Host.RemoveAll(disk) })
	m, err := st.machine(ctx, "provision", st.disk)
	if err != nil {
		return err
	}
	if st.FromBase() {
		if m, err = st.seedBase(m); err != nil {
			return err
		}
	}
	if err := st.start(ctx, m); err != nil {
		return err
	}
	if err := st.connect(ctx); err != nil {
		return st.unreachable(err)
	}
	if st.FromBase() {
		if err := st.settleBase(ctx); err != nil {
			return err
		}
	}
	return st.whileUp(ctx, func(ctx context.Context) error {
		return st.guest.Prepare(ctx, st.Preseed.Values.HTTPProxy)
	})
}

// connect waits for the guest's SSH server, with its host key pinned.
func (st *state) connect(ctx context.Context) error {
	limit, cancel := context.WithTimeoutCause(ctx, st.Timeouts.SSH,
		fmt.Errorf("no SSH connection within %s", st.Timeouts.SSH))
	defer cancel()
	return st.whileBoots(limit, func(ctx context.Context) error {
		var seen error
		guest, err := provision.WaitSSH(ctx, st.Host.Dial, st.vm.SSHAddr(), st.identity, "root", sshEvery, func(err error) {
			if seen == nil || seen.Error() != err.Error() {
				st.note(ctx, "ssh", "wait", err.Error())
			}
			seen = err
		})
		if err != nil {
			return err
		}
		st.guest = guest
		st.Defer("close the SSH connection", func(context.Context) error { return guest.Close() })
		return nil
	})
}

// runScripts runs each script in order, as root, its output in the build's log.
func runScripts(ctx context.Context, st *state) error {
	for _, s := range st.Scripts {
		begun := time.Now()
		st.note(ctx, "script "+s.Name, "begin", "")
		err := st.whileUp(ctx, func(ctx context.Context) error {
			return st.guest.Run(ctx, provision.Script{
				Name: s.Name, Body: s.Body, Timeout: st.Timeouts.Script,
				Env: map[string]string{
					"PIM_PROFILE": st.Profile, "PIM_ARCH": string(st.Arch), "PIM_SCRIPT": s.Name,
					"PIM_USERNAME": st.Preseed.Values.Username, "PIM_HOSTNAME": st.Preseed.Values.Hostname,
				},
			}, st.log)
		})
		if err != nil {
			return err
		}
		st.note(ctx, "script "+s.Name, "end", st.took("script:"+s.Name, begun).String())
	}
	return nil
}

// finalize makes the guest generic, lists its packages and powers it off.
func finalize(ctx context.Context, st *state) error {
	limit, cancel := context.WithTimeoutCause(ctx, st.Timeouts.Script, errors.New("finalizing takes too long"))
	defer cancel()
	err := st.whileUp(limit, func(ctx context.Context) error {
		packages, err := st.guest.Packages(ctx)
		if err != nil {
			return err
		}
		for _, p := range packages {
			st.manifest.Packages = append(st.manifest.Packages, cache.Package(p))
		}
		return st.guest.Finalize(ctx, st.log)
	})
	if err != nil {
		return err
	}
	return st.powerOff(ctx)
}
