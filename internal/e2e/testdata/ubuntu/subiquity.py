#!/usr/bin/python3
"""Stands in for subiquity in a live system made of a Debian image.

It takes the answers from where subiquity takes them, the configuration that cloud-init combined, reports by the same
posts as curtin's webhook, and runs late-commands and error-commands as subiquity does. In between it copies the running
system to the disk. As subiquity did until 2025, it leaves the account to cloud-init's first boot.
"""
import json
import os
import subprocess
import sys
import time
import urllib.request

import yaml

TARGET = "/target"
LOGS = "/var/log/installer"


def run(*args, **kwargs):
    return subprocess.run(args, check=True, **kwargs)


def said(*args):
    return run(*args, capture_output=True, text=True).stdout.strip()


class Reporter:
    def __init__(self, config):
        self.endpoints = [d["endpoint"] for d in config["reporting"].values() if d["type"] == "webhook"]

    def post(self, event_type, name, description, level="INFO", **more):
        event = {"name": "subiquity/" + name, "description": description, "event_type": event_type,
                 "origin": "curtin", "timestamp": time.time(), "level": level, **more}
        for url in self.endpoints:
            request = urllib.request.Request(url, json.dumps(event).encode(), {"Content-Type": "application/json"})
            urllib.request.urlopen(request).read()

    def step(self, name, description, do, *args):
        self.post("start", name, description)
        try:
            do(*args)
        except Exception as e:
            with open(LOGS + "/subiquity-server-debug.log", "a") as log:
                print(name, "failed:", e, file=log)
            self.post("finish", name, description, level="ERROR", result="FAIL")
            raise
        self.post("finish", name, description, result="SUCCESS")


def install(config):
    layout = config["storage"]["layout"]
    assert layout["name"] == "direct", layout
    disk = layout["match"]["path"]
    run("sfdisk", "--quiet", disk, text=True, input="label: gpt\n,1M,21686148-6449-6E6F-744E-656564454649\n,,L\n")
    run("udevadm", "settle")
    run("mkfs.ext4", "-q", disk + "2")
    os.makedirs(TARGET)
    run("mount", disk + "2", TARGET)
    run("cp", "-ax", "/.", TARGET)
    run("sh", "-c", "cd %s && rm -rf init target var/lib/cloud var/log/installer usr/local/bin/* usr/local/sbin/* "
        "etc/systemd/system/subiquity.service etc/systemd/system/cloud-init.target.wants/subiquity.service" % TARGET)
    write("etc/fstab", "UUID=%s / ext4 defaults 0 1\n" % said("blkid", "-s", "UUID", "-o", "value", disk + "2"))
    for name in "dev", "proc", "sys":
        run("mount", "--rbind", "/" + name, TARGET + "/" + name)
    run("chroot", TARGET, "grub-install", disk)


def write(name, text):
    name = os.path.join(TARGET, name)
    os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "w") as f:
        f.write(text)


def configure_cloud_init(config):
    """What subiquity/models/subiquity.py leaves for the first boot, and network.py beside it."""
    identity = config["identity"]
    userdata = "#cloud-config\n" + yaml.dump({"users": [{"name": identity["username"], "passwd": identity["password"]}]})
    write("etc/cloud/cloud.cfg.d/99-installer.cfg", yaml.dump({
        "datasource_list": ["None"], "datasource": {"None": {"userdata_raw": userdata, "metadata": {"instance-id": "x"}}}}))
    write("etc/cloud/ds-identify.cfg", "policy: enabled\n")
    write("etc/cloud/cloud.cfg.d/00-subiquity-disable-cloudinit-networking.cfg", "network: {config: disabled}\n")
    write("etc/hostname", identity["hostname"] + "\n")
    write("etc/netplan/50-cloud-init.yaml", "network: {version: 2, ethernets: {gone0: {dhcp4: true}}}\n")
    write("etc/apt/apt.conf.d/90curtin-aptproxy", 'Acquire::http::Proxy "%s";\n' % config["apt"]["http_proxy"])


def commands(reporter, name, cmds, check):
    for i, cmd in enumerate(cmds):
        args = ["sh", "-c", cmd] if isinstance(cmd, str) else cmd
        env = dict(os.environ, TARGET_MOUNT_POINT=TARGET)
        reporter.step("%s/run/command_%d" % (name, i), str(cmd), lambda: run_command(args, env, check))


def run_command(args, env, check):
    subprocess.run(args, check=check, env=env, stdin=subprocess.DEVNULL)


def main():
    with open("/run/cloud-init/combined-cloud-config.json") as f:
        config = json.load(f)["autoinstall"]
    os.makedirs(LOGS)
    with open(LOGS + "/subiquity-server-debug.log", "w") as log:
        print("configuration:", config, file=log)
    reporter = Reporter(config)
    try:
        userdata = yaml.safe_load(said("cloud-init", "query", "userdata"))
        assert config["version"] == 1 and userdata == {"autoinstall": config}, userdata
        reporter.post("start", "Delivery", said("cloud-init", "query", "subplatform"))
        shown = {k: v for k, v in config.items() if k not in ("late-commands", "error-commands", "reporting", "apt")}
        shown["identity"] = {k: v for k, v in config["identity"].items() if k != "password"}
        reporter.post("start", "Answers", json.dumps(shown))
        reporter.step("Install/install", "installing system", install, config)
        reporter.step("Install/postinstall", "final system configuration", configure_cloud_init, config)
        commands(reporter, "Late", config["late-commands"], True)
    except Exception:
        commands(reporter, "Error", config["error-commands"], False)
        raise
    run("sync")
    run("umount", "-R", "-l", TARGET)  # lazily: what is still busy must not keep the machine from its end
    run("sync")
    run("reboot", "-f")


if __name__ == "__main__":
    sys.exit(main())
