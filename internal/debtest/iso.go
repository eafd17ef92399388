package debtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// imageTime is every date inside the image and the overlay's udebs, so that the same installer package gives
// the same bytes on every machine.
var imageTime = time.Date(2025, time.August, 9, 0, 0, 0, 0, time.UTC)

// makeISO writes the files at the root of tree as an ISO 9660 image with Rock Ridge names. Everything xorriso
// would take from the clock, the user or its own version is fixed: the image depends on the files' names and
// contents only.
func makeISO(ctx context.Context, tree, target string) error {
	if err := fixTree(tree); err != nil {
		return fmt.Errorf("make %s: %w", filepath.Base(target), err)
	}
	date := imageTime.Format("20060102150405") + "00" // hundredths, as ECMA-119 8.4.26.1 has them
	argv := []string{
		"xorriso", "-no_rc", "-as", "mkisofs", "-quiet",
		"-volid", "PIM_DEBTEST", "-sysid", "LINUX", "-preparer", "PIM_DEBTEST", "-publisher", "PIM_DEBTEST",
		"-appid", "PIM_DEBTEST", "-rational-rock", "-iso-level", "3",
		"--modification-date=" + date, "--set_all_file_dates", date,
		"-output", target, tree,
	}
	build := command{argv: argv, env: []string{"TZ=UTC", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", imageTime.Unix())}}
	if _, err := build.output(ctx); err != nil {
		return fmt.Errorf("make %s: %w", filepath.Base(target), err)
	}
	return nil
}

// fixTree gives every file below tree the same modes and dates on every machine.
func fixTree(tree string) error {
	return filepath.WalkDir(tree, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := os.FileMode(0o444)
		if entry.IsDir() {
			mode = 0o755
		}
		if strings.ContainsAny(entry.Name(), "\n\x00") {
			return fmt.Errorf("file name %q", entry.Name())
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		return os.Chtimes(path, imageTime, imageTime)
	})
}
