# Becomes the command.
_pim_server=$(born "$PPID") # nothing where others' processes are hidden (hidepid)
say started $$ "$(born $$)" $$ "$PPID" "${_pim_server:--}"
exec "$@"
