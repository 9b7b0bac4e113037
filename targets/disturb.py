#!/usr/bin/env python3
"""Runs the suite on a broker behind a slow network, and on one that dies or stops.

    python3 targets/disturb.py --program target/release/mqttspec --target-file targets/mosquitto.toml

compares the verdicts of each disturbed run with those of an undisturbed one. README.md has more.
The exit code is 1 if another verdict differs than that of a scenario named as the cause.
"""

import argparse
import asyncio
import json
import os
import pathlib
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib


DISTURBANCES = {
    "undisturbed": [],
    "0 ms": ["--delay", "0"],
    "100 ms": ["--delay", "100"],
    "300 ms": ["--delay", "300"],
    "dies once": ["--die-after", "5"],
    "dies of a packet": ["--die-of", "e1"],
    "stops for 2 s": ["--stop-after", "5"],
    "refuses QoS 1 after a packet": ["--poison", "c001"],
}

# The port of the broker, which is not the one that the suite connects to.
PORT = "@PORT@"


def free_port(taken):
    """A port that no other relay of the run has taken: the broker may not listen on it yet.

    It is not one of the ports that mqttspec gives to servers (10,000 to 29,999), nor one of those of
    outgoing connections, which could take it before the broker listens. `taken` is a folder."""
    taken.mkdir(exist_ok=True)
    while True:
        port = random.randrange(30_000, 32_768)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
                (taken / str(port)).touch(exist_ok=False)
                return port
            except OSError:
                continue


class Relay:
    """Starts a broker, forwards to it, and ends when it ends."""

    def __init__(self, options):
        self.options = options
        self.delay = options.delay / 1000
        self.is_poisoned = False
        self.dir = pathlib.Path(options.dir)
        kept = self.dir / "relay-port"
        if not kept.exists():
            kept.write_text(str(free_port(pathlib.Path(options.once).parent / "ports")))
        self.port = int(kept.read_text())
        for file in self.dir.iterdir():
            if file.is_file() and PORT in (text := file.read_text(errors="replace")):
                file.write_text(text.replace(PORT, str(self.port)))
        self.broker = subprocess.Popen([word.replace(PORT, str(self.port)) for word in options.command])

    async def run(self):
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            except OSError:
                if self.broker.poll() is not None:
                    return self.broker.returncode
                await asyncio.sleep(0.01)
        await asyncio.start_server(self.forward, "127.0.0.1", self.options.port, backlog=1000)
        trouble = asyncio.create_task(self.trouble())
        while self.broker.poll() is None:
            await asyncio.sleep(0.02)
        trouble.cancel()
        return 1

    async def trouble(self):
        """Disturbs the first broker: none that is started later, for a scenario or in its place."""
        after = self.options.die_after or self.options.stop_after
        try:
            pathlib.Path(self.options.once).touch(exist_ok=False)
        except FileExistsError:
            return
        if not after:
            return
        await asyncio.sleep(after)
        if self.options.die_after:
            self.broker.kill()
        else:
            self.broker.send_signal(signal.SIGSTOP)
            await asyncio.sleep(2)
            self.broker.send_signal(signal.SIGCONT)

    async def forward(self, reader, writer):
        try:
            # The hand-shake of TCP takes a round trip too.
            await asyncio.sleep(self.delay * 2)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(self.pump(reader, far_writer, True), self.pump(far_reader, writer, False))

    def takes(self, data):
        """What becomes of bytes that a Client sends. Returns whether they reach the broker."""
        if self.options.die_of and data.startswith(bytes.fromhex(self.options.die_of)):
            self.broker.kill()
        if self.options.poison and data.startswith(bytes.fromhex(self.options.poison)):
            self.is_poisoned = True
        return not (self.is_poisoned and data[0] & 0xF6 == 0x32)

    async def pump(self, reader, writer, is_of_client):
        arrived = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def write():
            while True:
                due, data = await arrived.get()
                await asyncio.sleep(max(0, due - loop.time()))
                try:
                    if data is None:
                        writer.close()
                        return
                    if data is ConnectionResetError:
                        writer.transport.abort()
                        return
                    writer.write(data)
                    await writer.drain()
                except OSError:
                    return

        writing = asyncio.create_task(write())
        while True:
            try:
                data = await reader.read(65536) or None
            except OSError:
                data = ConnectionResetError
            if is_of_client and isinstance(data, bytes) and not self.takes(data):
                data = None
            arrived.put_nowait((loop.time() + self.delay, data))
            if not isinstance(data, bytes):
                break
        await writing


def relay(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--once", required=True, help="a file that the first broker creates")
    parser.add_argument("--delay", type=float, default=0)
    parser.add_argument("--die-after", type=float)
    parser.add_argument("--die-of", help="the first bytes of a packet, in hex")
    parser.add_argument("--stop-after", type=float)
    parser.add_argument("--poison", help="the same: after them the broker closes who publishes at QoS 1")
    parser.add_argument("command", nargs="+")
    sys.exit(asyncio.run(Relay(parser.parse_args(arguments)).run()))


def quoted(value):
    return json.dumps(value)


def wrapped(target, disturbance, once):
    """The text of a target file whose broker is behind the relay."""
    me = f"{sys.executable} {pathlib.Path(__file__).resolve()}"
    options = f"--port {{port}} --dir {{dir}} --once {once} {' '.join(disturbance)}"
    lines = [f"name = {quoted(target['name'])}"]
    for key in ("ready_within_ms", "jobs", "servers", "durable", "configured", "option"):
        if key in target:
            lines.append(f"{key} = {quoted(target[key])}")
    for key in ("start", "start_with_options"):
        if key in target:
            command = target[key].replace("{port}", PORT)
            lines.append(f"{key} = {quoted(f'{me} relay {options} -- {command}')}")
    for table in ("capabilities", "credentials", "second_identity", "tolerance"):
        if table in target:
            lines += [f"[{table}]"] + [f"{key} = {quoted(one)}" for key, one in target[table].items()]
    lines.append("[files]")
    for name, text in target.get("files", {}).items():
        lines.append(f"{quoted(name)} = {quoted(text.replace('{port}', PORT))}")
    return "\n".join(lines) + "\n"


def run(options, name, out):
    disturbance = ["1" if options.soon and one == "5" else one for one in DISTURBANCES[name]]
    folder = out / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    file = pathlib.Path(options.target_file)
    if disturbance:
        target = tomllib.loads(file.read_text())
        file = folder / "target.toml"
        once = folder / "disturbed"
        once.unlink(missing_ok=True)
        shutil.rmtree(folder / "ports", ignore_errors=True)
        file.write_text(wrapped(target, disturbance, once.resolve()))
    command = [options.program, "run", *options.filter, "--target-file", str(file), "--report", str(folder)]
    began = time.monotonic()
    with open(folder / "output.txt", "w", encoding="utf-8") as output:
        subprocess.run(command, stdout=output, stderr=output, check=False)
    return time.monotonic() - began, json.loads((folder / "report.json").read_text())


def verdicts(report):
    return {
        (case["file"], case["version"], case["row"] or ""): (case["verdict"], case["reason"])
        for case in report["cases"]
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default="target/release/mqttspec")
    parser.add_argument("--target-file", default="targets/mosquitto.toml")
    parser.add_argument("--out", help="a folder for the reports")
    parser.add_argument("--soon", action="store_true", help="dies and stops after 1 s, not 5 s")
    parser.add_argument("--only", choices=DISTURBANCES, action="append")
    parser.add_argument("filter", nargs="*", help="scenarios, as for `mqttspec run`")
    options = parser.parse_args()
    out = pathlib.Path(options.out or tempfile.mkdtemp(prefix="disturb-"))
    print(f"reports: {out}\n\n| broker | s | passed | failed | not judged | errors | other verdicts | named as the cause |")
    print("|---|---|---|---|---|---|---|---|")
    undisturbed, differing = None, False
    for name in dict.fromkeys(["undisturbed", *(options.only or DISTURBANCES)]):
        took, report = run(options, name, out)
        found = verdicts(report)
        undisturbed = undisturbed or found
        count = [sum(one == kind for one, _ in found.values()) for kind in ("pass", "fail", "not-judged", "error")]
        others = [key for key, one in found.items() if one[0] != undisturbed[key][0]]
        # The scenario that ends the server, or after which it no longer serves, is named.
        named = [key for key in others if "the server" in found[key][1] and found[key][0] == "error"]
        differing |= len(others) > len(named)
        counts = " | ".join(map(str, count))
        print(f"| {name} | {took:.0f} | {counts} | {len(others) - len(named)} | {len(named)} |", flush=True)
        for key in others:
            (before, _), (after, reason) = undisturbed[key], found[key]
            print(f"  {' '.join(key)}: {before} -> {after} {reason}", file=sys.stderr, flush=True)
    sys.exit(differing)


if __name__ == "__main__":
    if sys.argv[1:2] == ["relay"]:
        relay(sys.argv[2:])
    else:
        main()
