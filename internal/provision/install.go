package provision

import (
	_ "embed"
	"strings"
)

// Places of the identity in the guest. finalize.sh removes what install.sh makes; checked by a test.
const sshdDropIn = "/etc/ssh/sshd_config.d/00-pim-build.conf"

//go:embed install.sh
var installTemplate string

// InstallBlock is a shell script that puts the identity into the system it runs in as root, such as the
// installer's /target: from then on that system's SSH server has the pinned host key and lets root in with the
// client key, and with nothing else. It holds a private key. Other text may follow it; when it fails, the whole
// script ends with its status.
func (id Identity) InstallBlock() string {
	return strings.NewReplacer(
		"@AUTHORIZED_KEY@", id.AuthorizedKey(),
		"@HOST_KEY@", strings.TrimSuffix(string(id.HostPrivatePEM()), "\n"),
		"@HOST_PUBLIC_KEY@", id.HostKey(),
		"@SSHD_DROP_IN@", sshdDropIn,
	).Replace(installTemplate)
}
