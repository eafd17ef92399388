# Starts the script staged in $1 with the supervisor $4, unless that was done, and prints its output from byte $3 on until
# it ends. The last line of the standard error says how it ended. $2 is lost when the guest is restarted.
[ -d "$2" ] || { echo "the guest was restarted" >&2; exit 3; }
# Two may try at once: one whose client is lost, and the next.
if (set -C; : >"$2/begun") 2>/dev/null; then
    : >"$2/output"
    setsid --fork sh -c "$4" sh "$1" "$2" </dev/null >/dev/null 2>&1 || exit
fi
i=0
until [ -s "$2/supervisor" ]; do
    [ $i -lt 300 ] || { echo "it does not start" >&2; exit 3; }
    i=$((i + 1))
    sleep 0.1
done
read -r p <"$2/supervisor"
# A supervisor that has ended may have left its number to another process.
if [ -s "$2/status" ]; then
    tail -c +$(($3 + 1)) "$2/output"
else
    tail -c +$(($3 + 1)) -s 0.2 -f --pid="$p" "$2/output"
fi
[ -s "$2/status" ] || { echo "no exit status: was it killed, or is there no room for its output in /run?" >&2; exit 3; }
read -r s <"$2/status"
echo "pim-status $s" >&2
