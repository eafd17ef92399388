#!/bin/bash
# What makes an installed system a golden image: cloud-init, a disk that grows, an agent the hypervisor can talk to,
# and a network that belongs to no particular machine. Cleaning up is the build's own last step, not this script's.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

# Package lists that came with the installation minutes ago are good; reading new ones is the slowest part of this.
if [[ -z $(find /var/lib/apt/lists -maxdepth 1 -name '*Release' -cmin -120 2>/dev/null) ]]; then
    apt-get -q update
fi

# Services installed here start with the next boot: a new resolver in the middle of a build would lose the name server.
if [[ ! -e /usr/sbin/policy-rc.d ]]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
fi

# Unsafe I/O is safe here: a build that fails is thrown away, and one that succeeds ends with a sync.
packages=(cloud-init cloud-guest-utils qemu-guest-agent sudo)
[[ -e /lib/systemd/systemd-resolved ]] || packages+=(systemd-resolved) # before 2023 it came with systemd
apt-get -q -y --no-install-recommends -o DPkg::Options::=--force-unsafe-io install "${packages[@]}"

# Any wired interface gets its address by DHCP, whatever its name on the machine a clone runs on. cloud-init's own files
# (10-cloud-init-*.network) come first in the alphabet, so what a datasource says wins.
cat >/etc/systemd/network/99-pim-dhcp.network <<'UNIT'
[Match]
Name=en* eth*

[Network]
DHCP=yes

[DHCPv4]
UseDomains=yes
UNIT
systemctl enable systemd-networkd.service systemd-resolved.service

# The installer's entry for the interface of the build machine would bind the image to that name.
if [[ -f /etc/network/interfaces ]]; then
    printf '%s\n' 'source /etc/network/interfaces.d/*' '' 'auto lo' 'iface lo inet loopback' >/etc/network/interfaces
fi
rm -f /etc/netplan/00-installer-config.yaml

# Name service goes through resolved after the next boot, and until then through what is there now.
stub=/run/systemd/resolve/stub-resolv.conf
if [[ $(readlink -m /etc/resolv.conf) != "$stub" ]]; then
    mkdir -p "${stub%/*}"
    [[ -e $stub ]] || cp -L /etc/resolv.conf "$stub"
    ln -sf "../run/systemd/resolve/stub-resolv.conf" /etc/resolv.conf
fi

# The account the image was installed with is the one a datasource's keys are for. Its password, if it has one, stays.
username=${PIM_USERNAME:-}
if ! getent passwd "${username:-/}" >/dev/null; then
    username=''
fi
locked=true
if [[ -n $username && $(getent shadow "$username" | cut -d: -f2) == '$'* ]]; then
    locked=false
fi
# An image made from another one keeps that one's account when it has none of its own.
if [[ -n $username || ! -e /etc/cloud/cloud.cfg.d/95_pim.cfg ]]; then
    cat >/etc/cloud/cloud.cfg.d/95_pim.cfg <<CONFIG
# The image's package sources are the ones to keep; /etc/hosts follows the host name.
apt:
  preserve_sources_list: true
manage_etc_hosts: localhost
system_info:
${username:+  default_user:
    name: $username
    lock_passwd: $locked
}  network:
    renderers: [netplan, networkd, eni]
CONFIG
fi
