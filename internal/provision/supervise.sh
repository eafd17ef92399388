# Runs the script staged in $1 and keeps in $2: the number of its process group (pid), its output, and in the end its exit
# status. The script's session is led by a shell, which tells one that a signal killed as 128 + signal; setsid does not.
# The output goes through cat, which ends when nothing holds it open any more. When there is no room for it the script
# goes on, but there will be no status.
echo $$ >"$2/supervisor"
cd / || exit
{
    # shellcheck disable=SC2016 # they are the inner shell's
    setsid --wait sh -c '. "$0/env" && echo $$ >"$1/pid" && "$0/script"; exit $?' "$1" "$2"
    echo $? >"$2/code"
} 2>&1 | { cat >"$2/output" || { cat >/dev/null && false; }; } && mv "$2/code" "$2/status"
