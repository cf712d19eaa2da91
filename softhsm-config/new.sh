#!/bin/sh
# Makes a directory with a SoftHSM configuration and an empty token directory
# of its own, and prints the environment line that selects it:
#
#     export "$(softhsm-config/new.sh DIR)"
#
# Refuses a directory that already has a configuration.
set -eu
umask 077

fail() {
	printf 'new.sh: %s\n' "$1" >&2
	exit 1
}

if [ $# -ne 1 ] || [ -z "$1" ]; then
	fail 'usage: softhsm-config/new.sh DIR'
fi
template=$(dirname -- "$0")/softhsm2.conf
[ -r "$template" ] || fail "$template is missing: run the script from where it lies in the repository"

# '#' begins a comment and '=' a value in the configuration; the others do not
# survive an environment file.
case $PWD/$1 in
*[\#=\\\"\'\$\`]* | *[[:cntrl:]]*) fail "$1: the path has a character that SoftHSM or an environment file does not take" ;;
esac
mkdir -p -- "$1"
dir=$(cd -- "$1" && pwd)
conf=$dir/softhsm2.conf
[ ! -e "$conf" ] || fail "$conf exists: choose another directory, or remove this one and every key in it"

mkdir -- "$dir/tokens"
while IFS= read -r line; do
	case $line in
	directories.tokendir*) line="directories.tokendir = $dir/tokens" ;;
	esac
	printf '%s\n' "$line"
done <"$template" >"$conf"
printf 'SOFTHSM2_CONF=%s\n' "$conf"
