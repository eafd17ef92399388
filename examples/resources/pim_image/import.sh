# By the image's key, in full or by the twelve digits at the end of its file's name: web-x86_64-5c2d8a90f1e3.qcow2
terraform import pim_image.web 5c2d8a90f1e3
