# Makes the system generic, so that each clone of its disk becomes a machine of its own. May run again.

# remove removes what its arguments name in the tree; patterns may match nothing.
remove() {
    for f in "$@"; do rm -rf "$f"; done
}

echo "finalize: package manager"
wait_for_apt
remove "$R"/var/lib/apt/lists/* "$R"/var/cache/apt/archives/*.deb "$R"/var/cache/apt/archives/partial/* \
    "$R"/var/cache/apt/*.bin "$R"/var/cache/debconf/*-old "$R"/var/lib/dpkg/*-old
wipe "$apt_proxy" "$apt_unsigned"

# An initramfs with no drivers but those of the build machine finds no disk on another one, and cloud-init, which
# looks early, not even its seed on an IDE or SATA drive, which is where hypervisors put it.
bound=$(grep -lsE '^MODULES="?dep' "$R/etc/initramfs-tools/initramfs.conf" "$R"/etc/initramfs-tools/conf.d/* || :)
for f in $bound; do sed -i 's/^MODULES=.*/MODULES=most/' "$f"; done
if dracut_host_only; then
    bound=$R/etc/dracut.conf.d/90-pim.conf
    echo 'hostonly="no"' >"$bound"
fi
if [ -n "$bound" ]; then
    echo "finalize: initramfs"
    if [ -n "$R" ]; then
        :
    elif command -v update-initramfs >/dev/null; then
        update-initramfs -u -k all
    else
        dracut --force --regenerate-all # dracut before 107 has no update-initramfs
    fi
fi

echo "finalize: the build's access"
for home in "$R"/root "$R"/home/*; do
    keys=$home/.ssh/authorized_keys
    if [ -f "$keys" ] && grep -qF "$PIM_BUILD_KEY" "$keys"; then
        rest=$(grep -vF "$PIM_BUILD_KEY" "$keys" || :)
        if [ -n "$rest" ]; then
            printf '%s\n' "$rest" >"$keys"
        else
            rm -f "$keys"
            rmdir "$home/.ssh" 2>/dev/null || :
        fi
    fi
done
remove "$R$PIM_SSHD_DROP_IN"
for dir in "$R"/root/.pim-*; do
    [ "$dir/script" = "$0" ] || remove "$dir"
done

echo "finalize: identity"
wipe "$R"/etc/ssh/ssh_host_*
# cloud-init makes host keys when it finds a data source; this is for clones that have none. Debian's own
# sshd-keygen.service does not run with an empty machine-id: that is no first boot.
if [ -x "$R/usr/sbin/sshd" ]; then
    mkdir -p "$R/etc/systemd/system/ssh.service.wants"
    cat >"$R/etc/systemd/system/pim-host-keys.service" <<'UNIT'
[Unit]
Description=Make SSH host keys when there are none
After=cloud-init.service cloud-init-network.service sshd-keygen.service
Before=ssh.service
ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=ssh.service
UNIT
    ln -sf ../pim-host-keys.service "$R/etc/systemd/system/ssh.service.wants/pim-host-keys.service"
fi
# Empty, not absent: systemd then makes an id without taking this for a system that was never set up (machine-id(5)).
: >"$R/etc/machine-id"
if [ ! -L "$R/var/lib/dbus/machine-id" ]; then
    remove "$R/var/lib/dbus/machine-id"
fi
system systemctl --quiet stop systemd-random-seed.service # it would write the seed anew on the way down
wipe "$R/var/lib/systemd/random-seed" "$R/var/lib/urandom/random-seed" "$R/boot/loader/random-seed" \
    "$R/boot/efi/loader/random-seed" "$R/var/lib/systemd/credential.secret" "$R/var/lib/NetworkManager/secret_key"
# Ubuntu's post-install script keeps cloud-init away from the build.
if grep -qs '^pim:' "$R/etc/cloud/cloud-init.disabled"; then
    remove "$R/etc/cloud/cloud-init.disabled"
fi
# Of a base image's boot: its seed, which let the build in, and the network it wrote for the build's machine, where an
# older `cloud-init clean` leaves that.
if [ -d "$R/var/lib/cloud/instances" ]; then
    find "$R/var/lib/cloud/instances" -xdev -type f -exec shred -n 1 -u {} +
fi
remove "$R"/etc/netplan/50-cloud-init.yaml "$R"/etc/network/interfaces.d/50-cloud-init* \
    "$R"/etc/systemd/network/10-cloud-init-*.network
if [ -z "$R" ] && command -v cloud-init >/dev/null; then
    cloud-init clean --logs --seed --configs all 2>/dev/null || cloud-init clean --logs --seed
fi

echo "finalize: network"
remove "$R"/etc/udev/rules.d/*-persistent-net.rules "$R"/var/lib/dhcp/*.lease* "$R"/var/lib/dhclient/*.lease* \
    "$R"/var/lib/dhcpcd/* "$R"/var/lib/NetworkManager/*.lease
if [ -f "$R/etc/resolv.conf" ] && [ ! -L "$R/etc/resolv.conf" ]; then
    : >"$R/etc/resolv.conf"
fi

echo "finalize: traces"
for home in "$R"/root "$R"/home/*; do
    remove "$home"/.*_history "$home/.lesshst" "$home/.viminfo" "$home/.wget-hsts"
done
find "$R/tmp" "$R/var/tmp" -xdev -mindepth 1 -delete 2>/dev/null || :
system journalctl --relinquish-var 2>/dev/null # from here on the journal is kept in memory
system systemctl --quiet stop syslog.socket rsyslog.service 2>/dev/null
if [ -d "$R/var/log/installer" ]; then # the answers are among it
    find "$R/var/log/installer" -xdev -type f -exec shred -n 1 -u {} +
fi
remove "$R"/var/log/installer "$R"/var/log/journal/* "$R/var/lib/wtmpdb/wtmp.db" "$R/var/lib/lastlog/lastlog2.db"
find "$R/var/log" -xdev -type f \( -name '*.gz' -o -name '*.xz' -o -name '*.old' -o -name '*.[0-9]' \) -delete
find "$R/var/log" -xdev -type f -size +0 -exec truncate -s 0 {} +

echo "finalize: free space"
sync # a deleted file's blocks are free to be trimmed only then
system fstrim -av
sync
