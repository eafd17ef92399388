#!/bin/sh
# Runs once inside the new system, as the installer's last act: what an image needs before its first boot. The build
# puts the keys it logs in with before this. Network is up, no service is.
set -eu
export DEBIAN_FRONTEND=noninteractive

username=${PIM_USERNAME:-}
hostname=${PIM_HOSTNAME:-}
domain=${PIM_DOMAIN:-}
keys_url=${PIM_AUTHORIZED_KEYS_URL:-}

# The installer's network came up before its answers, so it knows these names only now.
if [ -n "$hostname" ]; then
    echo "$hostname" >/etc/hostname
    {
        printf '127.0.0.1\tlocalhost\n'
        printf '127.0.1.1\t%s\n' "${domain:+$hostname.$domain }$hostname"
        printf '\n::1\tlocalhost ip6-localhost ip6-loopback\n'
        printf 'ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n'
    } >/etc/hosts
fi

# An account name that the installer refuses comes as pim-admin.
if [ -n "$username" ] && id pim-admin >/dev/null 2>&1; then
    usermod --login "$username" --home "/home/$username" --move-home pim-admin
    groupmod --new-name "$username" pim-admin
    sed -i "s/^pim-admin:/$username:/" /etc/subuid /etc/subgid
fi

# A lean preseed may have left the account out.
if ! id "$username" >/dev/null 2>&1; then
    username=
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
    case $keys_url in
    https:*) apt-get install -q -y --no-install-recommends ca-certificates ;;
    esac
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

# A lean system without ifupdown has its network from systemd, and says so here; base.sh brings every other to this.
if ! command -v ifup >/dev/null; then
    printf '[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n\n[DHCPv4]\nUseDomains=yes\n' \
        >/etc/systemd/network/99-pim-dhcp.network
    systemctl enable systemd-networkd.service
    if systemctl enable systemd-resolved.service; then
        ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
    fi
fi

# A machine nobody watches boots at once, and shows its menu on the screen as well as on the serial console.
if [ -f /etc/default/grub ]; then
    sed -i -e 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=1/' \
        -e 's/^GRUB_TERMINAL=serial$/GRUB_TERMINAL="console serial"/' /etc/default/grub
    update-grub
fi
