wait_for_apt

# The installer leaves the proxy it used in this file, which nothing else writes.
if [ -f "$R/etc/apt/apt.conf" ]; then
    sed -i '/^[[:space:]]*Acquire::[a-z]*::Proxy[[:space:]]/Id' "$R/etc/apt/apt.conf"
    [ -s "$R/etc/apt/apt.conf" ] || rm -f "$R/etc/apt/apt.conf"
fi

rm -f "$apt_proxy"
if [ -n "$PIM_APT_PROXY" ]; then
    (umask 077 && printf 'Acquire::http::Proxy "%s";\n' "$PIM_APT_PROXY" >"$apt_proxy")
fi
