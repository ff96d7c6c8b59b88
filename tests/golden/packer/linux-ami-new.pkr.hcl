# --- cloud.pkr.hcl
# What one run of tiny-machine gets from outside, in every cloud. Secrets come from the environment alone.

variable "archive" {
  type        = string
  description = "File with everything that is installed, made by: invoke render --variant tiny-machine --format ami."
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

# --- amazon-ebs.pkr.hcl
# AWS: the vendor's image of A base for tests in an instance of its own, kept as an AMI. Who may do that, the AWS
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
  default     = "tiny \u002212\u0022 \u0024{x}-*"
}

source "amazon-ebs" "machine" {
  region          = var.region
  ami_name        = local.name
  ami_description = "The same as a virtual machine too, with what only machines have"
  ami_regions     = var.copy_regions
  encrypt_boot    = var.encrypt
  instance_type   = var.instance_type
  ena_support     = true
  tags            = local.tags
  snapshot_tags   = local.tags
  run_tags        = local.tags

  source_ami_filter {
    owners      = ["136693071363"]
    most_recent = true

    filters = {
      name                = var.base_name
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = var.disk_gb
    volume_type           = "gp3"
    delete_on_termination = true
  }

  imds_support = "v2.0"

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  communicator = "ssh"
  ssh_username = "admin"
  ssh_timeout  = "15m"
}

# --- build.pkr.hcl
# tiny-machine: one build, whatever the source. Rendered from lock ea4c617dbc65; do not edit.

build {
  sources = ["source.amazon-ebs.machine"]

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
    amazon = {
      version = "1.8.0"
      source  = "github.com/hashicorp/amazon"
    }
  }
}
