#!/bin/sh
# Lets the build into the system by SSH, with keys made for this system alone.
(
set -eu
umask 077
root=${PIM_ROOT:-}
if [ ! -x "$root/usr/sbin/sshd" ]; then
    echo "pim: openssh-server is not installed in this system: the image's packages must include it" >&2
    exit 1
fi

mkdir -p "$root/root/.ssh"
cat >>"$root/root/.ssh/authorized_keys" <<'PIM_END'
@AUTHORIZED_KEY@
PIM_END

rm -f "$root"/etc/ssh/ssh_host_*
cat >"$root/etc/ssh/ssh_host_ed25519_key" <<'PIM_END'
@HOST_KEY@
PIM_END
cat >"$root/etc/ssh/ssh_host_ed25519_key.pub" <<'PIM_END'
@HOST_PUBLIC_KEY@
PIM_END
chmod 644 "$root/etc/ssh/ssh_host_ed25519_key.pub"

# sshd takes the first value it reads, and reads this file first.
mkdir -p "$root/etc/ssh/sshd_config.d"
cat >"$root@SSHD_DROP_IN@" <<'PIM_END'
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PubkeyAuthentication yes
AuthorizedKeysFile .ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
PIM_END
)
pim_status=$?
[ "$pim_status" -eq 0 ] || exit "$pim_status"
unset pim_status
