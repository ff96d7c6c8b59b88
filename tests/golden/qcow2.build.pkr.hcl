# tiny-machine: one build, whatever the source. Rendered from lock ea4c617dbc65; do not edit.

build {
  sources = ["source.qemu.machine"]

  provisioner "shell" {
    script            = "${path.root}/scripts/wait-until-up"
    environment_vars  = ["DSVM_VARIANT=tiny-machine"]
    expect_disconnect = false
  }

  provisioner "shell" {
    script            = "${path.root}/scripts/clean"
    environment_vars  = ["DSVM_VARIANT=tiny-machine"]
    expect_disconnect = false
  }
}
