# A golden image as an AMI, and an instance made from it. Credentials come from the AWS SDK's usual places: environment,
# ~/.aws, SSO, an instance's role.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
    pim = { source = "pim-tools/pim" }
  }
}

variable "region" {
  type    = string
  default = "ap-southeast-1"
}

variable "ssh_public_key" {
  description = "Who may log in, as in ~/.ssh/id_ed25519.pub."
  type        = string
}

provider "aws" {
  region = var.region
}

resource "pim_image" "web" {
  arch     = "x86_64"
  hostname = "web"
  packages = ["nginx"]
  scripts  = ["base"]

  iso = {
    url          = "https://example.org/debian-cd/debian-13-amd64-netinst.iso"
    checksum_url = "https://example.org/debian-cd/SHA256SUMS"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "pim_deployment" "web" {
  image_id = pim_image.web.id
  keep     = 1 # the generation before stays, to go back to

  aws {
    region          = var.region
    regions         = ["eu-central-1"] # a copy there
    deprecate_after = "90d"
    tags            = { team = "web" }
  }
}

# A new AMI replaces the instance. Cloud-init gives it its identity.
resource "aws_instance" "web" {
  ami           = pim_deployment.web.ami_id
  instance_type = "t3.small"

  user_data = <<-CLOUD
    #cloud-config
    hostname: web-1
    users:
      - name: admin
        sudo: ALL=(ALL) NOPASSWD:ALL
        shell: /bin/bash
        ssh_authorized_keys: [${jsonencode(var.ssh_public_key)}]
  CLOUD

  root_block_device {
    volume_size = 20 # GiB; the image's file system grows into it
  }

  lifecycle {
    create_before_destroy = true
  }
}

output "amis" {
  value = pim_deployment.web.amis # region => AMI
}
