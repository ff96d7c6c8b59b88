#!/usr/bin/env bash
# Fabric Manager starts where NVSwitch is, and only there: the condition tells a machine with switches from others, the
# service has it, and on this machine the service is up or was never tried.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "fabric_manager", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

condition=/usr/local/libexec/dsvm-has-nvswitch
# device FOLDER VENDOR CLASS
device() {
    mkdir -p "$1"
    echo "$2" >"$1/vendor"
    echo "$3" >"$1/class"
}
device none/bus/pci/devices/gpu 0x10de 0x030200
device none/bus/pci/devices/bridge 0x8086 0x068000
mkdir -p none/class/infiniband/mlx5_0/device
echo "an ordinary card" >none/class/infiniband/mlx5_0/device/vpd
if "$condition" none; then fail "it sees a switch where there is none"; fi
device switch/bus/pci/devices/gpu 0x10de 0x030200
device switch/bus/pci/devices/switch 0x10de 0x068000
"$condition" switch || fail "it does not see a switch on the bus"
mkdir -p later/class/infiniband/mlx5_4/device
printf 'a card\0SMDL=SW_MNG\0' >later/class/infiniband/mlx5_4/device/vpd
"$condition" later || fail "it does not see a switch behind InfiniBand"

unit=$(find /usr/lib/systemd/system /lib/systemd/system -name nvidia-fabricmanager.service 2>/dev/null | head -n 1)
[ -n "$unit" ] || fail "there is no service"
there=false
if "$condition"; then there=true; fi
if [ -d /run/systemd/system ]; then
    state=$(systemctl show --property=ActiveState --value nvidia-fabricmanager.service)
    systemctl show --property=ExecCondition nvidia-fabricmanager.service | grep "$condition" >/dev/null \
        || fail "the service does not ask the condition"
    case $there:$state in
        true:active | false:inactive) ;;
        *) fail "NVSwitch: $there, and the service is $state" ;;
    esac
fi
printf '{"check": "fabric_manager", "ok": true, "NVSwitch": %s}\n' "$there"
