wait_for_apt

# The installer leaves the proxy it used in this file, which nothing else writes.
if [ -f "$R/etc/apt/apt.conf" ]; then
    rest=$(sed '/^[[:space:]]*Acquire::[a-z]*::Proxy[[:space:]]/Id' "$R/etc/apt/apt.conf")
    wipe "$R/etc/apt/apt.conf" # sed -i would leave the old one in the free blocks
    [ -z "$rest" ] || printf '%s\n' "$rest" >"$R/etc/apt/apt.conf"
fi

wipe "$apt_proxy"
if [ -n "$PIM_APT_PROXY" ]; then
    (umask 077 && printf 'Acquire::http::Proxy "%s";\n' "$PIM_APT_PROXY" >"$apt_proxy")
fi
