# Ends the process group of the script that runs in $1, or keeps it from beginning.
if (set -C; : >"$1/begun") 2>/dev/null; then
    exit 0
fi
i=0
until [ -s "$1/pid" ] || [ -s "$1/status" ]; do
    [ $i -lt 50 ] || exit 0 # it did not come to that
    i=$((i + 1))
    sleep 0.1
done
read -r p <"$1/pid" || exit 0
kill -s TERM -- -"$p" 2>/dev/null || exit 0
i=0
while kill -s 0 -- -"$p" 2>/dev/null; do
    [ $i -ne 50 ] || kill -s KILL -- -"$p" 2>/dev/null
    [ $i -lt 100 ] || { echo "it does not end" >&2; exit 1; }
    i=$((i + 1))
    sleep 0.1
done
