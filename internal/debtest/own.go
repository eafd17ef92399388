package debtest

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// UdebsEnv names the environment variable with a folder of udebs that stand in for those the mirror lacks and no
// ordinary package can be repacked for. They are looked for by Debian's name of the architecture and theirs, as in
// arm64/partman-base.udeb.
const UdebsEnv = "PIM_DEBTEST_UDEBS"

// essential are udebs no installation can do without, and that have no ordinary package of the same content.
var essential = []string{
	"apt-setup-udeb", "bootstrap-base", "di-utils-mapdevfs", "disk-detect", "grub-installer", "libparted2-udeb",
	"partman-auto", "partman-base", "partman-basicfilesystems", "partman-efi", "partman-partitioning", "partman-utils",
}

// ownUdebs is a folder of udebs, "" for none.
type ownUdebs string

// findOwn is the folder of an architecture below dir; both may be missing.
func findOwn(dir string, arch debArch) ownUdebs {
	below := filepath.Join(dir, string(arch))
	if _, err := os.Stat(below); dir == "" || err != nil {
		return ""
	}
	return ownUdebs(below)
}

// digest stands for the folder's content; it is "" without a folder.
func (o ownUdebs) digest() (string, error) {
	if o == "" {
		return "", nil
	}
	found, err := filepath.Glob(filepath.Join(string(o), "*.udeb"))
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s has no *.udeb", o)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", UdebsEnv, err)
	}
	var list strings.Builder
	for _, file := range found { // Glob sorts
		sum, err := fileSHA256(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(&list, sum, filepath.Base(file))
	}
	return digestFor(sectionSHA256, []byte(list.String())), nil
}

// has says whether the folder has the udeb.
func (o ownUdebs) has(udeb string) bool {
	_, err := os.Stat(filepath.Join(string(o), udeb+".udeb"))
	return o != "" && err == nil
}

// addOwn copies a udeb of the folder into the overlay and gives its index entry.
func (b *builder) addOwn(ctx context.Context, missing stanza) (stanza, error) {
	udeb := missing.get("Package")
	file := udeb + ".udeb"
	source := filepath.Join(string(b.inputs.own), file)
	text, err := command{argv: []string{"dpkg-deb", "--field", source}}.output(ctx)
	if err != nil {
		return nil, fmt.Errorf("use %s: %w", source, err)
	}
	all := parseStanzas(string(text))
	if len(all) != 1 || all[0].get("Package") != udeb || all[0].get("Architecture") != string(b.apt.arch) {
		return nil, fmt.Errorf("use %s: it is not the udeb %s for %s", source, udeb, b.apt.arch)
	}
	data, err := os.ReadFile(source)
	if err != nil {
		return nil, fmt.Errorf("use %s: %w", source, err)
	}
	if err := b.writeOverlay(file, data); err != nil {
		return nil, err
	}
	return append(all[0].only(controlFields...), fileFields(path.Join(poolPrefix, file), data)...), nil
}

// incomplete is the error of a mirror that lacks essential udebs; lost are all that could not be replaced.
func incomplete(lost []string) error {
	var missing []string
	for _, name := range lost {
		if slices.Contains(essential, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("the mirror lacks %s, which cannot be repacked from an ordinary package: set %s to a complete mirror, "+
		"or %s to a folder with these udebs", strings.Join(missing, ", "), MirrorEnv, UdebsEnv)
}
