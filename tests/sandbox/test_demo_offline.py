"""The demo in a network of its own that has nothing but the loopback interface."""

from __future__ import annotations

import subprocess
import sys

LOOPBACK_UP = """
import fcntl, os, socket, struct
IFF_UP, SIOCSIFFLAGS = 1, 0x8914
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
"""

PAGE = """
import subprocess, sys, urllib.request
command = [sys.executable, "-m", "kochava_bot_middleware", "demo", "--no-browser"]
with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
    address = demo.stdout.readline().split(" (")[0].rpartition(" ")[2]
    page = urllib.request.urlopen(address).read().decode()
    demo.terminate()
print(page)
"""

STORY = """
from kochava_bot_middleware.cli.main import main
sys.exit(main(["demo", "--headless", "--people=2", "--seconds=1"]))
"""


def without_network(program: str) -> subprocess.CompletedProcess[str]:
    """Run *program* where no other machine can be reached."""
    command = ["unshare", "--map-root-user", "--net", sys.executable, "-c", LOOPBACK_UP + "import sys\n" + program]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_the_page_needs_no_network() -> None:
    """All that it loads comes from its own server."""
    ran = without_network(PAGE)
    assert ran.returncode == 0, ran.stderr
    assert "<title>" in ran.stdout
    assert "https://" not in ran.stdout


def test_the_story_needs_no_network() -> None:
    """It ends as with a network: nothing is missing."""
    ran = without_network(STORY)
    assert ran.returncode == 0, ran.stdout + ran.stderr
