# Ends the process group $1, whose leader began at $2: SIGTERM, and SIGKILL after $3 tenths of a second. Fails when
# the leader does not end at all.
_pim_n=$3
alive() { [ "$(born "$1")" = "$2" ]; }
alive "$1" "$2" || exit 0
kill -s TERM -- "-$1"
while [ "$_pim_n" -gt 0 ] && alive "$1" "$2"; do
	sleep 0.1
	_pim_n=$((_pim_n - 1))
done
# Also when the leader has gone: a child of it may have ignored the signal.
kill -s KILL -- "-$1" 2>/dev/null
_pim_n=100
while alive "$1" "$2"; do
	[ "$_pim_n" -gt 0 ] || exit 1
	sleep 0.1
	_pim_n=$((_pim_n - 1))
done
# The others of the group die a moment later, and hold what they have until then, such as a lock. One that nobody waits
# for stays as a zombie, so this comes to an end.
_pim_n=5
while [ "$_pim_n" -gt 0 ] && kill -s 0 -- "-$1" 2>/dev/null; do
	sleep 0.1
	_pim_n=$((_pim_n - 1))
done
exit 0
