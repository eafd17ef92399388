# Starts a command that goes on without us, under a supervisor which leads the process group and leaves the exit
# status in a file.
_pim_dir=$(mktemp -d "${TMPDIR:-/tmp}/pim-process-XXXXXXXX") || exit
exec 3>&1 4>&2
case $_pim_streams in *o*) ;; *) exec >/dev/null ;; esac
case $_pim_streams in *e*) ;; *) exec 2>"$_pim_dir/stderr" ;; esac
_pim_server=$(born "$PPID") # nothing where others' processes are hidden (hidepid)
trap : HUP INT TERM # for us; the command has them as they were
# shellcheck disable=SC2016
sh -c 'printf "\n%s\n" "$1" >&4
	printf "\n%s\n" "$1 started $2 $3 $$ $4 $5 $6" >&3
	shift 6
	exec 3>&- 4>&-
	exec "$@"' sh "$_pim_mark" $$ "$(born $$)" "$PPID" "${_pim_server:--}" "$_pim_dir" "$@"
_pim_status=$?
echo $_pim_status >"$_pim_dir/part" && mv "$_pim_dir/part" "$_pim_dir/status"
exit $_pim_status
