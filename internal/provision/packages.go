package provision

import (
	"context"
	"fmt"
	"strings"
)

// Package is a Debian package that is installed in the guest.
type Package struct{ Name, Version, Arch string }

// Packages lists the installed packages by name, then architecture.
func (g *Guest) Packages(ctx context.Context) ([]Package, error) {
	out, err := g.Output(ctx, `dpkg-query -W -f '${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\n' | LC_ALL=C sort`)
	if err != nil {
		return nil, fmt.Errorf("cannot list the guest's packages: %w", err)
	}
	var list []Package
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 4 {
			return nil, fmt.Errorf("cannot list the guest's packages: unexpected line %q", line)
		}
		if f[0] == "installed" {
			list = append(list, Package{f[1], f[2], f[3]})
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("cannot list the guest's packages: dpkg knows of none")
	}
	return list, nil
}
