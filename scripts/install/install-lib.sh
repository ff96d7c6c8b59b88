# shellcheck shell=bash
# What runs the stages of an image on a machine that has an operating system already. Sourced by the list of the
# stages, which is rendered from the plan; everything comes from the archive, unpacked to /, and nothing from a network.
#
# A stage whose output is a layer of the image runs in the image's own base, on an overlay of it, as in a container
# build: what it gives is the same, and what only building needs never comes to the machine. The system packages go
# onto the machine itself.

set -euo pipefail
umask 022

dsvm=/dsvm
work=$dsvm/work
# stage -> the folders below its own, as overlayfs lists them
declare -A below
stage=

say() { printf '%s\n' "$*" >&2; }

# fail MESSAGE [HINT]
fail() {
    say "install: $1"
    if [ -n "${2:-}" ]; then say "$2"; fi
    exit 1
}

# begin: what has to be there, and the base, out of its layers.
begin() {
    [ "$(id -u)" = 0 ] || fail "this needs root"
    for program in chroot cp mount tar unshare; do
        command -v "$program" > /dev/null || fail "$program is missing on this machine"
    done
    [ -d $dsvm/base ] || fail "$dsvm/base is missing" "Unpack the archive to /: tar --extract --directory / --file ARCHIVE"
    if [ -e /etc/dsvm/manifest.json ]; then
        fail "this machine was installed already: /etc/dsvm/manifest.json" "Start from the vendor's image again."
    fi
    if ! grep -qw overlay /proc/filesystems && ! modprobe overlay 2> /dev/null; then
        fail "this kernel has no overlay file system"
    fi
    rm -rf $work
    mkdir -p $work/base $work/cache
    local layer path name
    for layer in "$dsvm"/base/*; do
        # https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#whiteouts
        while IFS= read -r path; do
            name=${path##*/}
            if [ "$name" = .wh..wh..opq ]; then
                find "$work/base/$(dirname "$path")" -mindepth 1 -delete
            else
                rm -rf "$work/base/$(dirname "$path")/${name#.wh.}"
            fi
        done < <(tar --list --file "$layer" | sed -n '/\(^\|\/\)\.wh\.[^/]*$/p')
        tar --extract --numeric-owner --exclude='.wh.*' --directory $work/base --file "$layer"
    done
    below[base]=$work/base
    make_way
    keep_boot_loader
}

# make_way: a machine has one time daemon. Where another one was locked, the vendor's goes, and nothing else does.
make_way() {
    local package provides status
    if ! compgen -G "$dsvm/store/*/systemd-timesyncd_*.deb" > /dev/null; then return; fi
    while IFS=$'\t' read -r package provides status; do
        if [[ $status == installed && $provides == *time-daemon* && $package != systemd-timesyncd ]]; then
            say "== $package gives way to systemd-timesyncd"
            dpkg --remove "$package" >&2
        fi
    done < <(dpkg-query --show --showformat '${Package}\t${Provides}\t${db:Status-Status}\n')
}

# keep_boot_loader: the vendor's boot loader stays, for BIOS or UEFI, and its packages fit each other in one version
# only: none of those that were locked comes between them.
keep_boot_loader() {
    if ! dpkg-query --show grub-common > /dev/null 2>&1; then return; fi
    rm -f $dsvm/store/*/grub*_*.deb $dsvm/store/*/shim*_*.deb
}

# in_stage NAME PARENT BROUGHT...: steps that follow run in an overlay of PARENT and what the stages BROUGHT deliver.
in_stage() {
    stage=$1
    local other lower=${below[$2]}
    for other in "${@:3}"; do lower=$work/$other/upper/out:$lower; done
    below[$stage]=$work/$stage/upper:$lower
    mkdir -p "$work/$stage/upper" "$work/$stage/work" "$work/$stage/root"
    say "== $stage"
}

# on_machine: steps that follow change this machine.
on_machine() {
    stage=
    say "== this machine"
}

# step SCRIPT ARGUMENT...: one command of a stage. What it says is shown when it fails.
step() {
    local log=$work/log began=$SECONDS
    local -a where=(--machine)
    if [ -n "$stage" ]; then where=(--overlay "$work/$stage" "${below[$stage]#*:}"); fi
    # as alone as in a container build: no network, no init system that a package could ask to start something, and what
    # a script leaves running ends with it
    if ! unshare --mount --net --pid --fork --kill-child -- $dsvm/lib/run-step "${where[@]}" "$@" > $log 2>&1; then
        cat $log >&2
        fail "${stage:-the machine}: $1 failed; what it said stands above"
    fi
    say "   $1: $((SECONDS - began)) s"
}

# deliver: what the stage has put into /out goes onto the machine.
deliver() {
    # as links, which take neither time nor room
    if ! cp --archive --link --remove-destination "$work/$stage/upper/out/." / 2> /dev/null; then
        cp --archive --remove-destination "$work/$stage/upper/out/." /
    fi
}

# place_files: the small files of the image.
place_files() {
    cp --archive --remove-destination $dsvm/files/. /
}

# finish: the kernel that was locked starts next, and everything goes that was only for installing.
finish() {
    cd /
    local kernel
    for kernel in "$dsvm"/store/machine/linux-image-[0-9]*.deb; do
        if [ -e "$kernel" ]; then
            kernel=${kernel##*/linux-image-}
            $dsvm/lib/choose-kernel "${kernel%%_*}"
        fi
    done
    rm -rf $dsvm
    say "== installed"
}
