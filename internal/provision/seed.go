package provision

import "strings"

// aptProxy is the file of the proxy that a build's packages come through; prepare.sh and finalize.sh, which remove it,
// have its name from lib.sh. Checked by a test.
const aptProxy = "/etc/apt/apt.conf.d/00pim-build-proxy"

// SeedScript is a shell script for the beginning of a base image's boot: InstallBlock, and the proxy that packages come
// through until Finalize, a URL as the guest reaches it; "" for none.
func (id Identity) SeedScript(proxy string) string {
	if proxy == "" {
		return id.InstallBlock()
	}
	line := `Acquire::http::Proxy "` + proxy + `";`
	return strings.Join([]string{
		id.InstallBlock(),
		"umask 077",
		"printf '%s\\n' " + quote(line) + ` >"${PIM_ROOT:-}` + aptProxy + `"`,
		"",
	}, "\n")
}
