#!/usr/bin/env bash
# Gets a Debian machine ready for `make demo` and `make test`: packages, the image of the hosts, and the programs. It
# says in a line what it does and about how long that takes, and keeps the rest in files that it names where it fails.
set -euo pipefail
cd "$(dirname "$0")/.."
logs=bin/log
mkdir -p "$logs"

say() { printf '%s\n' "$*"; }

die() {
	say "$@" >&2
	exit 1
}

# step FILE TEXT COMMAND ... runs a command, and says when it begins and ends.
step() {
	local log=$logs/$1.log text=$2 start=$SECONDS
	shift 2
	say "$text ..."
	if ! "$@" >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		die "$text failed: $log has the whole of it"
	fi
	say "$text: done, $((SECONDS - start)) s"
}

# Nothing is installed that only might be of use, and nothing that is there is upgraded, if apt can help it:
# systemd-container has to be of the very version of systemd.
packages() {
	local wanted=() systemd
	systemd=$(dpkg-query -W -f '${Version}' systemd 2>/dev/null || true)
	apt-get update -qq
	for package in "$@"; do
		if [ "$package" = systemd-container ] && apt-cache madison systemd-container | grep -qF " $systemd "; then
			package=systemd-container=$systemd
		fi
		wanted+=("$package")
	done
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${wanted[@]}"
}

[ "$(id -u)" = 0 ] || die "booting hosts needs root: run this as root"
[ -n "${CLI:-}" ] || die "neither terraform nor tofu was found. Install one of them (https://developer.hashicorp.com/terraform/install," \
	"https://opentofu.org/docs/intro/install), or build OpenTofu from Go modules, in about six minutes: make tofu"

# Compiling takes the longest by far, and goes on beside the rest. Whoever interrupts this script ends it too.
set -m # in a process group of its own, so that it can be ended as a whole
step build "Fetch Go modules and compile the provider, with etcd for the hosts in it (seconds; the first time 2 to 6 minutes)" \
	"${MAKE:-make}" --no-print-directory "$@" &
building=$!
set +m
trap 'kill -- -"$building" 2>/dev/null || true' EXIT

missing=()
for package in $PACKAGES; do
	dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
	step packages "Install the Debian packages ${missing[*]} (about 20 seconds)" packages "${missing[@]}"
	grep -oE '^Unpacking [^ ]+ \([^)]*\) over \([^)]*\)' "$logs/packages.log" | sed 's/^Unpacking/apt upgraded, as these depend on it:/' || true
fi
step image "Make the image that hosts boot from (a second; the first time about a minute)" \
	sh -c 'go build -trimpath -o bin/labctl ./acctest/lab/labctl && bin/labctl image'

wait "$building"
trap - EXIT
