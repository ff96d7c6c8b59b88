# --- cloud.pkr.hcl
# What one run of tiny-windows gets from outside, in every cloud. Secrets come from the environment alone.

variable "archive" {
  type        = string
  description = "File with everything that is installed, made by: invoke render --variant tiny-windows --format ami."
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

# --- amazon-ebs.pkr.hcl
# AWS: the vendor's image of Windows Server 2022 in an instance of its own, kept as an AMI. Who may do that, the AWS
# configuration and the environment of whoever runs it say (AWS_PROFILE, AWS_ACCESS_KEY_ID and so on).

variable "region" {
  type        = string
  description = "Region in which the image is made, such as eu-central-1."

  validation {
    condition     = var.region != "" && regex_replace(var.region, "^[a-z]{2}(-[a-z]+)+-[0-9]$", "") == ""
    error_message = "A region of AWS is written such as eu-central-1."
  }
}

variable "copy_regions" {
  type        = list(string)
  description = "Regions that get a copy."
  default     = []
}

variable "encrypt" {
  type        = bool
  description = "Encrypt the image with the account's default key."
  default     = false
}

variable "instance_type" {
  type        = string
  description = "Instance in which the image is made. It needs no GPU."
  default     = "m6i.xlarge"
}

variable "base_name" {
  type        = string
  description = "Name of the vendor's image, or a pattern of names of which the newest counts."
  default     = "Windows_Server-2022-English-Full-Base-*"
}

source "amazon-ebs" "machine" {
  region          = var.region
  ami_name        = local.name
  ami_description = "For tests; it's 'quoted'"
  ami_regions     = var.copy_regions
  encrypt_boot    = var.encrypt
  instance_type   = var.instance_type
  ena_support     = true
  tags            = local.tags
  snapshot_tags   = local.tags
  run_tags        = local.tags

  source_ami_filter {
    owners      = ["amazon"]
    most_recent = true

    filters = {
      name                = var.base_name
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }

  launch_block_device_mappings {
    device_name           = "/dev/sda1"
    volume_size           = var.disk_gb
    volume_type           = "gp2"
    delete_on_termination = true
  }

  user_data_file = "${path.root}/scripts/Enable-WinRM.txt"
  communicator   = "winrm"
  winrm_username = "Administrator"
  winrm_use_ssl  = true
  winrm_insecure = true
  winrm_timeout  = "30m"
}

# --- build.pkr.hcl
# tiny-windows: one build, whatever the source. Rendered from lock 71d761ae113f; do not edit.

build {
  sources = ["source.amazon-ebs.machine"]

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
    script = "${path.root}/scripts/Sysprep-Aws.ps1"
  }
}
