# Ends the server's processes of a lost connection, given as pairs of process and start.
while [ $# -gt 1 ]; do
	if [ "$1" -gt 1 ] && [ "$(born "$1")" = "$2" ]; then
		kill -s TERM "$1"
		_pim_n=20
		while [ "$(born "$1")" = "$2" ] && [ $_pim_n -gt 0 ]; do
			sleep 0.1
			_pim_n=$((_pim_n - 1))
		done
		[ "$(born "$1")" != "$2" ] || kill -s KILL "$1"
	fi
	shift 2
done
exit 0
