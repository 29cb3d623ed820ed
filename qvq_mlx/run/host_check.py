"""The process that looks at the machines of a hostfile: whether they could split a model.

Law: it loads nothing. What it found of the machines is told before the ring is joined, since where
that fails this process ends (run/host_follow.py), and its last line says why.
"""

from __future__ import annotations

import socket
import sys
from dataclasses import asdict, replace
from pathlib import Path

from qvq_mlx.core.errors import HostGoneError
from qvq_mlx.records.doctor import RingMachine
from qvq_mlx.records.typed import typed
from qvq_mlx.run.host_follow import checkpoint_sizes, free_ports, join, spoken
from qvq_mlx.run.host_lead import Other
from qvq_mlx.run.hosts import Hosts
from qvq_mlx.warm.frames import Frame, receive, send


def _check(asked: Frame, line: socket.socket) -> None:
    """Ask every machine, tell what they say, and measure the ring where all of them are well."""
    hosts, folder = typed(Hosts, asked["hosts"]), asked["folder"]
    others = [Other(host) for host in hosts.hosts[1:]]
    ours = spoken()
    for other in others:
        other.tell({"ips": other.host.ips})
    try:
        ring = [free_ports(hosts.hosts[0].ips)]
    except OSError as error:
        send(line, {"machines": [], "fault": str(error)})
        return
    found = [_greeted(other, ours, ring) for other in others]
    if not any(machine.fault for machine in found):
        sizes = checkpoint_sizes(Path(folder)) if folder else {}
        for rank, other in enumerate(others, start=1):
            part = {"rank": rank, "ring": ring, "envs": hosts.envs, "measure": True}
            other.tell({**part, "folder": folder or "", "sizes": sizes})
        found = [_looked(other, machine) for other, machine in zip(others, found, strict=True)]
        if not folder:
            found = [replace(machine, has_model=None) for machine in found]
    well = not any(machine.fault for machine in found)
    send(line, {"machines": [asdict(machine) for machine in found], "well": well})
    if well:
        from qvq_mlx.engine.ring import measured

        sum_s, bytes_per_s = measured(join(0, ring, hosts.envs))
        send(line, {"sum_s": sum_s, "bytes_per_s": bytes_per_s})


def _greeted(other: Other, ours: str, ring: list[list[str]]) -> RingMachine:
    """Hear the first answer of a machine; its place in the ring is added."""
    name = other.host.ssh
    try:
        answer = other.answer()
    except HostGoneError as error:
        return RingMachine(name, fault=str(error))
    ring.append(answer["ring"])
    versions, room_bytes = answer["spoken"], answer.get("working_set_bytes")
    fault = None if versions == ours else f"it has {versions}, and this machine has {ours}"
    return RingMachine(name, room_bytes, fault=fault)


def _looked(other: Other, machine: RingMachine) -> RingMachine:
    try:
        return replace(machine, has_model=bool(other.answer()["found"]))
    except HostGoneError as error:
        return replace(machine, fault=str(error))


def main(descriptor: int) -> None:
    """Look at the machines that the socket names, and answer there."""
    line = socket.socket(fileno=descriptor)
    _check(receive(line)[0], line)


if __name__ == "__main__":
    main(int(sys.argv[1]))
