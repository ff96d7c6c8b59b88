# What one run of tiny-machine gets from outside: nothing of it is in the image.

variable "output" {
  type        = string
  description = "Folder that Packer makes and puts the machine's disk into."
}
