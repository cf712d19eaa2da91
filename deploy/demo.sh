#!/bin/sh
# The whole job on real packages: demo.sh BUILD DEMO
#
# BUILD holds the programs (make build). DEMO is made anew. Everything runs on loopback and unix sockets, as the user who
# calls, and is stopped at the end. With KEY=tpm the log's keys are sealed to three emulated TPMs; else they are in SoftHSM.
set -eu

build=$(cd "$1" && pwd)
demo=$2
case ${KEY:=softhsm} in
softhsm) keys="keys that cannot leave their tokens" ;;
tpm) keys="the log's keys sealed to three TPMs, the others in tokens" ;;
*) echo "demo: KEY is softhsm or tpm, not $KEY" >&2; exit 1 ;;
esac
if [ -e "$demo" ] && [ ! -e "$demo/.made-by-make-demo" ]; then
	echo "demo: $demo is not ours: move it away" >&2
	exit 1
fi
case $demo$build in
*[[:space:]]*) echo "demo: the path of the checkout has a blank, which this script does not take" >&2; exit 1 ;;
esac
exec 9>"$demo.lock"
flock -n 9 || {
	echo "demo: another demo is running here" >&2
	exit 1
}
alive() { # alive PID DIR: it runs, and is one of ours
	[ -e "/proc/$1/cmdline" ] && tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF "$2"
}
stop() { # stop DIR: ends what a run in DIR started and did not end
	for f in "$1"/*.pid; do
		[ -e "$f" ] || continue
		pid=$(cat "$f")
		i=0
		while alive "$pid" "$1" && [ $i -lt 250 ]; do
			[ $i -gt 0 ] || kill "$pid" 2>/dev/null || true
			i=$((i + 1))
			sleep 0.1
		done
		rm -f "$f"
	done
}
[ ! -d "$demo/run" ] || stop "$(cd "$demo" && pwd)/run"
rm -rf "$demo"
mkdir -p "$demo/run"
demo=$(cd "$demo" && pwd)
[ ${#demo} -le 80 ] || {
	echo "demo: $demo is too long for the paths of unix sockets: move the checkout" >&2
	exit 1
}
touch "$demo/.made-by-make-demo"
run=$demo/run
root=$(cd "$(dirname "$0")/.." && pwd)
PATH=$build:$PATH
export PATH
cd "$demo"

registry=registry.example
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
fail() {
	echo "demo: $*" >&2
	tail -n 5 "$run"/*.log >&2 2>/dev/null || true
	exit 1
}
trap 'stop "$run"; wait' EXIT
trap 'exit 1' INT TERM
start() { # start NAME COMMAND...: in the background, its output in a log
	name=$1
	shift
	"$@" >"$run/$name.log" 2>&1 9>&- &
	echo $! >"$run/$name.pid"
}
ready() { # ready WHAT COMMAND...: wait until a command succeeds
	what=$1
	shift
	i=0
	until "$@" >/dev/null 2>&1; do
		i=$((i + 1))
		[ $i -lt 200 ] || fail "$what did not start"
		sleep 0.1
	done
}
pin() { (umask 077 && head -c 20 /dev/urandom | base32 >"$run/$1"); }
token() { # token NAME: PIN files and the lines of ceremony.toml that name them
	pin "$1.pin"
	pin "$1.so"
	printf 'token = "%s"\npin_file = "%s"\nso_pin_file = "%s"\n' "$1" "$run/$1.pin" "$run/$1.so"
}
tpm() { # tpm NAME: starts a TPM and gives the lines of ceremony.toml that seal a key to it
	command -v swtpm >/dev/null || fail "swtpm is missing: run make deps"
	pin "$1.pin"
	mkdir -m 700 "$run/$1.state"
	start "$1" swtpm socket --tpm2 --tpmstate "dir=$run/$1.state" --server "type=unixio,path=$run/$1.sock,mode=0600" --flags not-need-init,startup-clear
	ready "$1" test -S "$run/$1.sock"
	printf 'pin_file = "%s"\n[log.key.tpm]\ndevice = "%s"\nappliance = "%s"\npcrs = [7, 11]\n' "$run/$1.pin" "$run/$1.sock" "$1"
	printf 'approver = "%s"\napprover_key = "%s"\n' "$run/approver.pub" "$run/approver.key"
	printf 'sealed = "%s"\napprovals = "%s"\nowner_auth = "%s"\nlockout_auth = "%s"\n' \
		"$run/$1.sealed" "$run/$1.approvals" "$run/$1.owner" "$run/$1.lockout"
}
device() { # device NAME: a token or a TPM for the key of agent NAME
	case $KEY in
	softhsm) token "registry-$1" ;;
	tpm) tpm "tpm-$1" ;;
	esac
}
refused() { # refused CODE COMMAND...: it must fail, and name the code
	code=$1
	shift
	if "$@" >"$run/refusal" 2>&1; then fail "NOT refused: $*"; fi
	grep -q "$code" "$run/refusal" || {
		cat "$run/refusal" >&2
		fail "refused, but not for $code: $*"
	}
	printf '   refused: %s\n' "$(grep -m1 "$code" "$run/refusal" | sed 's/^refused: //')"
}

say "1. Ceremony: $keys, the registry's identity, a log"
export "$("$root/softhsm-config/new.sh" "$run/softhsm")"
[ "$KEY" = softhsm ] || ceremony tpm approver --out "$run/approver"
{
	cat <<-END
		registry   = "$registry"
		namespaces = ["pkg:npm/left-pad", "pkg:npm/ms", "pkg:golang/github.com/google/uuid", "pkg:npm/@demo/*", "pkg:golang/demo.example/*"]
		valid_days = 365
		module     = "/usr/lib/softhsm/libsofthsm2.so"
		ledger     = "$run/ledger"
		output     = "$run/registry"
		demo       = true
		[root]
		threshold = 1
		[[root.key]]
	END
	token registry-root
	printf '[enrol]\n[[enrol.key]]\n'
	token registry-enrolment
	printf '[log]\nthreshold = 2\n'
	for a in a b c; do
		mkdir -m 700 "$run/agent-$a"
		printf '[[log.key]]\nname = "%s"\nstate_dir = "%s"\nsocket = "%s"\n' $a "$run/agent-$a" "$run/$a.sock"
		device $a
	done
} >"$run/ceremony.toml"
ceremony create --config "$run/ceremony.toml"
cp "$run/registry/pins.toml" "$run/registry/log.vkey" "$run/registry/identity.json" .

say "2. Three key agents, one per key, two of which must sign; and the daemon, which holds no key"
certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
		-addext "subjectAltName=IP:127.0.0.1" -keyout "$run/$1.key" -out "$run/$1.crt" 2>/dev/null
}
certificate server
certificate backend
spki=$(openssl x509 -in "$run/backend.crt" -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1)
port=${DEMO_PORT:-18443}
cat >"$run/countersignd.toml" <<END
ledger = "$run/ledger"

[signing]
listen      = "127.0.0.1:$port"
certificate = "$run/server.crt"
key         = "$run/server.key"

[public]
listen     = "127.0.0.1:$((port + 1))"
registries = ["$registry"]

[admin]
socket    = "$run/admin.sock"
allow_uids = [$(id -u)]

[[caller]]
name = "back end"
keys = ["sha256:$spki"]
[[caller.grant]]
registry = "$registry"
roles    = ["publish", "enrol"]

END
cat "$run/registry/registry.toml" >>"$run/countersignd.toml"
for a in a b c; do
	start "keyagent-$a" keyagent --config "$run/registry/keyagent-$a.toml"
	ready "keyagent $a" test -S "$run/$a.sock"
done
start countersignd countersignd --config "$run/countersignd.toml"
ready countersignd countersign admin --socket "$run/admin.sock" state
countersign admin --socket "$run/admin.sock" state
backend="--server https://127.0.0.1:$port --registry $registry --ca $run/server.crt --cert $run/backend.crt --key $run/backend.key"

say "3. A publisher: a key, and a certificate by the enrolment officer, whose key is in a token of its own"
countersign keygen --out "$run/publisher"
officer="pkcs11:token=registry-enrolment;object=enrolment?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:$run/registry-enrolment.pin"
countersign enrol --key "$officer" --identity identity.json --publisher "$run/publisher.pub" --out "$run/publisher.enrolment.json" \
	--namespace pkg:npm/left-pad --namespace pkg:npm/ms --namespace pkg:golang/github.com/google/uuid \
	--namespace 'pkg:npm/@demo/*' --namespace 'pkg:golang/demo.example/*'
# shellcheck disable=SC2086 # the back end's flags are words
countersign register $backend "$run/publisher.enrolment.json"

say "4. Packages"
fetch() { # real ones, by the ordinary clients
	command -v npm >/dev/null || return 1
	npm pack --silent --fetch-retries=0 --fetch-timeout=20000 left-pad@1.3.0 ms@2.1.3 >/dev/null 2>"$run/npm.log" || return 1
	mkdir -p "$run/gomod" && (cd "$run/gomod" && printf 'module demo\n' >go.mod &&
		zip=$(go mod download -json github.com/google/uuid@v1.6.0 | sed -n 's/^\t"Zip": "\(.*\)",$/\1/p') &&
		[ -n "$zip" ] && cp "$zip" "$demo/v1.6.0.zip" && chmod u+w "$demo/v1.6.0.zip") 2>"$run/go.log" || return 1
}
if fetch; then
	module=github.com/google/uuid
	echo "Three well-known packages, downloaded by npm and go: left-pad, ms, github.com/google/uuid."
else
	module=demo.example/hello
	rm -f ./*.tgz ./*.zip
	echo "No package could be downloaded (no network, or no npm): these three are made here."
	(cd "$root" && go run ./test/sample "$demo")
fi
ls ./*.tgz ./*.zip

say "5. The publisher signs each package, with a claim about generated code"
for f in *.tgz *.zip; do
	countersign sign --key "$run/publisher.key" --registry "$registry" --ai none "$f"
done

say "6. The registry's back end submits: verified, logged, countersigned by two of three agents"
for f in *.tgz *.zip; do
	# shellcheck disable=SC2086
	countersign submit $backend "$f"
done

purl() { # what a consumer's resolver or lockfile says it wants
	case $1 in
	left-pad-1.3.0.tgz) echo pkg:npm/left-pad@1.3.0 ;;
	ms-2.1.3.tgz) echo pkg:npm/ms@2.1.3 ;;
	demo-left-1.3.0.tgz) echo pkg:npm/%40demo/left@1.3.0 ;;
	demo-right-2.1.0.tgz) echo pkg:npm/%40demo/right@2.1.0 ;;
	v1.6.0.zip) echo "pkg:golang/$module@v1.6.0" ;;
	esac
}
{
	sep='['
	for f in *.tgz *.zip; do
		printf '%s\n  {"artifact": "%s", "purl": "%s", "publication": "%s", "bundle": "%s"}' "$sep" "$f" "$(purl "$f")" "$f.publication.json" "$f.bundle.json"
		sep=','
	done
	printf '\n]\n'
} >manifest.json

say "7. A consumer verifies, offline: expected name + file + bundle + pin"
for f in *.tgz *.zip; do
	countersign verify --pins pins.toml --purl "$(purl "$f")" --bundle "$f.bundle.json" "$f"
done

say "8. The same for a lockfile, before anything is installed"
set -- *.tgz
one=$1 two=$2
name() { purl "$1" | sed 's|^pkg:npm/||; s|@[^@]*$||; s|%40|@|'; }
locked() { # locked FILE: its entry in a package-lock.json, as npm writes it
	printf '  "node_modules/%s": {"version": "%s", "resolved": "https://npm.example/%s", "integrity": "sha512-%s"}' "$(name "$1")" "$(purl "$1" | sed 's|.*@||')" "$1" \
		"$(openssl dgst -sha512 -binary "$1" | base64 | tr -d '\n')"
}
mkdir project
printf '{"name": "project", "version": "1.0.0", "lockfileVersion": 3, "packages": {\n%s,\n%s}}\n' "$(locked "$one")" "$(locked "$two")" >project/package-lock.json
check="countersign check --pins pins.toml --from http://127.0.0.1:$((port + 1)) --cache $run/cache"
$check project
countersign policy test "$root"/deploy/policies/*.toml

say "9. Attacks"
echo " - dependency confusion: the lockfile has a version that the registry never countersigned"
mkdir "$run/confused" && sed 's/"version": "[0-9.]*", "resolved"/"version": "99.0.0", "resolved"/' project/package-lock.json >"$run/confused/package-lock.json"
refused not-countersigned $check "$run/confused"
echo " - the lockfile has another file under a version that is countersigned"
mkdir "$run/swapped" && sed 's/sha512-..../sha512-AAAA/' project/package-lock.json >"$run/swapped/package-lock.json"
refused artifact-digest-mismatch $check "$run/swapped"
echo " - a file with one byte more, from a mirror"
cp "$one" "$run/tampered.tgz" && printf x >>"$run/tampered.tgz"
refused artifact-digest-mismatch countersign verify --pins pins.toml --purl "$(purl "$one")" --bundle "$one.bundle.json" "$run/tampered.tgz"
echo " - another package with its own valid bundle, under the expected name"
refused purl-mismatch countersign verify --pins pins.toml --purl "$(purl "$one")" --bundle "$two.bundle.json" "$two"
echo " - a registry that is not the pinned one"
sed 's/^identity .*/identity = "sha256:0000000000000000000000000000000000000000000000000000000000000000"/' pins.toml >"$run/other-pins.toml"
refused identity-mismatch countersign verify --pins "$run/other-pins.toml" --purl "$(purl "$one")" --bundle "$one.bundle.json" "$one"
echo " - a name that no pin covers"
refused not-pinned countersign verify --pins pins.toml --purl pkg:npm/somebody-elses@1.0.0 --bundle "$one.bundle.json" "$one"
echo " - a second content for a version that exists"
mkdir -p "$run/second" && cp "$one" "$run/second/" && printf x >>"$run/second/$one"
countersign sign --key "$run/publisher.key" --registry "$registry" --purl "$(purl "$one")" "$run/second/$one" >/dev/null 2>&1
# shellcheck disable=SC2086
refused coordinate-conflict countersign submit $backend "$run/second/$one"
echo " - a publisher whom nobody enrolled, at the front door"
countersign keygen --out "$run/mallory" >/dev/null
mkdir -p "$run/mallory.d" && cp "$one" "$run/mallory.d/"
countersign sign --key "$run/mallory.key" --registry "$registry" "$run/mallory.d/$one" >/dev/null
# shellcheck disable=SC2086
refused publisher-not-enrolled countersign submit $backend "$run/mallory.d/$one"
echo " - the same publisher, invented by a daemon that was taken over: its agents sign the log, consumers look at the enrolment"
daemon=$(cat "$run/countersignd.pid")
kill "$daemon"
wait "$daemon" || true
"$build/hostile" -ledger "$run/ledger" -identity identity.json -agents "$run/a.sock,$run/b.sock,$run/c.sock" \
	-publication "$run/mallory.d/$one.publication.json" -publisher "$run/mallory.pub" -out "$run/invented.json"
refused enrolment-invalid countersign verify --pins pins.toml --purl "$(purl "$one")" --bundle "$run/invented.json" "$one"

say "Done."
cat <<END
Three packages carry proof of the registry they came from; nine attacks were refused.

  $demo
  *.publication.json   what the publisher signed
  *.bundle.json        the registry's countersignature: statement, proof, enrolment, identity
  pins.toml            what a consumer keeps: these namespaces come from that registry
  identity.json        the registry's identity        log.vkey   its log's keys, for monitors
  manifest.json        which file is which            run/       the registry's own side
  project/             a lockfile, which countersign check takes

Look at one, or verify it yourself:

  $build/countersign show $demo/$one.bundle.json
  $build/countersign verify --pins $demo/pins.toml --purl '$(purl "$one")' --bundle $demo/$one.bundle.json $demo/$one
END
