#!/usr/bin/env python3
"""Judges hostile brokers and clients with `mqttspec run`, and measures what that costs. See README.md."""

import argparse
import json
import os
import random
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from attacks import MIB, packet, string, varint

# What a run may take: see README.md.
MOST_MEMORY = 1024 * MIB


def read_packet(connection):
    """The first byte and the body of the next packet."""
    first = read(connection, 1)[0]
    length, shift = 0, 0
    while True:
        byte = read(connection, 1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return first, read(connection, length)


def read(connection, count):
    out = b""
    while len(out) < count:
        more = connection.recv(count - len(out))
        if not more:
            raise ConnectionError("closed")
        out += more
    return out


class Session:
    """One connection: answers as a broker would, with `self.put` for every byte that it sends."""

    def __init__(self, connection, put=None, properties=b""):
        self.connection = connection
        self.put = put or connection.sendall
        self.properties = properties
        self.is_5 = False

    def connack(self):
        first, body = read_packet(self.connection)
        if first != 0x10:
            raise ConnectionError("no CONNECT")
        self.is_5 = body[6] == 5
        self.put(packet(0x20, b"\x00\x00" + self.block()))

    def block(self):
        return varint(len(self.properties)) + self.properties if self.is_5 else b""

    def answer_one(self):
        first, body = read_packet(self.connection)
        kind, identifier = first >> 4, body[:2]
        reason = b"\x00" + self.block() if self.is_5 and self.properties else b""
        if kind == 3 and first & 6:
            topic = struct.unpack(">H", body[:2])[0]
            identifier = body[2 + topic : 4 + topic]
            self.put(packet(0x40 if first & 6 == 2 else 0x50, identifier + reason))
        elif kind == 6:
            self.put(packet(0x70, identifier + reason))
        elif kind == 8:
            filters, at = 0, 2
            if self.is_5:
                at += 1 + body[2]
            while at < len(body):
                at += 3 + struct.unpack(">H", body[at : at + 2])[0]
                filters += 1
            self.put(packet(0x90, identifier + self.block() + b"\x00" * filters))
        elif kind == 10:
            self.put(packet(0xB0, identifier + self.block() + (b"\x00" if self.is_5 else b"")))
        elif kind == 12:
            self.put(b"\xd0\x00")

    def serve(self):
        self.connack()
        while True:
            self.answer_one()


def message(is_5, payload=b"x" * 10, topic=b"a/b"):
    return packet(0x30, string(topic) + (b"\x00" if is_5 else b"") + payload)


def for_ever(connection, data):
    data = data * max(1, (64 << 10) // len(data))
    while True:
        connection.sendall(data)


def streams_messages(connection):
    session = Session(connection)
    session.connack()
    for_ever(connection, message(session.is_5))


def streams_pingresp(connection):
    session = Session(connection)
    session.connack()
    for_ever(connection, b"\xd0\x00")


def streams_connack(connection):
    for_ever(connection, b"\x20\x03\x00\x00\x00")


def answers_and_streams(connection):
    """Every answer comes, and after the first SUBACK messages without end."""
    session = Session(connection)
    session.connack()
    lock = threading.Lock()

    def put(data):
        with lock:
            connection.sendall(data)

    def stream():
        try:
            while True:
                put(message(session.is_5) * 100)
                time.sleep(0.001)
        except OSError:
            pass

    session.put = put
    streaming = None
    while True:
        session.answer_one()
        if streaming is None:
            streaming = threading.Thread(target=stream, daemon=True)
            streaming.start()


def sends_256_mb(connection):
    session = Session(connection)
    session.connack()
    connection.sendall(b"\x30" + varint(268_435_455) + string(b"a/b") + b"\x00")
    for_ever(connection, b"x" * (64 << 10))


def sends_256_mb_first(connection):
    connection.sendall(b"\x20" + varint(268_435_455) + b"\x00\x00")
    for_ever(connection, b"\x00" * (64 << 10))


def sends_16_mb_messages(connection):
    session = Session(connection)
    session.connack()
    for_ever(connection, message(session.is_5, b"x" * (16 * MIB - 100)))


def drips(connection):
    def put(data):
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(0.02)

    Session(connection, put).serve()


def drips_for_ever(connection):
    read_packet(connection)
    connection.sendall(b"\x20" + varint(60_000) + b"\x00\x00" + varint(59_994))
    while True:
        connection.sendall(b"\x26")
        time.sleep(0.05)


def fills_properties(connection):
    """A Reason String and User Properties of the greatest length in every answer."""
    reason = b"\x1f" + string(b"<script>\x1b[31m".replace(b"\x1b", b"") + b"r" * 65_500)
    users = (b"\x26" + string(b"n" * 65_535) + string(b"v" * 65_535)) * 7
    Session(connection, properties=reason + users).serve()


def fills_disconnect(connection):
    session = Session(connection)
    session.connack()
    users = (b"\x26" + string(b"n" * 65_535) + string(b"v" * 65_535)) * 100
    read_packet(connection)
    if session.is_5:
        connection.sendall(packet(0xE0, b"\x80" + varint(len(users)) + users))
    else:
        connection.sendall(message(False, b"v" * len(users)))


def never_answers(connection):
    while connection.recv(1 << 16):
        pass


def never_answers_after_connack(connection):
    Session(connection).connack()
    never_answers(connection)


def never_reads(connection):
    connection.sendall(b"\x20\x02\x00\x00")
    time.sleep(3600)


def closes_at_once(connection):
    connection.close()


def closes_after_connack(connection):
    Session(connection).connack()
    connection.close()


def resets(connection):
    read_packet(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def garbage(connection):
    source = random.Random(1)
    read_packet(connection)
    while True:
        connection.sendall(source.randbytes(4096))


def garbage_after_connack(connection):
    source = random.Random(1)
    Session(connection).connack()
    while True:
        connection.sendall(source.randbytes(4096))


def garbage_as_answers(connection):
    """Each request is answered, with one byte of the answer changed."""
    source = random.Random(2)

    def put(data):
        changed = bytearray(data)
        changed[source.randrange(len(changed))] = source.randrange(256)
        connection.sendall(bytes(changed))

    session = Session(connection)
    session.connack()
    session.put = put
    while True:
        session.answer_one()


BROKERS = [
    ("messages for ever after CONNACK", streams_messages),
    ("PINGRESP for ever after CONNACK", streams_pingresp),
    ("CONNACK for ever", streams_connack),
    ("answers, and messages for ever", answers_and_streams),
    ("a message of 256 MB after CONNACK", sends_256_mb),
    ("a CONNACK of 256 MB", sends_256_mb_first),
    ("messages of 16 MB for ever", sends_16_mb_messages),
    ("every answer byte by byte", drips),
    ("a CONNACK byte by byte that never ends", drips_for_ever),
    ("Reason String and User Properties of 1 MB in each answer", fills_properties),
    ("DISCONNECT with 13 MB of User Properties", fills_disconnect),
    ("no answer", never_answers),
    ("no answer after CONNACK", never_answers_after_connack),
    ("reads nothing", never_reads),
    ("closes at once", closes_at_once),
    ("closes after CONNACK", closes_after_connack),
    ("resets after CONNECT", resets),
    ("random bytes", garbage),
    ("random bytes after CONNACK", garbage_after_connack),
    ("answers with one wrong byte", garbage_as_answers),
]


class Adapter:
    """An adapter that drives a client which does what its behaviour says after `connect`.

    The client has threads of its own, so the adapter still answers."""

    def __init__(self, behave):
        self.behave = behave
        self.output = threading.Lock()
        self.new = None
        self.connected = False

    def put(self, line):
        with self.output:
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()

    def run(self):
        for line in sys.stdin:
            command = json.loads(line)
            reply = {}
            if "hello" in command:
                reply = {"name": "hostile", "version": "1", "versions": ["3.1.1", "5.0"], "supports": []}
            if "new" in command:
                self.new, self.connected = command["new"], False
            self.put({"id": command["id"], "ok": reply})
            if "connect" in command:
                behave = threading.Thread(target=self.run_client, args=[command["connect"]], daemon=True)
                behave.start()

    def run_client(self, connect):
        try:
            self.behave(self, connect)
        except (OSError, EOFError):
            # The harness has closed the connection.
            pass

    def open(self, connect, clean=True):
        """Connects as a client should."""
        connection = socket.create_connection((self.new["address"], self.new["port"]))
        is_5 = self.new["version"] == "5.0"
        flags = 2 if connect["clean_start"] else 0
        identifier = connect["client_id"].encode()
        keep_alive = struct.pack(">H", connect["keep_alive"])
        body = string(b"MQTT") + bytes([5 if is_5 else 4, flags]) + keep_alive + (b"\x00" if is_5 else b"")
        connection.sendall(packet(0x10, body + string(identifier)))
        return connection

    def open_once(self, connect):
        """Connects, and reads until CONNACK."""
        connection = self.open(connect)
        read_packet(connection)
        self.put({"event": "connected", "session_present": False})
        return connection


def babbles(adapter, connect):
    adapter.open_once(connect)
    while True:
        adapter.put({"event": "received", "topic": "t", "payload": "", "qos": 0, "retain": False})


def babbles_large(adapter, connect):
    adapter.open_once(connect)
    while True:
        adapter.put({"event": "received", "topic": "t", "payload": "eHh4" * 200_000, "qos": 0, "retain": False})


def endless_line(adapter, connect):
    adapter.open_once(connect)
    while True:
        sys.stdout.write("x" * 65_536)


def babbles_errors(adapter, connect):
    adapter.open_once(connect)
    while True:
        sys.stderr.write("\x1b[31mx" * 10_000 + "\n")


def prints_garbage(adapter, connect):
    adapter.open_once(connect)
    sys.stdout.write("\x1b]0;title\x07\x1b[31m<script>alert(1)</script>\n")
    sys.stdout.flush()


def long_reasons(adapter, connect):
    adapter.open_once(connect)
    while True:
        adapter.put({"event": "disconnected", "error": "network", "text": "\x1b[31m" + "r" * 900_000})


def sends_pingreq(adapter, connect):
    for_ever(adapter.open_once(connect), b"\xc0\x00")


def sends_messages(adapter, connect):
    connection = adapter.open_once(connect)
    for_ever(connection, message(adapter.new["version"] == "5.0"))


def sends_256_mb_to_server(adapter, connect):
    connection = adapter.open_once(connect)
    connection.sendall(b"\x30" + varint(268_435_455) + string(b"a/b") + b"\x00")
    for_ever(connection, b"x" * (64 << 10))


def drips_connect(adapter, connect):
    connection = socket.create_connection((adapter.new["address"], adapter.new["port"]))
    connection.sendall(b"\x10" + varint(60_000))
    while True:
        connection.sendall(b"\x00")
        time.sleep(0.05)


def opens_for_ever(adapter, connect):
    while True:
        adapter.open(connect).close()


def sends_garbage(adapter, connect):
    source = random.Random(3)
    connection = adapter.open_once(connect)
    while True:
        connection.sendall(source.randbytes(4096))


def never_connects(adapter, connect):
    time.sleep(3600)


def ends(adapter, connect):
    os._exit(3)


CLIENTS = [
    ("events for ever", babbles),
    ("events of 800 kB for ever", babbles_large),
    ("a line that never ends", endless_line),
    ("errors for ever", babbles_errors),
    ("a line that is none", prints_garbage),
    ("reasons of 900 kB", long_reasons),
    ("PINGREQ for ever", sends_pingreq),
    ("messages for ever", sends_messages),
    ("a message of 256 MB", sends_256_mb_to_server),
    ("a CONNECT byte by byte that never ends", drips_connect),
    ("connections for ever", opens_for_ever),
    ("random bytes", sends_garbage),
    ("never connects", never_connects),
    ("ends", ends),
]


def serve(listener, behave):
    def one(connection):
        try:
            behave(connection)
        except (OSError, IndexError, struct.error):
            pass
        finally:
            connection.close()

    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=one, args=[connection], daemon=True).start()


def start_broker(behave):
    """Runs a hostile broker in a process of its own. Returns its process and port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    child = os.fork()
    if child == 0:
        try:
            serve(listener, behave)
        finally:
            os._exit(0)
    port = listener.getsockname()[1]
    listener.close()
    return child, port


def memory_of(pid):
    """The most memory that a process has used."""
    try:
        with open(f"/proc/{pid}/status") as status:
            line = next(line for line in status if line.startswith("VmHWM"))
        return int(line.split()[1]) << 10
    except (OSError, StopIteration):
        return 0


def run(command, folder, seconds):
    """Runs a command; its time, memory, exit code (None: it was killed after `seconds`)."""
    output = open(os.path.join(folder, "output"), "wb")
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    most, code = 0, None
    while time.monotonic() - start < seconds:
        most = max(most, memory_of(process.pid))
        code = process.poll()
        if code is not None:
            break
        if most > 8 << 30:
            break
        time.sleep(0.02)
    took = time.monotonic() - start
    if code is None:
        process.kill()
        process.wait()
    output.close()
    return took, most, code


def size_of_reports(folder):
    reports = os.path.join(folder, "report")
    names = os.listdir(reports) if os.path.isdir(reports) else []
    return len(names), sum(os.path.getsize(os.path.join(reports, name)) for name in names)


def judge(name, arguments, given):
    """Runs mqttspec on a peer, and prints a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        limit = ["--time-limit", str(given.limit)] if given.limit else []
        command = [os.path.abspath(given.mqttspec), "run", *arguments, "--report", "report", *limit]
        took, most, code = run(command + given.filters, folder, given.seconds)
        files, size = size_of_reports(folder)
        with open(os.path.join(folder, "output"), errors="replace") as output:
            lines = [line for line in output.read().splitlines() if not line.startswith("wrote ")]
        escaped = all(line.isprintable() for line in lines)
    good = code in (0, 1, 2) and files > 0 and most <= MOST_MEMORY and escaped
    code = "killed" if code is None else code
    reports = f"{files} files, {size / MIB:.1f} MiB" if files else "none"
    note = "" if escaped else ", control characters in the output"
    print(f"| {name} | {took:.1f} s | {most / MIB:.0f} MiB | {code} | {reports}{note} |", flush=True)
    if given.last and lines:
        print("    " + lines[-1][:200])
    return good


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("mqttspec", help="the program")
    arguments.add_argument("--only", default="", help="judge only peers whose name has this text")
    arguments.add_argument("--seconds", type=float, default=300, help="kill a run after this time")
    arguments.add_argument("--limit", type=int, help="the --time-limit of each run")
    arguments.add_argument("--last", action="store_true", help="print the last line of each output")
    arguments.add_argument("--adapter", help="be the adapter of this hostile client")
    arguments.add_argument("--kind", choices=["brokers", "clients"], help="only these peers")
    given, given.filters = arguments.parse_known_args()
    if given.adapter:
        Adapter(dict(CLIENTS)[given.adapter]).run()
        return
    bad = 0
    print("| peer | time | memory | exit code | reports |\n|---|--:|--:|--:|--:|")
    for name, behave in BROKERS if given.kind != "clients" else []:
        if given.only in name:
            child, port = start_broker(behave)
            bad += not judge("broker: " + name, ["--target", f"mqtt://127.0.0.1:{port}"], given)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    for name, _ in CLIENTS if given.kind != "brokers" else []:
        if given.only in name:
            adapter = shlex.join([sys.executable, os.path.abspath(__file__), "x", "--adapter", name])
            bad += not judge("client: " + name, ["--client", adapter], given)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
