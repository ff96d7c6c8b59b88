# shellcheck shell=bash
# The Python side of a fresh machine: .venv with the pinned dependencies. Sourced after common.sh.

# shellcheck source=next_debian.sh
source "$(dirname "${BASH_SOURCE[0]}")/next_debian.sh"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# Prints a Python >= 3.11: $PYTHON, else the machine's python3, else the newest one that it has.
find_python() {
    local python
    for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        if is_new_enough "$python"; then
            command -v "$python"
            return
        fi
    done
    die "Python 3.11 or newer is needed; this machine has $(python3 --version 2>/dev/null || echo none)" \
        "Install one (Ubuntu 22.04: apt-get install python3.11 python3.11-venv) and try again, or name it: PYTHON=/path/to/python3 $0"
}

# setup_stamp FILE: what the installed state depends on. The folder too, for scripts in .venv name it.
setup_stamp() {
    printf '%s\n' "$root"
    readlink -f "$root/.venv/bin/python3"
    "$root/.venv/bin/python3" -V
    (cd "$root" && sha256sum pyproject.toml "$1")
}

# setup_venv requirements.txt|requirements-dev.txt: makes .venv hold what FILE says; quick when it does already.
setup_venv() {
    (
        flock 9 # two set-ups at once: one works, the other one waits and then finds nothing to do
        setup_venv_locked "$1" 9<&-
    ) 9<"$root"
}

setup_venv_locked() {
    local file=$1 venv=$root/.venv python
    local stamp=$venv/.installed-$file
    if [[ -f $stamp && $(<"$stamp") == "$(setup_stamp "$file" 2>/dev/null)" ]]; then
        return
    fi
    # A moved folder or a Python that has gone leaves a .venv that only looks like one.
    if ! "$venv/bin/python3" -m pip --version >/dev/null 2>&1 || ! grep -qF "$venv" "$venv/bin/activate"; then
        python=$(find_python)
        if ! "$python" -c 'import ensurepip' 2>/dev/null; then
            if [[ $(readlink -f "$python") == /usr/bin/* ]] && have apt-get; then
                apt_install "$(basename "$(readlink -f "$python")")-venv"
            else
                die "$python has no ensurepip, which making a virtual environment needs"
            fi
        fi
        say "making .venv with $("$python" -V)"
        "$python" -m venv --clear "$venv"
    fi
    rm -f "$venv"/.installed-*
    say "installing what $file pins into .venv"
    # -qq: several indexes in pip's own configuration make it warn of every package that one of them lacks
    "$venv/bin/python3" -m pip install -qq --disable-pip-version-check --require-hashes -r "$root/$file"
    "$venv/bin/python3" -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e "$root"
    # The development set holds the other one.
    if [[ $file == requirements-dev.txt ]]; then
        setup_stamp requirements.txt >"$venv/.installed-requirements.txt"
    fi
    setup_stamp "$file" >"$stamp"
}

# A base image comes from a registry by skopeo, and where none can be reached from the archive by mmdebstrap.
setup_base_tools() {
    have apt-get || return 0
    local -a packages=()
    if ! have mmdebstrap || ! have skopeo; then packages+=(mmdebstrap debian-archive-keyring skopeo); fi
    # with it, somebody who is not root makes bases
    if ((EUID != 0)) && ! have newuidmap; then packages+=(uidmap); fi
    if ((${#packages[@]})); then apt_install "${packages[@]}"; fi
    if [[ ! -e $machine/usr/share/keyrings/ubuntu-archive-keyring.gpg ]]; then
        setup_ubuntu_keyring || say "without the package ubuntu-keyring no Ubuntu variant can be locked here; all others can"
    fi
}

# Debian 12 is the one without it. Whatever fails ends this shell and not the set-up.
setup_ubuntu_keyring() (
    apt_get update
    if [[ -n $(apt-cache madison ubuntu-keyring 2>/dev/null) ]]; then
        apt_get install -y ubuntu-keyring
    else
        install_from_next_debian ubuntu-keyring ubuntu-keyring
    fi
)

# Tests of RPM packages build some and let dnf resolve them; without these programs they are skipped and say so.
setup_rpm_tools() {
    if { have dnf-3 && have rpmbuild && have createrepo_c && have gpg; } || ! have apt-get; then
        return
    fi
    (apt_install dnf rpm createrepo-c gpg gpg-agent) || say "tests of RPM packages will be skipped"
}

# Unit tests let Packer read the templates of all clouds; of what makes machines they need nothing else.
setup_packer() {
    if have packer || ! have apt-get; then return; fi
    (apt_install packer) || say "tests that Packer reads templates in will be skipped"
}

# What virtual machines are made and checked with.
setup_machine_tools() {
    local program
    for program in packer qemu-system-x86_64 qemu-img mcopy mkfs.vfat mke2fs sfdisk ssh; do
        if have "$program"; then continue; fi
        apt_install packer qemu-system-x86 qemu-utils ovmf mtools dosfstools fdisk e2fsprogs openssh-client
        return
    done
}

# Makes sure that an engine answers, and exports DOCKER_HOST where it is the private one.
setup_engine() {
    "$root/scripts/engine" install
    "$root/scripts/engine" start
    local environment
    environment=$("$root/scripts/engine" env)
    eval "$environment"
}
