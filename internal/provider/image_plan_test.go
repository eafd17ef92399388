package provider

import (
	"maps"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/pim-tools/terraform-provider-pim/internal/cache"
)

// built are the inputs of an image that exists.
func built() map[string]string {
	return map[string]string{
		"arch":             "x86_64",
		"script:developer": cache.Digest([]byte("old")),
		"scripts":          "developer",
	}
}

func keyOf(inputs map[string]string) string { return digests{parts: inputs}.key() }

// with returns the inputs of the image that exists, changed.
func with(change func(map[string]string)) digests {
	m := built()
	change(m)
	return digests{parts: m}
}

func TestModifyPlan(t *testing.T) {
	inputs := func(name string) path.Path { return path.Root("inputs").AtMapKey(name) }
	exists := func() *stored { return &stored{key: keyOf(built()), inputs: built(), status: statusOK} }
	for _, tc := range []struct {
		name    string
		have    *stored
		want    digests
		build   bool
		replace []path.Path
		unknown bool // the key
	}{
		{name: "create", want: digests{parts: built()}, build: true},
		{name: "create with an unknown part", want: digests{parts: built(), unknown: map[string]bool{"trigger:x": true}}, build: true, unknown: true},
		{name: "nothing changed", have: exists(), want: digests{parts: built()}},
		{
			name: "a script changed", have: exists(),
			want:  with(func(m map[string]string) { m["script:developer"] = cache.Digest([]byte("new")) }),
			build: true, replace: []path.Path{inputs("script:developer")},
		},
		{
			name: "a script added", have: exists(),
			want:  with(func(m map[string]string) { m["script:x"] = cache.Digest(nil); m["scripts"] = "developer x" }),
			build: true, replace: []path.Path{inputs("script:x"), inputs("scripts")},
		},
		{
			name: "a script removed", have: exists(),
			want:  with(func(m map[string]string) { delete(m, "script:developer"); m["scripts"] = "" }),
			build: true, replace: []path.Path{inputs("script:developer"), inputs("scripts")},
		},
		{
			name: "an unknown part", have: exists(),
			want:  digests{parts: built(), unknown: map[string]bool{"trigger:x": true}},
			build: true, replace: []path.Path{inputs("trigger:x")}, unknown: true,
		},
		{
			name: "unknown altogether", have: exists(), want: digests{opaque: true},
			build: true, replace: []path.Path{path.Root("inputs")}, unknown: true,
		},
		{
			name: "missing", have: &stored{key: keyOf(built()), inputs: built(), status: statusMissing}, want: digests{parts: built()},
			build: true, replace: []path.Path{path.Root("status")},
		},
		{
			name: "corrupt and stale", have: &stored{key: keyOf(built()), inputs: built(), status: statusCorrupt},
			want:  with(func(m map[string]string) { m["arch"] = "arm64" }),
			build: true, replace: []path.Path{inputs("arch"), path.Root("status")},
		},
		{
			name: "the key's version changed", have: &stored{key: "0", inputs: built(), status: statusOK}, want: digests{parts: built()},
			build: true, replace: []path.Path{path.Root("id")},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := decide(tc.have, tc.want)
			if d.build != tc.build {
				t.Errorf("build is %v", d.build)
			}
			if (d.key == "") != tc.unknown {
				t.Errorf("key is %q", d.key)
			}
			if got, want := texted(d.replace), texted(tc.replace); got != want {
				t.Errorf("replaced for %s, want %s", got, want)
			}
		})
	}
}

func texted(paths []path.Path) string { return path.Paths(paths).String() }

func TestModifyPlan_statusKeepsTheKey(t *testing.T) {
	have := &stored{key: keyOf(built()), inputs: built(), status: statusCorrupt}
	if d := decide(have, digests{parts: built()}); d.key != have.key {
		t.Errorf("the key changes from %s to %s", have.key, d.key)
	}
}

func TestModifyPlan_warning(t *testing.T) {
	have := &stored{key: keyOf(built()), inputs: built(), status: statusOK}
	want := with(func(m map[string]string) {
		m["script:developer"] = cache.Digest([]byte("new"))
		m["script:x"] = cache.Digest(nil)
		delete(m, "arch")
	})
	d := decide(have, want)
	summary, detail := d.staleWarning("debian-dev", have.key)
	if summary != `Image "debian-dev" is stale and will be rebuilt` {
		t.Error(summary)
	}
	old := strings.TrimPrefix(cache.Digest([]byte("old")), "sha256:")[:12]
	now := strings.TrimPrefix(cache.Digest([]byte("new")), "sha256:")[:12]
	text := "cache key " + cache.Short(have.key) + " -> " + cache.Short(d.key) + " because:\n" +
		"  - arch removed\n" +
		"  ~ script:developer changed (" + old + " -> " + now + ")\n" +
		"  + script:x added"
	if detail != text {
		t.Errorf("got:\n%s\nwant:\n%s", detail, text)
	}
}

func TestModifyPlan_warningOfABrokenFile(t *testing.T) {
	have := &stored{key: keyOf(built()), inputs: built(), status: statusMissing}
	summary, detail := decide(have, digests{parts: built()}).staleWarning("debian-dev", have.key)
	if summary != `Image "debian-dev" is missing and will be rebuilt` || !strings.Contains(detail, "id stays the same") {
		t.Errorf("%s\n%s", summary, detail)
	}
}

func TestModifyPlan_unknownIsNeverTheDigestOfNothing(t *testing.T) {
	for _, d := range []digests{
		{opaque: true},
		{parts: built(), unknown: map[string]bool{"preseed": true}},
		unknowns{parts: map[string]bool{"arch": true}}.merge(built()),
	} {
		if d.key() != "" || d.complete() {
			t.Errorf("%+v has key %s", d, d.key())
		}
	}
}

func TestLock(t *testing.T) {
	lock := maps.Clone(built())
	for _, tc := range []struct {
		name string
		got  digests
		want []string
	}{
		{name: "equal", got: digests{parts: built()}},
		{name: "more inputs than locked", got: with(func(m map[string]string) { m["script:x"] = "1" })},
		{name: "unknown", got: digests{opaque: true}},
		{name: "unknown part", got: digests{parts: built(), unknown: map[string]bool{"arch": true}}},
		{name: "changed", got: with(func(m map[string]string) { m["arch"] = "arm64" }), want: []string{"~ arch is arm64, locked to x86_64"}},
		{name: "gone", got: with(func(m map[string]string) { delete(m, "scripts") }), want: []string{"- scripts is not an input of this image"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, c := range mismatches(lock, tc.got) {
				got = append(got, c.text)
			}
			if strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
