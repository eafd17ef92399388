# Prints a line "path: what is wrong" for each thing that must not be in an image.

# none reports those of the arguments that exist, for the reason that comes first.
none() {
    reason=$1
    shift
    for f in "$@"; do
        if [ -e "$f" ] || [ -L "$f" ]; then
            report "$f" "$reason"
        fi
    done
}

# empty reports those of the arguments that hold something.
empty() {
    reason=$1
    shift
    for f in "$@"; do
        if [ -f "$f" ] && [ -s "$f" ]; then
            report "$f" "$reason"
        fi
    done
}

report() { echo "${1#"$R"}: $2"; }

none "all clones would share this SSH host key" "$R"/etc/ssh/ssh_host_*
if [ -x "$R/usr/sbin/sshd" ]; then
    [ -e "$R/etc/systemd/system/ssh.service.wants/pim-host-keys.service" ] ||
        report "$R/etc/systemd/system/pim-host-keys.service" "missing, so a clone may have no SSH host keys"
fi
[ -f "$R/etc/machine-id" ] || report "$R/etc/machine-id" "missing; it must be there and empty"
empty "all clones would share this machine-id" "$R/etc/machine-id"
[ -L "$R/var/lib/dbus/machine-id" ] || none "all clones would share this machine-id" "$R/var/lib/dbus/machine-id"
none "all clones would share this secret" "$R/var/lib/systemd/random-seed" "$R/var/lib/urandom/random-seed" \
    "$R/boot/loader/random-seed" "$R/boot/efi/loader/random-seed" "$R/var/lib/systemd/credential.secret" \
    "$R/var/lib/NetworkManager/secret_key"

for keys in "$R"/root/.ssh/authorized_keys "$R"/home/*/.ssh/authorized_keys; do
    if grep -qsF "$PIM_BUILD_KEY" "$keys"; then
        report "$keys" "holds the build's key"
    fi
done
none "belongs to the build" "$R$PIM_SSHD_DROP_IN" "$apt_proxy"
none "lets unsigned packages in" "$apt_unsigned"
for dir in "$R"/root/.pim-*; do
    [ "$dir/script" = "$0" ] || none "belongs to the build" "$dir"
done
# The addresses of QEMU's user networking. A resolv.conf that is a link leads to /run and is made anew at every boot.
for f in "$R"/etc/apt/* "$R"/etc/apt/*.d/* "$R/etc/resolv.conf"; do
    if [ -f "$f" ] && [ ! -L "$f" ] && grep -qwF -e 10.0.2.2 -e 10.0.2.3 "$f"; then
        report "$f" "names an address of the build's network"
    fi
done
if grep -qsi '^[[:space:]]*Acquire::[a-z]*::Proxy[[:space:]]' "$R/etc/apt/apt.conf"; then
    report "$R/etc/apt/apt.conf" "holds the installer's proxy"
fi
none "holds the installer's proxy" "$R/etc/apt/apt.conf.d/90curtin-aptproxy" \
    "$R/etc/systemd/system/snapd.service.d/snap_proxy.conf"
none "keeps clones from finding their data source" "$R/etc/cloud/cloud.cfg.d/99-installer.cfg"
for f in "$R"/etc/cloud/cloud.cfg.d/*.cfg; do
    if grep -qsE "^[^#]*config[\"']?:[[:space:]]*[\"']?disabled" "$f"; then
        report "$f" "keeps clones from the network that their data source describes"
    fi
done
if grep -qs '^pim:' "$R/etc/cloud/cloud-init.disabled"; then
    report "$R/etc/cloud/cloud-init.disabled" "belongs to the build"
fi

none "tells of the build" "$R/var/log/installer" "$R"/var/log/journal/* "$R"/var/log/*.gz "$R"/var/log/*.1 \
    "$R"/root/.*_history "$R"/home/*/.*_history
empty "tells of the build" "$R/var/log/syslog" "$R/var/log/auth.log" "$R/var/log/dpkg.log" "$R"/var/log/apt/* \
    "$R"/var/log/cloud-init*.log
none "belongs to the build's network" "$R"/etc/udev/rules.d/*-persistent-net.rules "$R"/var/lib/dhcp/*.lease* \
    "$R"/var/lib/dhclient/*.lease* "$R"/var/lib/dhcpcd/* "$R"/var/lib/NetworkManager/*.lease
none "is a cache" "$R"/var/cache/apt/archives/*.deb "$R"/var/lib/apt/lists/*_Packages
none "is cloud-init's memory of the build" "$R/var/lib/cloud/instance" "$R"/var/lib/cloud/instances/*
none "is cloud-init's network of the build" "$R"/etc/netplan/50-cloud-init.yaml "$R"/etc/network/interfaces.d/50-cloud-init* \
    "$R"/etc/systemd/network/10-cloud-init-*.network

# A disk has another name under another hypervisor.
if grep -qsE '^[[:space:]]*/dev/(vd|sd|xvd|nvme)' "$R/etc/fstab"; then
    report "$R/etc/fstab" "names a disk of the build; use UUID="
fi
for f in "$R/etc/initramfs-tools/initramfs.conf" "$R"/etc/initramfs-tools/conf.d/*; do
    if grep -qsE '^MODULES="?dep' "$f"; then
        report "$f" "binds the initramfs to the drivers of the build machine"
    fi
done
if dracut_host_only; then
    report "$R/etc/dracut.conf.d" "binds the initramfs to the drivers of the build machine; the last hostonly must be \"no\""
fi
if grep -qsE 'root=/dev/(vd|sd|xvd|nvme)' "$R/boot/grub/grub.cfg"; then
    report "$R/boot/grub/grub.cfg" "names a disk of the build; use UUID="
fi
