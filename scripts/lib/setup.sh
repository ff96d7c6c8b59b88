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
    die "Python 3.11 or newer is needed; this host has $(python3 --version 2>/dev/null || echo none)" \
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
    # --no-deps: the list is whole, and pip, asked for hashes, takes no pin of a package for one of it with extras
    "$venv/bin/python3" -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r "$root/$file"
    "$venv/bin/python3" -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e "$root"
    # pip does so for packages, and not for what is edited in place; Python itself may be told to write none
    "$venv/bin/python3" -m compileall -q "$root/dsvm" "$root/tasks.py"
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
    # by it mmdebstrap knows which suites are Ubuntu's
    if [[ ! -e $machine/usr/share/distro-info/ubuntu.csv ]]; then packages+=(distro-info-data); fi
    # with it, somebody who is not root makes bases
    if ((EUID != 0)) && ! have newuidmap; then packages+=(uidmap); fi
    if ((${#packages[@]})); then apt_install "${packages[@]}"; fi
    if [[ ! -e $machine/usr/share/keyrings/ubuntu-archive-keyring.gpg ]]; then
        install_here_or_next ubuntu-keyring || say "without the package ubuntu-keyring no Ubuntu variant can be locked here; all others can"
    fi
}

# A package that Debian has since 13. Whatever fails ends this shell and not the set-up.
install_here_or_next() (
    apt_get update
    if [[ -n $(apt-cache madison "$1" 2>/dev/null) ]]; then
        apt_get install -y "$1"
    else
        install_from_next_debian "$1" "$1"
    fi
)

# What unit tests run beside .venv and base tools, each with its package of Debian and Ubuntu: archives of RPM packages
# are made and resolved, R packages compiled, disks laid out, Packer's templates read, reports looked at in a browser.
unit_test_programs=(
    dnf-3:dnf rpmbuild:rpm createrepo_c:createrepo-c gpg:gpg gpg-agent:gpg-agent
    R:r-base-core gcc:gcc gcc:libc6-dev make:make
    qemu-img:qemu-utils mcopy:mtools mkfs.vfat:dosfstools sfdisk:fdisk mke2fs:e2fsprogs
    packer:packer ssh:openssh-client openssl:openssl chromium:chromium
)

# Tests whose program is missing all the same are skipped and say so.
setup_unit_test_programs() {
    have apt-get || return 0
    local entry package
    local -a missing=()
    for entry in "${unit_test_programs[@]}"; do
        if ! have "${entry%:*}"; then missing+=("${entry#*:}"); fi
    done
    if ((!${#missing[@]})) || (apt_install "${missing[@]}"); then return; fi
    # one that this distribution lacks must not cost the others
    for package in "${missing[@]}"; do
        (apt_get install -y "$package") || say "tests that need $package will be skipped"
    done
}

# cosign, which verifies what we sign.
setup_cosign() {
    have cosign || ! have apt-get || install_here_or_next cosign || say "tests that need cosign will be skipped"
}

# axe-core, which says whether everybody can read a page: the one whose digest stands in its lock.
setup_axe() {
    local wanted=$root/tests/programs/axe place=$root/.venv/axe
    if [[ -e $place/node_modules ]] && cmp -s "$wanted/package-lock.json" "$place/package-lock.json"; then return; fi
    mkdir -p "$place"
    cp "$wanted"/*.json "$place"
    "$root/.venv/bin/npm" ci --prefix "$place" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
}

# The real `aws`, and moto, which plays AWS for it, in an environment of their own: what their list pins.
setup_aws() {
    local wanted=$root/tests/programs/aws/requirements.txt place=$root/.venv/aws
    if cmp -s "$wanted" "$place/installed.txt"; then return; fi
    "$root/.venv/bin/python3" -m venv --clear "$place"
    "$place/bin/python3" -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r "$wanted"
    cp "$wanted" "$place/installed.txt"
}

# The real `az`, and Azurite, which plays a storage account for it, in a place of their own: what their lists pin.
setup_azure() {
    local wanted=$root/tests/programs/azure place=$root/.venv/azure
    if cmp -s "$wanted/requirements.txt" "$place/installed.txt" &&
        cmp -s "$wanted/package-lock.json" "$place/package-lock.json"; then return; fi
    "$root/.venv/bin/python3" -m venv --clear "$place"
    cp "$wanted"/*.json "$place"
    "$root/.venv/bin/npm" ci --prefix "$place" --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error >/dev/null
    # --no-compile: of 13,000 modules the tests load one in six, and Python compiles those when it does
    "$place/bin/python3" -m pip install -qq --disable-pip-version-check --require-hashes --no-deps --no-compile \
        -r "$wanted/requirements.txt"
    cp "$wanted/requirements.txt" "$place/installed.txt"
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
