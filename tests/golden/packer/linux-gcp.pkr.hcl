# --- cloud.pkr.hcl
# What one run of tiny-machine gets from outside, in every cloud. Secrets come from the environment alone.

variable "archive" {
  type        = string
  description = "File with everything that is installed, made by: invoke render --variant tiny-machine --format gcp."
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

# --- googlecompute.pkr.hcl
# Google Cloud: the vendor's image of A base for tests in an instance of its own, kept as an image of a family. Who may
# do that, GOOGLE_APPLICATION_CREDENTIALS or the login of gcloud says.

variable "project" {
  type        = string
  description = "Project in which the image is made."

  validation {
    condition     = var.project != "" && regex_replace(var.project, "^[a-z][a-z0-9-]{4,28}[a-z0-9]$", "") == ""
    error_message = "The ID of a project has 6 to 30 small letters, digits and hyphens."
  }
}

variable "zone" {
  type        = string
  description = "Zone in which the image is made, such as europe-west1-b."

  validation {
    condition     = var.zone != "" && regex_replace(var.zone, "^[a-z]+-[a-z]+[0-9]+-[a-z]$", "") == ""
    error_message = "A zone is written such as europe-west1-b."
  }
}

variable "storage_locations" {
  type        = list(string)
  description = "Region or multi-region that keeps the image; near the zone when empty."
  default     = []
}

variable "machine_type" {
  type        = string
  description = "Machine in which the image is made. It needs no GPU."
  default     = "n2-standard-4"
}

variable "base_image" {
  type        = string
  description = "The vendor's image by name; the newest of its family when empty."
  default     = ""
}

source "googlecompute" "machine" {
  project_id              = var.project
  zone                    = var.zone
  machine_type            = var.machine_type
  source_image            = var.base_image
  source_image_family     = "debian-12"
  source_image_project_id = ["debian-cloud"]
  disk_size               = var.disk_gb
  disk_type               = "pd-ssd"

  image_name              = local.name
  image_family            = "dsvm-tiny-machine"
  image_description       = "The same as a virtual machine too, with what only machines have"
  image_labels            = local.labels
  image_storage_locations = var.storage_locations

  communicator = "ssh"
  ssh_username = "dsvm-build"
  ssh_timeout  = "15m"
}

locals {
  # labels are small letters, digits, _ and -
  labels = { for key, value in local.tags : lower(key) => replace(lower(value), ".", "-") }
}

# --- build.pkr.hcl
# tiny-machine: one build, whatever the source. Rendered from lock ea4c617dbc65; do not edit.

build {
  sources = ["source.googlecompute.machine"]

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
