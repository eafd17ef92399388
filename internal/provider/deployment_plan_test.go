package provider

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pim-tools/terraform-provider-pim/internal/deploy"
)

var (
	oldKey = strings.Repeat("a", 64)
	newKey = strings.Repeat("b", 64)
)

func effects(field string) deploy.Effect {
	return map[string]deploy.Effect{"region": deploy.Move, "storage": deploy.Recreate, "memory": deploy.InPlace}[field]
}

func TestJudge(t *testing.T) {
	settings := func(change ...string) map[string]string {
		m := map[string]string{"region": "eu", "storage": "lvm", "memory": "1"}
		for i := 0; i+1 < len(change); i += 2 {
			if m[change[i]] = change[i+1]; change[i+1] == "" {
				delete(m, change[i])
			}
		}
		return m
	}
	nothing := func(string) deploy.Effect { return deploy.Nothing }
	setting := func(name string) []path.Path { return []path.Path{path.Root("settings").AtMapKey(name)} }
	for name, tc := range map[string]struct {
		have    func(*deployed)
		want    func(*desired)
		course  course
		replace []path.Path
		says    string // all of the reasons
	}{
		"nothing changed": {course: stay},
		"a new image": {
			want: func(w *desired) { w.key = newKey }, course: renew, says: "image key aaaaaaaaaaaa -> bbbbbbbbbbbb",
		},
		"an image not known yet": {want: func(w *desired) { w.key = "" }, course: renew, says: "image key aaaaaaaaaaaa -> (known after apply)"},
		"another name":           {want: func(w *desired) { w.name = "web" }, course: renew, says: "name dev -> web"},
		"a name not known yet":   {want: func(w *desired) { w.name = "" }, course: renew, says: "name dev -> (known after apply)"},
		"another form":           {want: func(w *desired) { w.form = "arm64/uefi" }, course: renew, says: "architecture and firmware x86_64/bios -> arm64/uefi"},
		"built by pim now":       {want: func(w *desired) { w.form = "" }, course: stay},
		"another type":           {want: func(w *desired) { w.kind = "file" }, course: move, replace: []path.Path{path.Root("type")}},
		"target not known yet":   {want: func(w *desired) { w.kind = "" }, course: move, replace: []path.Path{path.Root("target")}},

		"a setting in place":         {want: func(w *desired) { w.settings = settings("memory", "2") }, course: adjust},
		"a setting added":            {want: func(w *desired) { w.settings = settings("cores", "2") }, course: adjust},
		"a setting of how to get in": {want: func(w *desired) { w.settings, w.effect = settings("memory", "2"), nothing }, course: stay},
		"a setting to recreate":      {want: func(w *desired) { w.settings = settings("storage", "zfs") }, course: renew, says: "storage lvm -> zfs"},
		"a setting removed":          {want: func(w *desired) { w.settings = settings("storage", "") }, course: renew, says: "storage lvm -> (unset)"},
		"a place":                    {want: func(w *desired) { w.settings = settings("region", "us") }, course: move, replace: setting("region")},
		"a place and more": {
			want:   func(w *desired) { w.settings, w.key = settings("region", "us", "memory", "2"), newKey },
			course: move, replace: setting("region"), says: "image key aaaaaaaaaaaa -> bbbbbbbbbbbb",
		},
		"a setting not known yet":       {want: func(w *desired) { w.settings, w.unknown = nil, []string{"memory"} }, course: adjust},
		"one to recreate not known yet": {want: func(w *desired) { w.settings, w.unknown = nil, []string{"storage"} }, course: renew, says: "storage lvm -> (known after apply)"},
		"a place not known yet": {
			want: func(w *desired) { w.settings, w.unknown = nil, []string{"region"} }, course: move, replace: []path.Path{path.Root("settings")},
		},

		"gone":                 {have: func(h *deployed) { h.status = deploy.StatusMissing }, course: renew, says: "it is gone from the target"},
		"broken":               {have: func(h *deployed) { h.status = statusBroken }, course: renew, says: "what there is comes from a deployment that failed"},
		"changed by hand":      {have: func(h *deployed) { h.status, h.drift = deploy.StatusChanged, []string{"memory is 2, not 1"} }, course: adjust, says: "memory is 2, not 1"},
		"too many generations": {have: func(h *deployed) { h.excess = 1 }, course: adjust},
		"imported":             {have: func(h *deployed) { h.status = statusImported }, course: adjust},
		"imported with no more than its place": {
			have: func(h *deployed) { h.status, h.settings = statusImported, map[string]string{"region": "eu"} }, course: adjust,
		},
		"imported from a node that nobody names": {
			have: func(h *deployed) { h.status = statusImported }, want: func(w *desired) { w.settings = settings("storage", "") }, course: adjust,
		},
		"imported from elsewhere": {
			have: func(h *deployed) { h.status = statusImported }, want: func(w *desired) { w.settings = settings("region", "us") },
			course: move, replace: setting("region"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			have := &deployed{kind: "aws", name: "dev", key: oldKey, form: "x86_64/bios", settings: settings(), status: deploy.StatusOK}
			want := desired{kind: "aws", name: "dev", key: oldKey, form: "x86_64/bios", settings: settings(), effect: effects}
			if tc.have != nil {
				tc.have(have)
			}
			if tc.want != nil {
				tc.want(&want)
			}
			v := judge(have, want)
			if v.course != tc.course || strings.Join(v.reasons, "; ") != tc.says || fmt.Sprint(v.replace) != fmt.Sprint(tc.replace) {
				t.Errorf("got %+v", v)
			}
		})
	}
	if v := judge(nil, desired{effect: effects}); v.course != renew || len(v.replace) > 0 {
		t.Errorf("a create is %+v", v)
	}
}

func TestVerdictWarning(t *testing.T) {
	have := &deployed{name: "dev"}
	for want, v := range map[string]verdict{
		"":                                     {course: adjust},
		`Deployment "dev" will be made anew`:   {course: renew, reasons: []string{"it is gone"}},
		`Deployment "dev" was changed by hand`: {course: adjust, reasons: []string{"memory"}},
	} {
		summary, detail := v.warning(have)
		if summary != want || want != "" && !strings.HasSuffix(detail, "\n  "+v.reasons[0]) {
			t.Errorf("got %q, %q", summary, detail)
		}
	}
}

func TestPerRegion(t *testing.T) {
	have := stringMap(map[string]string{"eu": "ami-1", "us": "ami-2", "gone": "ami-3"}, nil)
	all := []string{"eu", "us", "ap"}
	want := stringMap(map[string]string{"eu": "ami-1", "us": "ami-2"}, map[string]bool{"ap": true})
	if got := perRegion(have, all, all); !got.Equal(want) {
		t.Errorf("got %s, want %s", got, want)
	}
	want = stringMap(map[string]string{"eu": "ami-1"}, map[string]bool{"us": true, "ap": true})
	if got := perRegion(have, all, all[:1]); !got.Equal(want) {
		t.Errorf("of a repair: got %s, want %s", got, want)
	}
	if got := perRegion(types.MapNull(types.StringType), all[:1], all[:1]); !got.Equal(stringMap(nil, map[string]bool{"eu": true})) {
		t.Errorf("got %s", got)
	}
}
