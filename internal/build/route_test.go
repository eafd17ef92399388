package build

import (
	"slices"
	"strings"
	"testing"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

// TestRoutes_withoutEmulation has a row for each pair of architectures, with a remote for the other one and without.
func TestRoutes_withoutEmulation(t *testing.T) {
	const x86, arm = host.X86_64, host.ARM64
	for _, tc := range []struct {
		machine      string
		host, target host.Arch
		remote       bool
	}{
		{"Mac M-series", arm, arm, false},
		{"Mac M-series", arm, x86, true},
		{"Mac Intel", x86, x86, false},
		{"Mac Intel", x86, arm, true},
		{"Linux x86_64", x86, x86, false},
		{"Linux x86_64", x86, arm, true},
		{"Linux arm64", arm, arm, false},
		{"Linux arm64", arm, x86, true},
	} {
		t.Run(tc.machine+" for "+string(tc.target), func(t *testing.T) {
			in := RouteInput{Host: tc.host, Target: tc.target}
			r, err := ChooseRoute(in)
			if !tc.remote {
				expectRoute(t, r, err, "local", false, "this machine is "+string(tc.host)+" itself")
				return
			}
			hint := "name one in build.builders." + string(tc.target) + " of pim.yml or in the provider's builders, or set emulation = true"
			if err == nil || !strings.Contains(err.Error(), hint) {
				t.Errorf("got %+v, %v, want an error that says %q", r, err, hint)
			}
			in.Named = []string{"proxmox-sg"}
			r, err = ChooseRoute(in)
			expectRoute(t, r, err, "proxmox-sg", false, "builders named for "+string(tc.target)+": proxmox-sg")
			in.Named, in.Emulation = nil, true
			r, err = ChooseRoute(in)
			expectRoute(t, r, err, "local", true, "this machine is "+string(tc.host)+" and emulates "+string(tc.target))
		})
	}
}

func TestNamedBuilders(t *testing.T) {
	for name, tc := range map[string]struct {
		target    host.Arch
		named     string
		emulation bool
		want      string // candidates, "" for an error
		emulated  bool
		why       string
	}{
		"own architecture elsewhere":      {host.X86_64, "pve", false, "pve", false, "named for x86_64"},
		"own architecture here too":       {host.X86_64, "pve local", false, "pve local", false, "named for x86_64"},
		"this machine by its name":        {host.X86_64, "local", false, "local", false, "named for x86_64"},
		"several, in order":               {host.ARM64, "b a", false, "b a", false, "named for arm64: b, a"},
		"emulation is not needed":         {host.ARM64, "a", true, "a", false, "named for arm64"},
		"this machine cannot":             {host.ARM64, "local", false, "", false, ""},
		"this machine may emulate":        {host.ARM64, "local", true, "local", true, "emulates arm64"},
		"others rather than this machine": {host.ARM64, "local a b", false, "a b", false, "less this machine"},
		"others rather than emulation":    {host.ARM64, "a local", true, "a", false, "less this machine"},
	} {
		t.Run(name, func(t *testing.T) {
			named := strings.Fields(tc.named)
			r, err := ChooseRoute(RouteInput{Host: host.X86_64, Target: tc.target, Named: named, Emulation: tc.emulation})
			if tc.want == "" {
				if err == nil {
					t.Errorf("got %+v, want an error", r)
				}
				return
			}
			expectRoute(t, r, err, tc.want, tc.emulated, tc.why)
			if !slices.Equal(named, strings.Fields(tc.named)) {
				t.Errorf("the input is now %v", named)
			}
		})
	}
}

func expectRoute(t *testing.T, r Route, err error, builders string, emulated bool, why string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.Builders, " "); got != builders || r.Emulated != emulated || !strings.Contains(r.Why, why) {
		t.Errorf("got %+v, want %s, emulated %v, because %q", r, builders, emulated, why)
	}
}
