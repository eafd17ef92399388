#!/bin/sh
# Runs once inside the new Ubuntu system, as the installer's last act: what an image needs before its first boot. The
# build puts the keys it logs in with before this. Network is up, no service is.
#
# The installer leaves much to a first boot of cloud-init: older ones the account, all of them locale and time zone. The
# first boot here is the build's own, so it is done now, and cloud-init is left as on a machine it never ran on.
set -eu
export DEBIAN_FRONTEND=noninteractive

username=${PIM_USERNAME:-}
fullname=${PIM_FULLNAME:-}
hostname=${PIM_HOSTNAME:-}
domain=${PIM_DOMAIN:-}
locale=${PIM_LOCALE:-}
timezone=${PIM_TIMEZONE:-}
keys_url=${PIM_AUTHORIZED_KEYS_URL:-}

if [ -n "$hostname" ]; then
    echo "$hostname" >/etc/hostname
    {
        printf '127.0.0.1\tlocalhost\n'
        printf '127.0.1.1\t%s\n' "${domain:+$hostname.$domain }$hostname"
        printf '\n::1\tlocalhost ip6-localhost ip6-loopback\n'
        printf 'ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n'
    } >/etc/hosts
fi

case $timezone in
'' | UTC | Etc/UTC) ;; # what a system has that was told nothing
*)
    [ -e "/usr/share/zoneinfo/$timezone" ] || { echo "no time zone $timezone in this system" >&2; exit 1; }
    ln -sf "/usr/share/zoneinfo/$timezone" /etc/localtime
    echo "$timezone" >/etc/timezone
    ;;
esac

# A name without a character set means UTF-8, as it does to the installer.
case $locale in
*.* | *@*) ;;
*_*) locale=$locale.UTF-8 ;;
esac
if [ -n "$locale" ]; then
    case $locale in
    C | C.* | POSIX) ;;
    *)
        known=/usr/share/i18n/SUPPORTED
        # A minimal system comes without.
        [ -e "$known" ] || apt-get install -q -y --no-install-recommends locales
        line=$(awk -v name="$locale" '$1 == name { print; exit }' "$known")
        [ -n "$line" ] || { echo "no locale $locale in $known" >&2; exit 1; }
        grep -qsxF "$line" /etc/locale.gen || echo "$line" >>/etc/locale.gen
        locale-gen
        ;;
    esac
    printf 'LANG=%s\n' "$locale" >/etc/default/locale
fi

# The account, with the groups that the installer itself would give it.
if [ -n "$username" ] && ! id "$username" >/dev/null 2>&1; then
    groups=
    for g in adm cdrom dip lxd plugdev sudo; do
        if getent group "$g" >/dev/null; then groups=${groups:+$groups,}$g; fi
    done
    useradd --create-home --shell /bin/bash --comment "$fullname" --groups "$groups" "$username"
    if [ -n "${PIM_PASSWORD_HASH:-}" ]; then
        printf '%s:%s\n' "$username" "$PIM_PASSWORD_HASH" | chpasswd --encrypted
    fi
fi

# Without a password sudo has nothing to ask for; the account is then opened by keys alone.
if [ -n "$username" ] && [ -d /etc/sudoers.d ]; then
    case $(getent shadow "$username" | cut -d: -f2) in
    '$'*) ;;
    *)
        echo "$username ALL=(ALL:ALL) NOPASSWD:ALL" >/etc/sudoers.d/60-pim
        chmod 440 /etc/sudoers.d/60-pim
        ;;
    esac
fi

if [ -n "$username" ] && [ -n "$keys_url" ]; then
    home=$(getent passwd "$username" | cut -d: -f6)
    install -d -m 700 -o "$username" -g "$username" "$home/.ssh"
    /usr/lib/apt/apt-helper download-file "$keys_url" "$home/.ssh/authorized_keys"
    chown "$username:$username" "$home/.ssh/authorized_keys"
    chmod 600 "$home/.ssh/authorized_keys"
fi

# No password opens SSH. sshd takes the first value it reads: cloud-init's 50-cloud-init.conf may say otherwise.
if [ -d /etc/ssh/sshd_config.d ]; then
    printf 'PasswordAuthentication no\nKbdInteractiveAuthentication no\n' >/etc/ssh/sshd_config.d/60-pim.conf
fi

# What the installer tells cloud-init for its first boot would keep every clone from finding its own data source. Until
# the image is finished cloud-init stays away: it would make new SSH host keys. The build removes this file again.
if [ -d /etc/cloud ]; then
    rm -f /etc/cloud/cloud.cfg.d/99-installer.cfg /etc/cloud/cloud.cfg.d/90-installer-network.cfg \
        /etc/cloud/cloud.cfg.d/20-disable-cc-dpkg-grub.cfg /etc/cloud/cloud.cfg.d/curtin-preserve-sources.cfg \
        /etc/cloud/cloud.cfg.d/*subiquity-disable-cloudinit-networking.cfg \
        /etc/cloud/ds-identify.cfg /etc/cloud/clean.d/99-installer
    echo 'pim: until the image is finished' >/etc/cloud/cloud-init.disabled
fi

# The network belongs to no particular machine; cloud-init writes a clone's.
rm -f /etc/netplan/00-installer-config*.yaml /etc/netplan/50-cloud-init.yaml /etc/netplan/01-netcfg.yaml
printf '[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n\n[DHCPv4]\nUseDomains=yes\n' \
    >/etc/systemd/network/99-pim-dhcp.network
systemctl enable systemd-networkd.service systemd-resolved.service

# The proxy is the build's alone.
rm -f /etc/apt/apt.conf.d/90curtin-aptproxy /etc/systemd/system/snapd.service.d/snap_proxy.conf

# A machine nobody watches boots at once, and talks on the serial console as well. The kernel uses the last console that
# the machine has: arm64 has ttyAMA0 in QEMU and ttyS0 in a cloud.
if [ -d /etc/default/grub.d ] || [ -f /etc/default/grub ]; then
    console='console=tty0 console=ttyS0,115200n8'
    if [ "$(uname -m)" = aarch64 ]; then console="$console console=ttyAMA0"; fi
    mkdir -p /etc/default/grub.d
    printf 'GRUB_CMDLINE_LINUX_DEFAULT="%s"\nGRUB_TIMEOUT=1\nGRUB_TIMEOUT_STYLE=menu\nGRUB_RECORDFAIL_TIMEOUT=1\n%s\n' \
        "$console" 'GRUB_TERMINAL="console serial"' >/etc/default/grub.d/90-pim.cfg
    update-grub
fi
