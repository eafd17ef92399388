# What prepare.sh, finalize.sh and finalize-check.sh share.

# A tree to work on instead of this system, for tests: then nothing outside it is touched.
R=${PIM_ROOT:-}

# system runs a command that acts on the running system. It may fail: not every system has the unit or the tool.
system() {
    if [ -z "$R" ]; then
        "$@" || :
    fi
}

# wipe overwrites the files its arguments name before it removes them: what was in them must not be found in the
# free blocks of the image. Patterns may match nothing.
wipe() {
    for f in "$@"; do
        if [ -f "$f" ]; then shred -n 1 -u "$f"; fi
    done
}

# apt_busy succeeds while a package manager holds a lock. These are POSIX locks, which flock(1) does not see;
# /proc/locks shows them by inode (proc(5)).
apt_busy() {
    for lock in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock; do
        inode=$(stat -c %i "$R$lock" 2>/dev/null) || continue
        if grep -Eq ":$inode [0-9]+ [0-9EOF]+\$" /proc/locks; then
            return 0
        fi
    done
    return 1
}

# wait_for_apt keeps apt's own timers from starting until the next boot, and waits for what runs already.
wait_for_apt() {
    system systemctl --quiet stop apt-daily.timer apt-daily-upgrade.timer 2>/dev/null
    if apt_busy; then
        echo "pim: waiting for a running package manager"
        while apt_busy; do sleep 1; done
    fi
}

apt_proxy=$R/etc/apt/apt.conf.d/00pim-build-proxy

# An installer that was told to take unsigned packages tells the new system so, too.
apt_unsigned=$R/etc/apt/apt.conf.d/00AllowUnauthenticated

# dracut_host_only succeeds where dracut makes the initramfs, for the machine it runs on alone. So newer ones do unless the
# last setting says no (dracut.conf(5)). An update-initramfs that is not dracut's own is that of initramfs-tools.
dracut_host_only() {
    [ -e "$R/usr/bin/dracut" ] && [ -d "$R/etc/dracut.conf.d" ] || return 1
    [ ! -e "$R/usr/sbin/update-initramfs" ] || grep -q dracut "$R/usr/sbin/update-initramfs" || return 1
    ! find "$R/etc/dracut.conf.d" -maxdepth 1 -name '*.conf' | sort -V | xargs -r sed -n 's/^[[:space:]]*hostonly=//p' | tail -n 1 |
        grep -qE "^[\"']?no\>"
}
