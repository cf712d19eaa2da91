#!/bin/sh
# countersign check for continuous integration: what action.yml runs.
#
# Everything comes in the environment and is passed on as one argument each; values are joined to their flags, so that
# none can be taken for a flag. What is checked is hostile: nothing that the check prints may be taken for a command of
# the runner, or leave the code block of the summary. Exit status: that of countersign check.
set -eu

fail() {
	printf 'countersign action: %s\n' "$1" >&2
	exit 2
}

newline='
'
for value in "$COUNTERSIGN_BINARY" "$COUNTERSIGN_VERSION" "$COUNTERSIGN_PINS" "$COUNTERSIGN_MODE" "$COUNTERSIGN_SARIF" "$COUNTERSIGN_CACHE"; do
	case $value in
	*"$newline"*) fail "one value each: only lockfiles, policy, from and bundles take several lines" ;;
	esac
done
cd "${GITHUB_WORKSPACE:-.}"
command -v -- "$COUNTERSIGN_BINARY" >/dev/null || fail "there is no program $COUNTERSIGN_BINARY: install it in a step before"
if [ -n "$COUNTERSIGN_VERSION" ]; then
	case $("$COUNTERSIGN_BINARY" version) in
	"countersign $COUNTERSIGN_VERSION, "*) ;;
	*) fail "$COUNTERSIGN_BINARY is not version $COUNTERSIGN_VERSION" ;;
	esac
fi
# A checkout could have a file or link of that name.
if [ -n "$COUNTERSIGN_SARIF" ] && { [ -e "$COUNTERSIGN_SARIF" ] || [ -L "$COUNTERSIGN_SARIF" ]; }; then
	fail "$COUNTERSIGN_SARIF exists: choose another name, such as one in the runner's temporary folder"
fi

set -- check
[ -z "$COUNTERSIGN_PINS" ] || set -- "$@" "--pins=$COUNTERSIGN_PINS"
[ -z "$COUNTERSIGN_MODE" ] || set -- "$@" "--mode=$COUNTERSIGN_MODE"
[ -z "$COUNTERSIGN_SARIF" ] || set -- "$@" "--sarif=$COUNTERSIGN_SARIF"
[ -z "$COUNTERSIGN_CACHE" ] || set -- "$@" "--cache=$COUNTERSIGN_CACHE"
while IFS= read -r line; do
	[ -z "$line" ] || set -- "$@" "--policy=$line"
done <<EOF
$COUNTERSIGN_POLICY
EOF
while IFS= read -r line; do
	[ -z "$line" ] || set -- "$@" "--from=$line"
done <<EOF
$COUNTERSIGN_FROM
EOF
while IFS= read -r line; do
	[ -z "$line" ] || set -- "$@" "--bundles=$line"
done <<EOF
$COUNTERSIGN_BUNDLES
EOF
set -- "$@" --
while IFS= read -r line; do
	[ -z "$line" ] || set -- "$@" "$line"
done <<EOF
$COUNTERSIGN_LOCKFILES
EOF

report=$(mktemp "${RUNNER_TEMP:-/tmp}/countersign.XXXXXX")
trap 'rm -f "$report"' EXIT
status=0
"$COUNTERSIGN_BINARY" "$@" >"$report" 2>&1 </dev/null || status=$?
case $status in
0) verdict=passed ;;
1) verdict=refused ;;
*) verdict=unchecked status=2 ;;
esac

token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
[ ${#token} -eq 32 ] || fail "there are no random numbers for a word that nobody can guess"
printf '::stop-commands::%s\n' "$token"
cat "$report"
printf '\n::%s::\n' "$token"

if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
	{
		printf '### countersign check: %s\n\n' "$verdict"
		head -c 500000 "$report" | sed 's/^/    /' # the runner takes 1 MiB
		printf '\n\n'
	} >>"$GITHUB_STEP_SUMMARY"
fi
if [ -n "${GITHUB_OUTPUT:-}" ]; then
	{
		printf 'status=%s\nverdict=%s\n' "$status" "$verdict"
		if [ -n "$COUNTERSIGN_SARIF" ] && [ -s "$COUNTERSIGN_SARIF" ]; then
			printf 'sarif=%s\n' "$COUNTERSIGN_SARIF"
		fi
	} >>"$GITHUB_OUTPUT"
fi
exit "$status"
