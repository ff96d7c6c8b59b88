# --- cloud.pkr.hcl
# What one run of tiny-machine gets from outside, in every cloud. Secrets come from the environment alone.

variable "archive" {
  type        = string
  description = "File with everything that is installed, made by: invoke render --variant tiny-machine --format azure."
}

variable "archive_sha256" {
  type        = string
  description = "SHA-256 of this file, in hex."

  validation {
    condition     = var.archive_sha256 != "" && regex_replace(var.archive_sha256, "^[0-9a-f]{64}$", "") == ""
    error_message = "The SHA-256 of the archive is 64 hexadecimal digits."
  }
}

variable "version" {
  type        = string
  description = "Version of the image: MAJOR.MINOR.PATCH."
  default     = "2025.1009.85328"

  validation {
    condition     = var.version != "" && regex_replace(var.version, "^(0|[1-9][0-9]*)(\\.(0|[1-9][0-9]*)){2}$", "") == ""
    error_message = "The version is three whole numbers: MAJOR.MINOR.PATCH."
  }
}

variable "disk_gb" {
  type        = number
  description = "GiB of the image's disk."
  default     = 30

  validation {
    condition     = var.disk_gb >= 30 && var.disk_gb <= 2048
    error_message = "The disk has 30 to 2048 GiB: less does not hold what is installed."
  }
}

variable "tags" {
  type        = map(string)
  description = "Tags of the image, beside those that say what it was made from."
  default     = {}
}

locals {
  name = "dsvm-tiny-machine-${replace(var.version, ".", "-")}"

  tags = merge(var.tags, {
    dsvm-accelerator = "cpu"
    dsvm-base        = "tiny-12"
    dsvm-lock        = "ea4c617dbc65445a2e0f996e09c6116b0a16ce56"
    dsvm-variant     = "tiny-machine"
    dsvm-version     = var.version
  })
}

# --- azure-arm.pkr.hcl
# Azure: the vendor's image of A base for tests in a machine of its own, kept as a managed image, in a gallery, or both.

variable "subscription_id" {
  type        = string
  description = "Subscription; ARM_SUBSCRIPTION_ID by default."
  default     = env("ARM_SUBSCRIPTION_ID")
}

variable "tenant_id" {
  type        = string
  description = "Tenant; ARM_TENANT_ID by default."
  default     = env("ARM_TENANT_ID")
}

variable "client_id" {
  type        = string
  description = "Service principal; ARM_CLIENT_ID by default. When empty, Packer asks for a login in the browser."
  default     = env("ARM_CLIENT_ID")
}

variable "client_secret" {
  type        = string
  description = "Its secret. Set ARM_CLIENT_SECRET in the environment, and nothing else."
  default     = env("ARM_CLIENT_SECRET")
  sensitive   = true
}

variable "location" {
  type        = string
  description = "Region in which the image is made, such as westeurope."

  validation {
    condition     = var.location != "" && regex_replace(var.location, "^[a-z][a-z0-9]+$", "") == ""
    error_message = "A region of Azure is written in small letters, such as westeurope."
  }
}

variable "resource_group" {
  type        = string
  description = "Resource group that gets the managed image."

  validation {
    condition     = var.resource_group != "" && regex_replace(var.resource_group, "^[A-Za-z0-9_().-]{1,90}$", "") == ""
    error_message = "The name of a resource group has letters, digits, _, (, ), . and -."
  }
}

variable "gallery" {
  type        = string
  description = "Azure Compute Gallery that gets a version too; none when empty."
  default     = ""
}

variable "gallery_definition" {
  type        = string
  description = "Image definition in the gallery, which exists already."
  default     = "tiny-machine"
}

variable "gallery_regions" {
  type        = list(string)
  description = "Regions that get a replica."
  default     = []
}

variable "vm_size" {
  type        = string
  description = "Size of the machine in which the image is made. It needs no GPU."
  default     = "Standard_D4s_v5"
}

variable "base_version" {
  type        = string
  description = "Version of the vendor's image."
  default     = "latest"
}

variable "secure_boot" {
  type        = bool
  description = "Secure Boot and a virtual TPM in the build, as in machines of the image: that goes to a gallery only."
  default     = false
}

source "azure-arm" "machine" {
  subscription_id = var.subscription_id
  tenant_id       = var.tenant_id
  client_id       = var.client_id
  client_secret   = var.client_secret

  image_publisher = "Debian"
  image_offer     = "debian-12"
  image_sku       = "12-gen2"
  image_version   = var.base_version

  os_type         = "Linux"
  os_disk_size_gb = var.disk_gb
  location        = var.location
  vm_size         = var.vm_size
  azure_tags      = local.tags

  security_type       = var.secure_boot ? "TrustedLaunch" : null
  secure_boot_enabled = var.secure_boot
  vtpm_enabled        = var.secure_boot

  managed_image_name                = var.secure_boot ? null : local.name
  managed_image_resource_group_name = var.secure_boot ? null : var.resource_group

  dynamic "shared_image_gallery_destination" {
    for_each = var.gallery == "" ? [] : [var.gallery]

    content {
      subscription        = var.subscription_id
      resource_group      = var.resource_group
      gallery_name        = shared_image_gallery_destination.value
      image_name          = var.gallery_definition
      image_version       = var.version
      replication_regions = concat([var.location], var.gallery_regions)
    }
  }

  communicator = "ssh"
  ssh_username = "dsvm-build"
  ssh_timeout  = "15m"
}

# --- build.pkr.hcl
# tiny-machine: one build, whatever the source. Rendered from lock ea4c617dbc65; do not edit.

build {
  sources = ["source.azure-arm.machine"]

  provisioner "shell" {
    script           = "${path.root}/scripts/meet-vendor"
    environment_vars = ["DSVM_OS=debian", "DSVM_RELEASE=12"]
    execute_command  = "sudo env {{ .Vars }} bash '{{ .Path }}'"
  }

  provisioner "file" {
    source      = var.archive
    destination = "/var/tmp/dsvm-install.tar"
  }

  provisioner "shell" {
    script           = "${path.root}/scripts/install-archive"
    environment_vars = ["DSVM_ARCHIVE=/var/tmp/dsvm-install.tar", "DSVM_SHA256=${var.archive_sha256}"]
    execute_command  = "sudo env {{ .Vars }} bash '{{ .Path }}'"
  }

  # What was installed is what starts: the locked kernel, its services.
  provisioner "shell" {
    inline            = ["sudo systemctl reboot"]
    expect_disconnect = true
  }

  provisioner "shell" {
    inline              = ["uptime"]
    pause_before        = "30s"
    start_retry_timeout = "15m"
  }

  provisioner "shell" {
    script            = "${path.root}/scripts/wait-until-up"
    environment_vars  = ["DSVM_VARIANT=tiny-machine"]
    execute_command   = "sudo env {{ .Vars }} bash '{{ .Path }}'"
    expect_disconnect = false
  }

  provisioner "shell" {
    script            = "${path.root}/scripts/clean"
    environment_vars  = ["DSVM_VARIANT=tiny-machine"]
    execute_command   = "sudo env {{ .Vars }} bash '{{ .Path }}'"
    expect_disconnect = false
  }

  # The last thing that this login does is to take itself away.
  provisioner "shell" {
    script            = "${path.root}/scripts/forget-login"
    execute_command   = "sudo env {{ .Vars }} bash '{{ .Path }}'"
    skip_clean        = true
    expect_disconnect = true
  }
}

# --- plugins.pkr.hcl
# Left out for Packer before 1.7, which has its builders inside.

packer {
  required_plugins {
    azure = {
      version = "2.5.1"
      source  = "github.com/hashicorp/azure"
    }
  }
}
