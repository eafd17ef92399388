package debtest

import (
	"context"
	"crypto/md5" //nolint:gosec // the index lists MD5 sums beside SHA-256
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// poolPrefix is where, below a mirror's base, the overlay's own udebs appear to the guest.
const poolPrefix = "pool/overlay/"

// controlFields are the fields a repacked udeb keeps from its index entry; the others describe the file.
var controlFields = []string{
	"Package", "Version", "Architecture", "Maintainer", "Depends", "Provides", "Section", "Priority", "Description",
	"Installer-Menu-Item",
}

// companions are libraries a repacked udeb needs inside, because the installer has them nowhere else.
var companions = map[string][]string{
	"e2fsprogs-udeb": {"libext2fs2t64", "libcom-err2", "libss2"},
}

// e2fsTools are the e2fsprogs programs the partitioner calls by the name PREFIX.ext{2,3,4} in /sbin.
var e2fsTools = map[string]string{"mke2fs": "mkfs", "e2fsck": "fsck"}

// repackTwin builds a missing udeb out of the ordinary package of the same name and gives its index entry. The
// error wraps errNoPackage when there is no such package.
func (b *builder) repackTwin(ctx context.Context, missing stanza) (stanza, error) {
	udeb := missing.get("Package")
	root, err := os.MkdirTemp(b.dir, "repack-")
	if err != nil {
		return nil, fmt.Errorf("repack %s: %w", udeb, err)
	}
	defer os.RemoveAll(root)
	for _, name := range append([]string{twinName(udeb)}, companions[udeb]...) {
		if err := b.unpack(ctx, name, root); err != nil {
			return nil, fmt.Errorf("repack %s: %w", udeb, err)
		}
	}
	if err := os.RemoveAll(filepath.Join(root, "usr/share")); err != nil {
		return nil, fmt.Errorf("repack %s: %w", udeb, err)
	}
	if udeb == "e2fsprogs-udeb" {
		if err := linkE2fsTools(root); err != nil {
			return nil, fmt.Errorf("repack %s: %w", udeb, err)
		}
	}
	return b.buildUdeb(ctx, root, missing.only(controlFields...))
}

// unpack downloads an ordinary package and unpacks it below root.
func (b *builder) unpack(ctx context.Context, name, root string) error {
	deb, err := b.apt.download(ctx, name, b.dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(deb))
	if _, err := (command{argv: []string{"dpkg-deb", "--extract", deb, root}}).output(ctx); err != nil {
		return fmt.Errorf("unpack %s: %w", name, err)
	}
	return nil
}

// linkE2fsTools moves the file system tools to /sbin and links them under the names the partitioner calls.
func linkE2fsTools(root string) error {
	sbin, usrSbin := filepath.Join(root, "sbin"), filepath.Join(root, "usr/sbin")
	if err := os.MkdirAll(sbin, 0o755); err != nil {
		return err
	}
	for tool, prefix := range e2fsTools {
		if err := os.Rename(filepath.Join(usrSbin, tool), filepath.Join(sbin, tool)); err != nil {
			return err
		}
		for _, kind := range []string{"ext2", "ext3", "ext4"} {
			name := prefix + "." + kind
			if err := os.Remove(filepath.Join(usrSbin, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err := os.Symlink(tool, filepath.Join(sbin, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// buildUdeb packs root as a udeb with the given control fields into the overlay and gives its index entry.
func (b *builder) buildUdeb(ctx context.Context, root string, control stanza) (stanza, error) {
	name := control.get("Package")
	debian := filepath.Join(root, "DEBIAN")
	if err := os.MkdirAll(debian, 0o755); err != nil {
		return nil, fmt.Errorf("build %s: %w", name, err)
	}
	if err := os.Chmod(root, 0o755); err != nil { // MkdirTemp's 0700 would become the installer's root folder's
		return nil, fmt.Errorf("build %s: %w", name, err)
	}
	if err := os.WriteFile(filepath.Join(debian, "control"), []byte(control.String()), 0o644); err != nil {
		return nil, fmt.Errorf("build %s: %w", name, err)
	}
	file := name + ".udeb"
	target := filepath.Join(b.dir, overlayDir, file)
	build := command{
		argv: []string{"dpkg-deb", "--build", "--root-owner-group", "-Zxz", root, target},
		env:  []string{"SOURCE_DATE_EPOCH=" + strconv.FormatInt(imageTime.Unix(), 10)},
	}
	if _, err := build.output(ctx); err != nil {
		return nil, fmt.Errorf("build %s: %w", name, err)
	}
	data, err := os.ReadFile(target)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", name, err)
	}
	return append(control, fileFields(path.Join(poolPrefix, file), data)...), nil
}

// fileFields are the fields of an index entry that describe its file.
func fileFields(filename string, data []byte) stanza {
	md5sum, sha := md5.Sum(data), sha256.Sum256(data) //nolint:gosec // see the import
	return stanza{
		{"Filename", filename},
		{"Size", strconv.Itoa(len(data))},
		{"MD5sum", hex.EncodeToString(md5sum[:])},
		{"SHA256", hex.EncodeToString(sha[:])},
	}
}

// neededModules are the module files and folders, below a kernel's module folder, of an installation onto a
// virtual disk: file systems, virtual and emulated disks and CD drives, and what the partitioner loads.
var neededModules = []string{
	"fs/ext4", "fs/jbd2", "fs/mbcache.ko", "fs/fat", "fs/nls", "fs/isofs", "fs/efivarfs", "fs/fuse",
	"drivers/block/virtio_blk.ko", "drivers/block/loop.ko",
	"drivers/scsi/scsi_mod.ko", "drivers/scsi/scsi_common.ko", "drivers/scsi/sd_mod.ko", "drivers/scsi/sr_mod.ko",
	"drivers/scsi/virtio_scsi.ko", "drivers/cdrom", "drivers/ata", "drivers/md", "drivers/virtio",
	"lib/crc16.ko", "lib/crc-itu-t.ko", "lib/libcrc32c.ko", "lib/raid6",
	"crypto/async_tx", "crypto/xor.ko", "crypto/crc32c_generic.ko", "arch/arm64/lib/xor-neon.ko",
}

// mergeModules builds the one udeb that stands in for all missing module udebs, with the modules an
// installation onto a virtual disk needs, from the ordinary kernel package. Its priority makes the installer
// load it.
func (b *builder) mergeModules(ctx context.Context, kernel string, provides []string) (stanza, error) {
	deb, err := b.apt.download(ctx, "linux-image-"+kernel, b.dir)
	if err != nil {
		return nil, fmt.Errorf("the installer's kernel modules: %w", err)
	}
	defer os.RemoveAll(filepath.Dir(deb))
	root, err := os.MkdirTemp(b.dir, "modules-")
	if err != nil {
		return nil, fmt.Errorf("the installer's kernel modules: %w", err)
	}
	defer os.RemoveAll(root)
	var found int
	err = extract(ctx, deb, func(name string) string {
		if !isNeededModule(name, kernel) {
			return ""
		}
		found++
		return filepath.Join(root, name)
	})
	if err != nil {
		return nil, err
	}
	if found == 0 {
		return nil, fmt.Errorf("the kernel package of linux %s has none of the modules an installation needs", kernel)
	}
	return b.buildUdeb(ctx, root, stanza{
		{"Package", "overlay-modules-" + kernel + "-di"},
		{"Version", "1"},
		{"Architecture", string(b.apt.arch)},
		{"Maintainer", "debtest <root@localhost>"},
		{"Section", "debian-installer"},
		{"Priority", "standard"},
		{"Provides", strings.Join(provides, ", ")},
		{"Kernel-Version", kernel},
		{"Description", "kernel modules missing on this mirror"},
	})
}

// isNeededModule says whether a package member is one of neededModules; a module may be compressed (.ko.xz).
func isNeededModule(name, kernel string) bool {
	below, ok := strings.CutPrefix(name, "usr/lib/modules/"+kernel+"/kernel/")
	if !ok || !strings.Contains(path.Base(below), ".ko") {
		return false
	}
	for _, m := range neededModules {
		if below == m || strings.HasPrefix(below, m+".") || strings.HasPrefix(below, m+"/") {
			return true
		}
	}
	return false
}
