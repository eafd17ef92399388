package debtest

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

const testKernel = "6.12.1+deb13-amd64"

// testInitrd is the status of an initrd with one library and the kernel inside.
const testInitrd = "Package: libc6-udeb\nStatus: install ok installed\n\nPackage: kernel-image-" + testKernel + "-di\n"

func TestParseInstaller(t *testing.T) {
	t.Parallel()
	what, ok := parseInstaller(testInitrd)
	if !ok || what.kernel != testKernel || !what.installed["libc6-udeb"] {
		t.Errorf("got %+v, %v", what, ok)
	}
	if _, ok := parseInstaller("Package: libc6-udeb\n"); ok {
		t.Error("an initrd without a kernel image was accepted")
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	what, _ := parseInstaller(testInitrd)
	tests := []struct {
		name    string
		present bool
		want    verdict
	}{
		{"partman-base", true, keep},
		{"partman-base", false, repack},
		{"libc6-udeb", false, keep},
		{"kernel-image-" + testKernel + "-di", false, keep},
		{"ext4-modules-" + testKernel + "-di", true, keep},
		{"ext4-modules-" + testKernel + "-di", false, merge},
		{"ext4-modules-6.12.0+deb13-amd64-di", false, keep},
		{"e2fsprogs-udeb", false, repack},
		{"libdevmapper1.02.1-udeb", false, repack},
	}
	for _, tc := range tests {
		if got := what.decide(tc.name, tc.present); got != tc.want {
			t.Errorf("%s, file there: %v: got %s, want %s", tc.name, tc.present, got, tc.want)
		}
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	what, _ := parseInstaller(testInitrd)
	module := func(name, kernel, provides string) stanza {
		return stanza{{"Package", name + "-" + kernel + "-di"}, {"Provides", provides}}
	}
	base := stanza{{"Package", "partman-base"}}
	ours, md := module("ext4-modules", testKernel, "ext4-modules"), module("md-modules", testKernel, "md-modules (= 1), raid-modules")
	older := module("ext4-modules", "6.12.0+deb13-amd64", "ext4-modules, ext2-modules")
	olderMD := module("md-modules", "6.12.0+deb13-amd64", "")
	tests := map[string]struct {
		stanzas  []stanza
		present  []bool
		complete bool
		provides []string
	}{
		"complete":                    {[]stanza{base, ours, md, older}, []bool{true, true, true, true}, true, nil},
		"one module file gone":        {[]stanza{base, ours, md}, []bool{true, true, false}, false, []string{"md-modules", "md-modules-" + testKernel + "-di", "raid-modules"}},
		"index of another kernel":     {[]stanza{base, older, olderMD}, []bool{true, true, true}, false, []string{"ext2-modules", "ext4-modules", "md-modules"}},
		"an ordinary file gone":       {[]stanza{base, ours}, []bool{false, true}, false, nil},
		"other kernel's do not count": {[]stanza{base, ours, older}, []bool{true, true, false}, true, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := what.plan(tc.stanzas, tc.present)
			if p.complete() != tc.complete {
				t.Errorf("complete %v, want %v", p.complete(), tc.complete)
			}
			if n := len(p.keep) + len(p.merge) + len(p.repack); n != len(tc.stanzas) {
				t.Errorf("%d of %d entries have a verdict", n, len(tc.stanzas))
			}
			if p.modules {
				if got := what.provides(p); !reflect.DeepEqual(got, tc.provides) {
					t.Errorf("provides %q, want %q", got, tc.provides)
				}
			} else if tc.provides != nil {
				t.Error("no modules are replaced")
			}
		})
	}
}

func TestIsNeededModule(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"kernel/fs/ext4/ext4.ko.xz":           true,
		"kernel/drivers/block/virtio_blk.ko":  true,
		"kernel/drivers/md/raid1.ko.xz":       true,
		"kernel/drivers/mdio/x.ko.xz":         false,
		"kernel/fs/ext4":                      false,
		"kernel/drivers/net/virtio_net.ko.xz": false,
	} {
		if got := isNeededModule("usr/lib/modules/"+testKernel+"/"+name, testKernel); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if isNeededModule("usr/lib/modules/other/kernel/fs/ext4/ext4.ko", testKernel) {
		t.Error("a module of another kernel was taken")
	}
}

func TestStanzasSurviveARoundTrip(t *testing.T) {
	t.Parallel()
	text := "Package: a\nDescription: short\n long line\n .\n more\nDepends:\n b,\n c (>= 1)\n\nPackage: d\nSize: 1\n\n"
	all := parseStanzas(text)
	if got := formatStanzas(all); got != text {
		t.Errorf("got:\n%s\nwant:\n%s", got, text)
	}
	if got := commaList(all[0].get("depends")); !reflect.DeepEqual(got, []string{"b", "c"}) {
		t.Errorf("Depends %q", got)
	}
	if got := all[0].only("Package", "Size"); len(got) != 1 {
		t.Errorf("only: %v", got)
	}
}

func TestIndexSurvivesPacking(t *testing.T) {
	t.Parallel()
	want := []stanza{{{"Package", "a"}, {"Filename", "pool/a.udeb"}}, {{"Package", "b"}}}
	packed, err := packXZ([]byte(formatStanzas(want)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseIndex(packed)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseIndex(packed[:len(packed)/2]); err == nil {
		t.Error("half an index was accepted")
	}
}

func TestRewriteRelease(t *testing.T) {
	t.Parallel()
	const name = "main/debian-installer/binary-amd64/Packages.xz"
	release := strings.Join([]string{
		"Origin: Debian",
		"MD5Sum:",
		" 00 10 main/binary-amd64/Packages.xz",
		" 11 20 main/debian-installer/binary-amd64/Packages",
		" 22 30 main/debian-installer/binary-amd64/Packages.gz",
		" 33 40 " + name,
		"SHA256:",
		" 44 40 " + name,
		" 55 50 contrib/debian-installer/binary-amd64/Packages.xz", "",
	}, "\n")
	want := strings.Join([]string{
		"Origin: Debian",
		"MD5Sum:",
		" 00 10 main/binary-amd64/Packages.xz",
		" 900150983cd24fb0d6963f7d28e17f72 3 " + name,
		"SHA256:",
		" ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 3 " + name,
		" 55 50 contrib/debian-installer/binary-amd64/Packages.xz", "",
	}, "\n")
	got := rewriteRelease(release, name, []byte("abc"))
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	digest, err := releaseDigest(got, name)
	if err != nil || digest != digestFor(sectionSHA256, []byte("abc")) {
		t.Errorf("digest %s, %v", digest, err)
	}
	if _, err := releaseDigest(release, "main/none"); err == nil {
		t.Error("an unlisted path has a digest")
	}
	if !bytes.Contains([]byte(got), []byte("contrib/")) {
		t.Error("another component's line is gone")
	}
}
