# A golden image as a file, and a libvirt domain on an overlay of it, made by dmacvicar/libvirt (0.9 or later).

terraform {
  required_providers {
    libvirt = { source = "dmacvicar/libvirt" }
    pim     = { source = "pim-tools/pim" }
  }
}

variable "ssh_public_key" {
  description = "Who may log in, as in ~/.ssh/id_ed25519.pub."
  type        = string
}

provider "libvirt" {
  uri = "qemu:///system"
}

resource "pim_image" "db" {
  arch     = "x86_64"
  hostname = "db"
  packages = ["postgresql"]
  scripts  = ["base"]

  iso = {
    url          = "https://example.org/debian-cd/debian-13-amd64-netinst.iso"
    checksum_url = "https://example.org/debian-cd/SHA256SUMS"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "pim_deployment" "db" {
  image_id = pim_image.db.id

  file {
    path   = "${path.root}/db.qcow2"
    format = "qcow2"
  }
}

# The name has the image's key in it, so that a new image is a new volume.
resource "libvirt_volume" "base" {
  name   = "db-${substr(pim_deployment.db.image_key, 0, 12)}.qcow2"
  pool   = "default"
  target = { format = { type = "qcow2" } }
  create = { content = { url = pim_deployment.db.path } }
}

resource "libvirt_volume" "disk" {
  name     = "db-1.qcow2"
  pool     = "default"
  capacity = 20 * 1024 * 1024 * 1024
  target   = { format = { type = "qcow2" } }

  backing_store = {
    path   = libvirt_volume.base.path
    format = { type = "qcow2" }
  }
}

resource "libvirt_cloudinit_disk" "db" {
  name = "db-1"

  meta_data = <<-META
    instance-id: db-1
    local-hostname: db-1
  META

  user_data = <<-CLOUD
    #cloud-config
    users:
      - name: admin
        sudo: ALL=(ALL) NOPASSWD:ALL
        shell: /bin/bash
        ssh_authorized_keys: [${jsonencode(var.ssh_public_key)}]
  CLOUD
}

resource "libvirt_volume" "seed" {
  name   = "db-1-seed.iso"
  pool   = "default"
  create = { content = { url = libvirt_cloudinit_disk.db.path } }
}

resource "libvirt_domain" "db" {
  name    = "db-1"
  type    = "kvm"
  memory  = 2 * 1024 * 1024 # KiB
  vcpu    = 2
  running = true
  os      = { type = "hvm", type_arch = "x86_64", type_machine = "q35" }

  devices = {
    disks = [
      {
        source = { volume = { pool = libvirt_volume.disk.pool, volume = libvirt_volume.disk.name } }
        target = { bus = "virtio", dev = "vda" }
        driver = { type = "qcow2" }
      },
      {
        device = "cdrom"
        source = { volume = { pool = libvirt_volume.seed.pool, volume = libvirt_volume.seed.name } }
        target = { bus = "sata", dev = "sda" }
      },
    ]
    interfaces = [
      { type = "network", model = { type = "virtio" }, source = { network = { network = "default" } } },
    ]
  }
}

output "image" {
  value = pim_deployment.db.path
}
