# Becomes the command.
say started $$ "$(born $$)" $$ "$PPID" "$(born "$PPID")"
exec "$@"
