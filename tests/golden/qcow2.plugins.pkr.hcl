# Left out for Packer before 1.7, which has its builders inside.

packer {
  required_plugins {
    qemu = {
      version = "1.1.0"
      source  = "github.com/hashicorp/qemu"
    }
  }
}
