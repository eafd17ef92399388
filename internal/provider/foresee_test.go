package provider

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/host"
)

const remoteBuilder = `build:
  builders: {x86_64: pve}
  remotes: {pve: {host: pve.example.test}}
`

// foreseen is what a plan says about an image of the profile "dev" besides the plan itself.
func foreseen(t *testing.T, rt *runtime, config *imageModel) diag.Diagnostics {
	t.Helper()
	got, diags := rt.planned(t.Context(), config, false)
	if diags.HasError() {
		t.Fatal(diags)
	}
	return rt.foresee(t.Context(), got, decide(nil, got.digests), config, true)
}

func TestForeseeSettingsWithoutEffect(t *testing.T) {
	for name, tc := range map[string]struct{ settings, want string }{
		"none":         {"build: {memory: 1024}\n", ""},
		"this machine": {"build: {builders: {x86_64: local}}\n", ""},
		"folders":      {"iso: {iso_dir: /srv/isos}\nbuild: {image_dir: /srv/images}\n", "pim.yml sets iso.iso_dir, build.image_dir, which"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.write("pim.yml", tc.settings)
			rt, config := w.runtime(), &imageModel{Profile: types.StringValue("dev")}
			diags := foreseen(t, rt, config)
			if tc.want == "" {
				if len(diags) > 0 {
					t.Errorf("%v", diags)
				}
				return
			}
			if len(diags) != 1 || diags.HasError() || !strings.HasPrefix(diags[0].Detail(), tc.want) {
				t.Fatalf("got %v, want %q", diags, tc.want)
			}
			if !strings.Contains(diags[0].Detail(), "set the provider's data_dir / cache_dir") {
				t.Errorf("%s does not say what to do", diags[0].Detail())
			}
			if again := foreseen(t, rt, config); len(again) > 0 {
				t.Errorf("said again: %v", again)
			}
		})
	}
}

// An image that is stored already needs no builder, and no word about one.
func TestForeseeNothingForAStoredImage(t *testing.T) {
	w := newWorld(t)
	rt := w.runtime()
	config, plan := plannedImage(t, rt)
	spec, got := toBuild(t, rt, config, plan, 0)
	if _, _, err := rt.build(t.Context(), rt.machines.local, spec, got.digests.key()); err != nil {
		t.Fatal(err)
	}
	w.write("pim.yml", "iso: {iso_dir: /srv/isos}\n"+remoteBuilder)
	if diags := foreseen(t, rt, config); len(diags) > 0 {
		t.Errorf("%v", diags)
	}
}

func TestForeseeRoute(t *testing.T) {
	const none = "No machine builds x86_64 images"
	for name, tc := range map[string]struct {
		settings string
		config   imageModel
		want     string
	}{
		"none":                     {"", imageModel{}, none},
		"emulation":                {"", imageModel{Emulation: types.BoolValue(true)}, "cannot be built yet"},
		"emulation not known yet":  {"", imageModel{Emulation: types.BoolUnknown()}, "cannot be built yet"},
		"a remote":                 {remoteBuilder, imageModel{}, ""},
		"a remote that is away":    {strings.ReplaceAll(remoteBuilder, "pve", "away"), imageModel{}, "cannot be built yet"},
		"a remote of another kind": {strings.ReplaceAll(remoteBuilder, "pve", "arm"), imageModel{}, "cannot be built yet"},
		"a remote for another":     {strings.Replace(remoteBuilder, "x86_64", "arm64", 1), imageModel{}, none},
		"this machine by its name": {"build: {builders: {x86_64: local}}\n", imageModel{}, none},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.write("pim.yml", tc.settings)
			w.host.arch, w.host.noQEMU = host.ARM64, true
			w.remote("pve", host.X86_64)
			w.remote("away", host.X86_64).away.Store(true)
			w.remote("arm", host.ARM64)
			tc.config.Profile = types.StringValue("dev")
			diags := foreseen(t, w.runtime(), &tc.config)
			if tc.want == "" {
				if len(diags) > 0 {
					t.Errorf("%v", diags)
				}
				return
			}
			if len(diags) != 1 || !strings.Contains(diags[0].Summary(), tc.want) {
				t.Fatalf("got %v, want %q", diags, tc.want)
			}
			if d, ok := diags[0].(diag.DiagnosticWithPath); diags.HasError() && (!ok || !d.Path().Equal(path.Root("emulation"))) {
				t.Errorf("%v, want it at emulation", diags[0])
			}
		})
	}
}
