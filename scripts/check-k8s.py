#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Holds packaging/k8s/daemonset.yaml against the systemd unit, the binary and itself: scripts/check-k8s.py [BINARY]."""

import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "packaging/k8s/daemonset.yaml"
UNIT = ROOT / "packaging/steadyport.service"
# What the daemon needs of the node, by where it looks for it: the host's own.
HOST_PATHS = {"/sys/fs/bpf", "/sys/fs/cgroup", "/run/netns"}

failed = False


def expect(what, got, wanted):
    global failed
    if got != wanted:
        print(f"check-k8s: {what}: {got!r}, not {wanted!r}", file=sys.stderr)
        failed = True


def unit_capabilities():
    line = re.search(r"^CapabilityBoundingSet=(.*)$", UNIT.read_text(), re.M).group(1)
    return {name.removeprefix("CAP_") for name in line.split()}


def check_config(text, binary):
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(text)
        file.flush()
        said = subprocess.run([binary, "run", "--check", "--config", file.name], capture_output=True, text=True)
    expect(f"run --check of the ConfigMap ({said.stderr.strip()})", said.returncode, 0)


def main():
    binary = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "build/steadyport")
    documents = {d["kind"]: d for d in yaml.safe_load_all(PAGE.read_text())}
    expect("kinds", set(documents), {"ConfigMap", "DaemonSet"})
    config, daemon = documents["ConfigMap"], documents["DaemonSet"]
    expect("versions", (config["apiVersion"], daemon["apiVersion"]), ("v1", "apps/v1"))
    spec = daemon["spec"]
    labels = spec["template"]["metadata"]["labels"]
    expect("the selector", spec["selector"]["matchLabels"].items() <= labels.items(), True)
    expect("daemons at one time", spec["updateStrategy"]["rollingUpdate"]["maxSurge"], 0)

    pod = spec["template"]["spec"]
    expect("hostPID, hostNetwork", (pod["hostPID"], pod["hostNetwork"]), (True, True))
    volumes = {v["name"]: v for v in pod["volumes"]}
    (container,) = pod["containers"]
    mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
    expect("volumes that are mounted", {m["name"] for m in mounts.values()}, set(volumes))
    for path in HOST_PATHS:
        expect(f"the volume of {path}", volumes[mounts[path]["name"]]["hostPath"]["path"], path)
    expect("bpffs is writable", mounts["/sys/fs/bpf"].get("readOnly", False), False)

    security = container["securityContext"]
    expect("capabilities, the unit's", set(security["capabilities"]["add"]), unit_capabilities())
    expect("dropped", security["capabilities"]["drop"], ["ALL"])
    expect("privileged, escalation", (security["privileged"], security["allowPrivilegeEscalation"]), (False, False))
    expect("the user", security["runAsUser"], 0)

    text = config["data"]["steadyport.conf"]
    source = volumes[mounts["/etc/steadyport"]["name"]]["configMap"]
    expect("the configuration's volume", source["name"], config["metadata"]["name"])
    expect("who may write the configuration", source["defaultMode"] & 0o022, 0)
    check_config(text, binary)
    probe = container["livenessProbe"]["httpGet"]
    expect("the probe", f"{probe['host']}:{probe['port']}", re.search(r"metrics = (\S+)", text).group(1))
    sys.exit(failed)


main()
