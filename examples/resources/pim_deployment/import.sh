# What pim made says itself what it is. With a target of targets.d: its name, then the AMI's id, the template's VM id, or the path.
terraform import pim_deployment.template proxmox-sg:9000

# With a block. The first apply then puts the block's settings into effect, in place.
terraform import pim_deployment.ami aws:ap-southeast-1:ami-0123456789abcdef0
terraform import pim_deployment.template proxmox:pve1:9000
terraform import pim_deployment.vmdk file:/srv/images/debian.vmdk
terraform import pim_deployment.bundle utm:/Users/me/utm/desk.utm
