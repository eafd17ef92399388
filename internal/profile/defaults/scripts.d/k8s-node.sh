#!/bin/bash
# A Kubernetes node before it joins a cluster: containerd, kernel modules, sysctls, no swap. Comes after base.
#
# kubeadm, kubelet and kubectl are installed when KUBERNETES_REPOSITORY names an apt repository of them, as in
# https://HOST/core:/stable:/v1.33/deb/ with its key beside it as Release.key. An earlier script of the profile can put
# that variable into /etc/default/k8s-node.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

if [[ -r /etc/default/k8s-node ]]; then
    # shellcheck source=/dev/null
    . /etc/default/k8s-node
fi
repository=${KUBERNETES_REPOSITORY:-}

install_packages() {
    apt-get -q -y --no-install-recommends -o DPkg::Options::=--force-unsafe-io install "$@"
}

if [[ -z $(find /var/lib/apt/lists -maxdepth 1 -name '*Release' -cmin -120 2>/dev/null) ]]; then
    apt-get -q update
fi
install_packages conntrack containerd containernetworking-plugins ethtool iptables nftables socat

printf '%s\n' overlay br_netfilter >/etc/modules-load.d/k8s.conf
cat >/etc/sysctl.d/90-k8s.conf <<'SYSCTL'
net.bridge.bridge-nf-call-iptables = 1
net.bridge.bridge-nf-call-ip6tables = 1
net.ipv4.ip_forward = 1
fs.inotify.max_user_instances = 8192
fs.inotify.max_user_watches = 524288
SYSCTL

# No swap, from fstab or from a partition that systemd would find by its type.
swapoff -a
sed -i -E '/^[^#]\S*\s+\S+\s+swap\s/s/^/# k8s-node: /' /etc/fstab
systemctl mask swap.target

# The kubelet and containerd must agree on who manages cgroups; network plugins install themselves into /opt/cni/bin.
mkdir -p /etc/containerd /opt/cni/bin
containerd config default |
    sed -E -e 's/(SystemdCgroup) = false/\1 = true/' -e 's|^(\s*bin_dir) = .*|\1 = "/opt/cni/bin"|' \
        >/etc/containerd/config.toml
ln -sf /usr/lib/cni/* /opt/cni/bin/
systemctl enable containerd.service
echo 'runtime-endpoint: unix:///run/containerd/containerd.sock' >/etc/crictl.yaml

if [[ -n $repository ]]; then
    install_packages ca-certificates curl gnupg
    install -d -m 755 /etc/apt/keyrings
    curl -fsSL --retry 3 "${repository%/}/Release.key" | gpg --dearmor --yes -o /etc/apt/keyrings/kubernetes.gpg
    echo "deb [signed-by=/etc/apt/keyrings/kubernetes.gpg] ${repository%/}/ /" >/etc/apt/sources.list.d/kubernetes.list
    apt-get -q update
    install_packages kubeadm kubectl kubelet
    apt-mark hold kubeadm kubectl kubelet
    systemctl enable kubelet.service
fi
