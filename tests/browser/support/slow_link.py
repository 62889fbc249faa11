"""A slow link between two network namespaces: a TUN device in each, and this program between them.

    slow_link.py NAMESPACE_A NAMESPACE_B      as root; both are made, and deleted at the end

A is 10.78.0.1, B is 10.78.0.2. A line on standard input, before the first packet and any time later, says how the link is
from now on, each way: MILLIS_ONE_WAY BYTES_PER_SECOND MOST_MILLIS_QUEUED. Each is answered by the line "set". It ends with
its input.
"""

import collections
import fcntl
import os
import select
import struct
import subprocess
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
MTU = 1500


class Link:
    """What both ways have in common."""

    delay_seconds = 0.0
    bytes_per_second = float("inf")
    most_queued_seconds = 1.0

    def follow(self, line: str) -> None:
        millis, rate, queue = map(float, line.split())
        self.delay_seconds, self.bytes_per_second, self.most_queued_seconds = millis / 1e3, rate, queue / 1e3


class Way:
    """Packets from one device to the other, in order."""

    def __init__(self, link: Link, source: int, target: int) -> None:
        self.link, self.source, self.target = link, source, target
        self.sent_until = 0.0
        self.on_the_way: collections.deque[tuple[float, bytes]] = collections.deque()

    def take(self, now: float) -> None:
        packet = os.read(self.source, MTU)
        if self.sent_until - now > self.link.most_queued_seconds:
            return  # The router's queue is full.
        self.sent_until = max(now, self.sent_until) + len(packet) / self.link.bytes_per_second
        self.on_the_way.append((self.sent_until + self.link.delay_seconds, packet))

    def give(self, now: float) -> None:
        while self.on_the_way and self.on_the_way[0][0] <= now:
            os.write(self.target, self.on_the_way.popleft()[1])


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def device(namespace: str, name: str, own: str, other: str) -> int:
    """A TUN device: made here, then given to the namespace, where it stays ours to read and write."""
    file = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    ip("link", "set", name, "netns", namespace)
    ip("-n", namespace, "address", "add", own, "peer", other, "dev", name)
    for up in ("lo", name):
        ip("-n", namespace, "link", "set", up, "up")
    return file


def carry(link: Link, ways: list[Way]) -> None:
    lines = ""
    while True:
        due = [way.on_the_way[0][0] for way in ways if way.on_the_way]
        wait = max(0.0, min(due) - time.monotonic()) if due else None
        readable, _, _ = select.select([0, *(way.source for way in ways)], [], [], wait)
        now = time.monotonic()
        for way in ways:
            if way.source in readable:
                way.take(now)
            way.give(now)
        if 0 in readable:
            text = os.read(0, 4096).decode()
            if not text:
                return
            *whole, lines = (lines + text).split("\n")
            for line in whole:
                link.follow(line)
                print("set", flush=True)


def main() -> None:
    namespaces = sys.argv[1:3]
    try:
        for namespace in namespaces:
            ip("netns", "add", namespace)
        (a, b), link = namespaces, Link()
        devices = device(a, f"sga{os.getpid()}", "10.78.0.1", "10.78.0.2"), device(b, f"sgb{os.getpid()}", "10.78.0.2", "10.78.0.1")
        carry(link, [Way(link, *devices), Way(link, *reversed(devices))])
    finally:
        for namespace in namespaces:
            subprocess.run(["ip", "netns", "delete", namespace], check=False, stderr=subprocess.DEVNULL)


main()
