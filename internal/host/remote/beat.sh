# Keeps lock holders alive, given as pairs of process and start. Prints those that are gone.
while [ $# -gt 1 ]; do
	if [ "$(born "$1")" = "$2" ]; then
		kill -s USR1 "$1"
	else
		echo "$1" "$2"
	fi
	shift 2
done
