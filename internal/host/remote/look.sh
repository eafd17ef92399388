# Prints where the program $1 is. Not command -v, which also finds what is built into the shell.
case $1 in
*/*)
	[ -f "$1" ] && [ -x "$1" ] && [ "${1#/}" != "$1" ] && echo "$1"
	exit
	;;
esac
IFS=:
for _pim_dir in $PATH; do
	case $_pim_dir in /*) ;; *) continue ;; esac
	if [ -f "$_pim_dir/$1" ] && [ -x "$_pim_dir/$1" ]; then
		echo "$_pim_dir/$1"
		exit 0
	fi
done
exit 127
