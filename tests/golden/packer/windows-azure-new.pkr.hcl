# --- cloud.pkr.hcl
# What one run of tiny-windows gets from outside, in every cloud. Secrets come from the environment alone.

variable "archive" {
  type        = string
  description = "File with everything that is installed, made by: invoke render --variant tiny-windows --format azure."
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
  default     = "2025.1009.85323"

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
  name = "dsvm-tiny-windows-${replace(var.version, ".", "-")}"

  tags = merge(var.tags, {
    dsvm-accelerator = "cpu"
    dsvm-base        = "windows-2022"
    dsvm-lock        = "71d761ae113f44542b8eb14dbb33a6d9102b2000"
    dsvm-variant     = "tiny-windows"
    dsvm-version     = var.version
  })
}

# --- azure-arm.pkr.hcl
# Azure: the vendor's image of Windows Server 2022 in a machine of its own, kept as a managed image, in a gallery, or both.

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
  default     = "tiny-windows"
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

  image_publisher = "MicrosoftWindowsServer"
  image_offer     = "WindowsServer"
  image_sku       = "2022-datacenter-g2"
  image_version   = var.base_version

  os_type         = "Windows"
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

  communicator   = "winrm"
  winrm_username = "dsvm-build"
  winrm_use_ssl  = true
  winrm_insecure = true
  winrm_timeout  = "30m"
}

# --- build.pkr.hcl
# tiny-windows: one build, whatever the source. Rendered from lock 71d761ae113f; do not edit.

build {
  sources = ["source.azure-arm.machine"]

  provisioner "file" {
    source      = var.archive
    destination = "C:/Windows/Temp/dsvm-install.zip"
  }

  provisioner "powershell" {
    script            = "${path.root}/scripts/Install-Archive.ps1"
    environment_vars  = ["DSVM_ARCHIVE=C:/Windows/Temp/dsvm-install.zip", "DSVM_SHA256=${var.archive_sha256}"]
    elevated_user     = "SYSTEM"
    elevated_password = ""
    # 3010: all is done, and Windows has to start anew, as it does next anyway
    valid_exit_codes = [0, 3010]
  }

  provisioner "windows-restart" {
    restart_timeout = "30m"
  }

  provisioner "powershell" {
    script = "${path.root}/scripts/Sysprep-Azure.ps1"
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
