# Says what we must know of a machine, one fact a line.
echo "arch $(uname -m)"
echo "umask $(umask)"
echo "pid $$"
if [ -r /proc/self/stat ]; then
	read -r _pim_stat <"/proc/$$/stat"
	# shellcheck disable=SC2086
	set -- ${_pim_stat##*) }
	echo "group $3"
else
	# shellcheck disable=SC2046
	echo group $(ps -o pgid= -p $$)
fi
