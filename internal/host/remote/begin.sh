# The begin of every command: $1 the mark, $2 which of the session's streams it gets (of "ioe"), $3 its folder or
# nothing, $4 how many KEY=VALUE follow, those, the command. run.sh or start.sh is the rest of it.
_pim_mark=$1 _pim_streams=$2 _pim_dir=$3 _pim_n=$4
shift 4
while [ "$_pim_n" -gt 0 ]; do
	export "${1?}"
	shift
	_pim_n=$((_pim_n - 1))
done
# The line with the mark says what became of the command. All that comes before it is the login's own chatter.
say() {
	printf '\n%s\n' "$_pim_mark" >&2
	printf '\n%s %s\n' "$_pim_mark" "$*"
}
if [ -n "$_pim_dir" ] && ! cd -- "$_pim_dir" 2>/dev/null; then
	say nodir
	exit 126
fi
if ! command -v -- "$1" >/dev/null; then
	say missing
	exit 127
fi
case $_pim_streams in *i*) ;; *) exec </dev/null ;; esac
