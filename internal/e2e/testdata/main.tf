terraform {
  required_providers {
    pim = { source = "pim-tools/pim" }
  }
}

variable "boot_args" {
  type = list(string)
}

variable "scripts" {
  type    = list(string)
  default = null
}

variable "triggers" {
  type    = map(string)
  default = null
}

variable "verify" {
  type    = bool
  default = true
}

variable "script_timeout" {
  type    = string
  default = null
}

variable "fetch" {
  type    = bool
  default = null
}

data "pim_profile" "demo" {
  name = "demo"
  arch = "x86_64"
}

resource "pim_image" "demo" {
  profile        = data.pim_profile.demo.name
  arch           = "x86_64"
  boot_args      = concat(data.pim_profile.demo.boot_args, var.boot_args)
  scripts        = var.scripts
  triggers       = var.triggers
  verify         = var.verify
  script_timeout = var.script_timeout
  fetch          = var.fetch
  emulation      = true
}

output "id" {
  value = pim_image.demo.id
}

output "path" {
  value = pim_image.demo.path
}

output "manifest" {
  value = pim_image.demo.manifest_path
}

output "built_at" {
  value = pim_image.demo.built_at
}
