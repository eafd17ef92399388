#!/bin/sh
# Greets whoever logs in to a machine made from this image.
set -eu
echo "Made with pim from the profile $PIM_PROFILE for $PIM_ARCH." >/etc/motd
