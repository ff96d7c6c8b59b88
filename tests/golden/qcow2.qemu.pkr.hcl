# A machine whose disk is laid out already: Packer boots it, runs what needs a running system, and shuts it down.

variable "disk" {
  type        = string
  description = "Disk image to begin with, qcow2. It is copied, not changed."
}

variable "accelerator" {
  type        = string
  description = "kvm where the processor's virtualisation works, tcg elsewhere."

  validation {
    condition     = contains(["kvm", "tcg"], var.accelerator)
    error_message = "The accelerator is kvm or tcg."
  }
}

variable "processor" {
  type        = string
  description = "QEMU's model of the processor, with what is switched off."
}

variable "cpus" {
  type        = number
  description = "Processors of the machine while it is built."
  default     = 2
}

variable "memory" {
  type        = number
  description = "MiB of memory of the machine while it is built."
  default     = 2048
}

variable "firmware" {
  type        = string
  description = "UEFI firmware, one file of code and variables."
}

variable "serial_log" {
  type        = string
  description = "File that takes what the machine prints on its serial console."
}

variable "key" {
  type        = string
  description = "Private key for the build, made for this run alone."
}

variable "credential" {
  type        = string
  description = "systemd credential in base64 that lets this key log in while it is given; nothing of it is on the disk."
}

variable "ssh_timeout" {
  type        = string
  description = "How long the machine may take until it can be reached, for example 15m."
  default     = "15m"
}

source "qemu" "machine" {
  disk_image         = true
  iso_url            = var.disk
  iso_checksum       = "none"
  skip_resize_disk   = true
  skip_compaction    = true
  format             = "qcow2"
  output_directory   = var.output
  vm_name            = "disk.qcow2"
  disk_interface     = "virtio"
  disk_cache         = "unsafe"
  disk_discard       = "unmap"
  disk_detect_zeroes = "unmap"
  net_device         = "virtio-net"
  machine_type       = "pc"
  accelerator        = var.accelerator
  cpus               = var.cpus
  memory             = var.memory
  headless           = true
  disable_vnc        = true
  boot_wait          = "1s"

  qemuargs = [
    ["-bios", var.firmware],
    ["-cpu", var.processor],
    ["-serial", "file:${var.serial_log}"],
    ["-smbios", "type=11,value=io.systemd.credential.binary:tmpfiles.extra=${var.credential}"],
    # Packer's own forwarding listens on every interface of this machine.
    ["-netdev", "user,id=user.0,restrict=on,hostfwd=tcp:127.0.0.1:{{ .SSHHostPort }}-:22"],
  ]

  communicator         = "ssh"
  ssh_username         = "root"
  ssh_private_key_file = var.key
  ssh_timeout          = var.ssh_timeout
  shutdown_command     = "rm -rf /root/.ssh && systemctl poweroff"
  shutdown_timeout     = "10m"
}
