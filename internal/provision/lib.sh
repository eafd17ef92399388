# What prepare.sh, finalize.sh and finalize-check.sh share.

# A tree to work on instead of this system, for tests: then nothing outside it is touched.
R=${PIM_ROOT:-}

# system runs a command that acts on the running system. It may fail: not every system has the unit or the tool.
system() {
    if [ -z "$R" ]; then
        "$@" || :
    fi
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
