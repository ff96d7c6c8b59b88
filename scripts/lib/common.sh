# shellcheck shell=bash
# What every script here needs. Sourced by programs that run under `set -euo pipefail`.

# The root folder of the machine; tests name another one.
machine=${DSVM_TEST_MACHINE:-}
# Users' PATHs often lack these; dockerd, iptables and ip live there.
PATH=$PATH:$machine/usr/local/sbin:$machine/usr/sbin:$machine/sbin
: "${HOME:=$(getent passwd "$(id -u)" | cut -d: -f6)}" # a service starts programs without it
export HOME

say() { printf '%s\n' "$*" >&2; }

# die MESSAGE [HINT [EXIT_CODE]]
die() {
    say "error: $1"
    if [[ -n ${2:-} ]]; then say "$2"; fi
    exit "${3:-1}"
}

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "this needs root: $*" "Run it as root, or install sudo."
    fi
}

# apt_get OPTION... COMMAND...: never asks, waits for another apt or dpkg that is at work, speaks only when it fails.
apt_get() {
    local output
    if ! output=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
        -o APT::Install-Recommends=false -o Dpkg::Use-Pty=0 "$@" 2>&1); then
        say "$output"
        die "apt-get failed: its own words stand above"
    fi
}

# apt_install PACKAGE...
apt_install() {
    have apt-get || die "not installed: $*" "Install it with this system's package manager and try again."
    say "installing $* with apt"
    apt_get update
    apt_get install -y "$@"
}
