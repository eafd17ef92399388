#!/bin/bash
# Tools for a person who works on the machine. Comes after base.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

if [[ -z $(find /var/lib/apt/lists -maxdepth 1 -name '*Release' -cmin -120 2>/dev/null) ]]; then
    apt-get -q update
fi

apt-get -q -y --no-install-recommends -o DPkg::Options::=--force-unsafe-io install \
    bash-completion \
    build-essential \
    ca-certificates \
    curl \
    git \
    htop \
    jq \
    less \
    man-db \
    openssh-client \
    pkg-config \
    python3-venv \
    ripgrep \
    rsync \
    tmux \
    tree \
    unzip \
    vim \
    wget \
    zsh
