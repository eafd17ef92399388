terraform {
  required_providers {
    pim = { source = "pim-tools/pim" }
  }
}

variable "image_id" {
  type = string
}

variable "aws_endpoint" {
  type = string
}

variable "proxmox_ca_file" {
  type = string
}

resource "pim_deployment" "aws" {
  image_id = var.image_id

  aws {
    region  = "eu-central-1"
    regions = ["us-east-1"]

    endpoints = {
      ec2 = var.aws_endpoint
      ebs = var.aws_endpoint
      sts = var.aws_endpoint
    }
  }
}

resource "pim_deployment" "proxmox" {
  image_id = var.image_id

  proxmox {
    node    = "pve1"
    storage = "local-lvm"
    ca_file = var.proxmox_ca_file
  }
}

resource "pim_deployment" "utm" {
  image_id = var.image_id

  utm {
    output_dir = "${path.root}/utm"
  }
}

resource "pim_deployment" "file" {
  image_id = var.image_id

  file {
    path   = "${path.root}/demo.vmdk"
    format = "vmdk"
  }
}

output "ami" {
  value = pim_deployment.aws.ami_id
}

output "snapshot" {
  value = pim_deployment.aws.snapshot_id
}

output "template" {
  value = pim_deployment.proxmox.template_id
}

output "bundle" {
  value = pim_deployment.utm.path
}

output "file" {
  value = pim_deployment.file.path
}
