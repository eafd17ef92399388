package provider

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
)

var sizePattern = regexp.MustCompile(`^([0-9]+) ?([KMGT]?)(i?B)?$`)

// parseSize reads a size such as "20G", "512M", "20GiB" or plain bytes. Units are powers of 1024, as qemu-img's are.
func parseSize(s string) (int64, error) {
	m := sizePattern.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	shift := map[string]uint{"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[m[2]]
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q is too large", s)
	}
	if n == 0 {
		return 0, fmt.Errorf("%q is no size for a disk", s)
	}
	return n << shift, nil
}

// formatSize writes bytes with the largest unit that divides them.
func formatSize(n int64) string {
	for _, u := range []struct {
		name  string
		shift uint
	}{{"T", 40}, {"G", 30}, {"M", 20}, {"K", 10}} {
		if n > 0 && n%(1<<u.shift) == 0 {
			return strconv.FormatInt(n>>u.shift, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}
