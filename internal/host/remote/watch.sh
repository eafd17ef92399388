# Waits for the end of process $1, which began at $2, and prints the exit status that its supervisor left in the
# folder $3. First it says whether the process is there.
if [ "$(born "$1")" = "$2" ]; then
	echo running
elif [ -s "$3/status" ]; then
	echo ended
else
	echo gone
fi
while [ "$(born "$1")" = "$2" ]; do sleep 0.5; done
[ -s "$3/status" ] && cat "$3/status"
exit 0
