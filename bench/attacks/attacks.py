#!/usr/bin/env python3
"""Attacks a broker that it starts, and measures what others notice. See README.md."""

import argparse
import multiprocessing
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
# What a broker may take: see README.md.
MOST_MEMORY = 256 * MIB
MOST_WAIT = 0.250
# Seconds in which the Sessions of an attack are made.
WAIT = 30


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack(">H", len(data)) + data


def varint(number):
    out = b""
    while True:
        number, low = divmod(number, 128)
        out += bytes([low | (0x80 if number else 0)])
        if not number:
            return out


def packet(first, body):
    return bytes([first]) + varint(len(body)) + body


def connect_packet(client_id, user=None, password=None):
    flags = 2 | (0x80 if user else 0) | (0x40 if password else 0)
    body = string("MQTT") + bytes([5, flags, 0, 0, 0]) + string(client_id)
    return packet(0x10, body + (string(user) if user else b"") + (string(password) if password else b""))


def publish(topic, payload, qos=0, retain=False):
    first = 0x30 | qos << 1 | int(retain)
    return packet(first, string(topic) + (b"\x00\x01" if qos else b"") + b"\x00" + payload)


def subscribe(filters, qos=0, identifier=0):
    properties = b"\x0b" + varint(identifier) if identifier else b""
    head = b"\x00\x01" + varint(len(properties)) + properties
    return packet(0x82, head + b"".join(string(one) + bytes([qos]) for one in filters))


def unsubscribe(filters):
    return packet(0xA2, b"\x00\x01\x00" + b"".join(string(one) for one in filters))


class Client:
    """A Client that reads packets as they come."""

    def __init__(self, port, client_id, **credentials):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.send(connect_packet(client_id, **credentials))
        self.expect(0x20)

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        while True:
            length, shift, at = 0, 0, 1
            while at < len(self.buffer):
                byte = self.buffer[at]
                length |= (byte & 0x7F) << shift
                shift += 7
                at += 1
                if not byte & 0x80:
                    if len(self.buffer) >= at + length:
                        found, self.buffer = self.buffer[: at + length], self.buffer[at + length :]
                        return found
                    break
            more = self.socket.recv(1 << 16)
            if not more:
                raise ConnectionError("closed")
            self.buffer += more

    def expect(self, first):
        while True:
            got = self.receive()
            if got[0] & 0xF0 == first & 0xF0:
                return got


def cpu_seconds(process):
    """The time that the main thread has run. It does all the work but the check of passwords."""
    with open(f"/proc/{process}/task/{process}/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


def bystander(port, process, stop, slowest, most_work):
    """Publishes to itself, and notes the longest time until its message arrives, and the longest time
    that the broker ran meanwhile."""
    client = Client(port, "bystander", user="good", password="pencil")
    client.send(subscribe(["bystander"]))
    client.expect(0x90)
    while not stop.is_set():
        start, work = time.monotonic(), cpu_seconds(process)
        try:
            client.send(publish("bystander", b"x"))
            client.expect(0x30)
        except OSError:
            slowest.value = float("inf")
            return
        slowest.value = max(slowest.value, time.monotonic() - start)
        most_work.value = max(most_work.value, cpu_seconds(process) - work)
        time.sleep(0.01)


def quietly(work):
    """What a broker refuses ends an attack, and is no failure of it."""
    try:
        work()
    except OSError:
        pass


def drain(client, seconds):
    client.socket.settimeout(0.2)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if not client.socket.recv(1 << 20):
                return
        except TimeoutError:
            return


def fill_retained(port, name, topics):
    client = Client(port, "filler" + name)
    for start in range(0, len(topics), 1000):
        client.send(b"".join(publish(topic, b"x" * 10, retain=True) for topic in topics[start : start + 1000]))
    client.send(b"\xc0\x00")
    client.expect(0xD0)


def equal_filters(port):
    fill_retained(port, "1", [f"r/{number}" for number in range(10_000)])
    client = Client(port, "equal")
    client.send(subscribe(["r/#"] * 2000))
    quietly(lambda: drain(client, 30))


def wide_searches(port):
    fill_retained(port, "2", [f"{a}/{b}/{c}/x" for a in range(20) for b in range(50) for c in range(50)])
    client = Client(port, "wide")
    client.send(subscribe([f"+/+/+/y{number}" for number in range(1000)]))
    quietly(lambda: drain(client, 10))
    time.sleep(5)


def share_groups(port):
    client = Client(port, "groups")
    groups = [f"$share/{number}/x" for number in range(100_000)]
    for start in range(0, len(groups), 2000):
        client.send(subscribe(groups[start : start + 2000]))
        client.expect(0x90)
    quietly(lambda: [client.send(publish("x", b"y")) for _ in range(20)])
    quietly(lambda: drain(client, 10))

    def leave():
        for start in range(0, len(groups), 2000):
            client.send(unsubscribe(groups[start : start + 2000]))

    quietly(leave)
    quietly(lambda: drain(client, 10))


def share_groups_of_many(port):
    members = []
    for number in range(100):
        member = Client(port, f"member{number}")
        member.send(subscribe([f"$share/{number}-{group}/x" for group in range(1000)]))
        member.expect(0x90)
        members.append(member)
    writers = [Client(port, f"writer{number}") for number in range(20)]
    end = time.monotonic() + 8
    while time.monotonic() < end and (members or writers):
        for client in writers[:]:
            try:
                client.socket.setblocking(False)
                client.socket.send(publish("x", b"y") * 10)
            except BlockingIOError:
                pass
            except OSError:
                writers.remove(client)
        for client in members[::2]:
            # Every second one reads nothing.
            quietly(lambda client=client: (client.socket.setblocking(False), client.socket.recv(1 << 20)))
    for client in members:
        client.socket.close()
    time.sleep(2)


def overlapping_filters(port):
    # 65,536 Topic Filters with identifiers that match one topic of 16 levels.
    client = Client(port, "overlap")
    filters = ["/".join("+" if bits >> level & 1 else "a" for level in range(16)) for bits in range(1 << 16)]
    for start in range(0, len(filters), 1000):
        client.send(subscribe(filters[start : start + 1000], identifier=start // 1000 + 1))
        client.expect(0x90)
    writer = Client(port, "writer")
    end = time.monotonic() + 8
    while time.monotonic() < end:
        quietly(lambda: writer.send(publish("/".join("a" * 16), b"y") * 10))
    time.sleep(1)


def many_levels(port):
    client = Client(port, "levels")

    def work():
        for number in range(150):
            client.send(subscribe([f"{number:03}" + "/" * 65_500]))
            client.expect(0x90)

    quietly(work)


def websocket(port):
    stream = socket.create_connection(("127.0.0.1", port), timeout=3)
    stream.sendall(
        b"GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += stream.recv(1)
    return stream


def on_websockets(port, data):
    streams = [websocket(port) for _ in range(20)]
    end = time.monotonic() + 5
    while streams and time.monotonic() < end:
        for stream in list(streams):
            try:
                stream.settimeout(0.05)
                stream.sendall(data)
            except OSError:
                streams.remove(stream)


def websocket_fragments(port):
    # Binary frames of 60,000 bytes that are not the last of their message.
    start = b"\x02\xfe" + struct.pack(">H", 60_000) + bytes(4) + bytes(60_000)
    more = b"\x00" + start[1:]
    streams = [websocket(port) for _ in range(20)]
    for stream in streams:
        quietly(lambda stream=stream: stream.sendall(start))
    end = time.monotonic() + 5
    while streams and time.monotonic() < end:
        for stream in list(streams):
            try:
                stream.settimeout(0.05)
                stream.sendall(more * 10)
            except OSError:
                streams.remove(stream)


def websocket_giant(port):
    giant = b"\x82\xff" + struct.pack(">Q", 15 * MIB) + bytes(4) + b"\x10\xff\xff\x3f" + bytes(4 * MIB)
    on_websockets(port, giant)


def websocket_pings(port):
    on_websockets(port, (b"\x89\xfd" + bytes(4) + b"p" * 125) * 8000)


def unfinished_packets(port):
    clients = []
    part = bytes(MIB)
    for number in range(60):

        def work(number=number):
            client = Client(port, f"unfinished{number}")
            clients.append(client)
            client.send(b"\x30" + varint(16 * MIB - 100) + string("t") + b"\x00")
            for _ in range(15):
                client.send(part)

        quietly(work)
    time.sleep(2)


def large_messages(port):
    deaf = []
    for number in range(200):
        client = Client(port, f"deaf{number}")
        client.send(subscribe(["large", f"own/{number}"]))
        client.expect(0x90)
        deaf.append(client)
    writer = Client(port, "writer")
    message = bytes(MIB)

    def work():
        for number in range(300):
            writer.send(publish("large" if number % 3 == 0 else f"own/{number % 200}", message))

    quietly(work)
    time.sleep(2)


def leave_sessions(port, count, packets=None, expiry=None, will=None):
    """Makes Sessions, and leaves them without DISCONNECT, until the broker refuses one."""
    for start in range(0, count, 100):
        streams = []
        for number in range(start, min(start + 100, count)):
            lasts = struct.pack(">I", expiry() if expiry else 600)
            body = string("MQTT") + bytes([5, 6 if will else 2, 0, 0]) + b"\x05\x11" + lasts + string(f"away{number}")
            stream = socket.create_connection(("127.0.0.1", port), timeout=30)
            # It is reset, so that the next one can have its port.
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.sendall(packet(0x10, body + (will(number) if will else b"")) + (packets or b"\xc0\x00"))
            streams.append(stream)
        for stream in streams:
            answer = stream.recv(64)
            # CONNACK, then SUBACK or PINGRESP.
            while len(answer) < 4 or len(answer) < 2 + answer[1] + 2:
                more = stream.recv(64)
                if not more:
                    return
                answer += more
            if answer[3]:
                return
            stream.close()


def until(end):
    return max(0, round(end - time.monotonic()))


def wills_at_once(port):
    readers = [Client(port, f"reader{number}") for number in range(20)]
    for reader in readers:
        reader.send(subscribe(["will/#"]))
        reader.expect(0x90)
    end = time.monotonic() + WAIT
    topic, payload = b"will/retained", bytes(2000)

    def will(number):
        delay = b"\x05\x18" + struct.pack(">I", until(end))
        return delay + string(topic + b"/%d" % number) + string(payload)

    leave_sessions(port, 50_000, will=will)
    while time.monotonic() < end + 8:
        # They read, but not fast.
        for reader in readers:
            quietly(lambda reader=reader: (reader.socket.setblocking(False), reader.socket.recv(1 << 16)))
        time.sleep(0.01)


def sessions_that_expire(port):
    end = time.monotonic() + WAIT
    filters = [f"a/{number}" for number in range(10)]
    leave_sessions(port, 100_000, packets=subscribe(filters), expiry=lambda: until(end))
    time.sleep(until(end) + 8)


def many_receivers(port):
    writer = Client(port, "writer")
    leave_sessions(port, 100_000, packets=subscribe(["x"], qos=1))
    end = time.monotonic() + 8
    while time.monotonic() < end:
        writer.send(publish("x", bytes(100), qos=1))
        writer.expect(0x40)


def many_members(port):
    writer = Client(port, "writer")
    leave_sessions(port, 100_000, packets=subscribe(["$share/g/x"], qos=1))
    end = time.monotonic() + 8

    def work():
        while time.monotonic() < end:
            writer.send(publish("x", bytes(10)) * 1000)

    quietly(work)


def returning(port):
    """Clients whose Sessions have 60 MiB in flight reconnect, and read nothing."""
    writer = Client(port, "writer")

    def lasting(number):
        body = string("MQTT") + bytes([5, 0, 0, 0]) + b"\x05\x11" + struct.pack(">I", 600)
        client = socket.create_connection(("127.0.0.1", port), timeout=5)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(packet(0x10, body + string(f"returning{number}")) + subscribe(["large"], qos=1))
        client.recv(64)
        return client

    away = [lasting(number) for number in range(5)]
    for client in away:
        client.close()
    quietly(lambda: [writer.send(publish("large", bytes(6000), qos=1)) for _ in range(10_000)])
    end = time.monotonic() + 8
    while time.monotonic() < end:
        for number in range(5):
            quietly(lambda number=number: away.append(lasting(number)))
        while len(away) > 20:
            away.pop(0).close()


def deep_filters(port):
    clients = [Client(port, f"deep{number}") for number in range(3)]
    end = time.monotonic() + 8
    number = 0
    while time.monotonic() < end:
        for client in clients:
            number += 1
            filters = [f"{number}-{one}" + "/x" * 199 for one in range(10_000)]

            def work(client=client, filters=filters):
                client.send(subscribe(filters))
                client.expect(0x90)
                client.send(unsubscribe(filters))
                client.expect(0xB0)

            quietly(work)


def lasting_connect(client_id, clean_start=False):
    body = string("MQTT") + bytes([5, 2 if clean_start else 0, 0, 0]) + b"\x05\x11" + struct.pack(">I", 600)
    return packet(0x10, body + string(client_id))


def clean_start(port):
    """A Client with 100,000 Subscriptions connects with Clean Start 1, again and again."""
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        client.sendall(lasting_connect("many"))
        client.recv(64)
        for start in range(0, 100_000, 1000):
            client.sendall(subscribe([f"m/{number}" for number in range(start, start + 1000)], qos=1))
            wanted = 1000 + 6
            while wanted > 0:
                wanted -= len(client.recv(4096))
        client = socket.create_connection(("127.0.0.1", port), timeout=30)
        client.sendall(lasting_connect("many", clean_start=True))
        client.recv(64)
        client = socket.create_connection(("127.0.0.1", port), timeout=30)


def waiting_qos_0(port):
    """Clients for which QoS 0 messages wait connect, and read."""
    writer = Client(port, "writer")
    names = [f"waiting{number}" for number in range(10)]
    for name in names:
        client = socket.create_connection(("127.0.0.1", port), timeout=5)
        client.sendall(lasting_connect(name) + subscribe(["waiting"]))
        client.recv(64)
        client.close()
    end = time.monotonic() + 15
    while time.monotonic() < end:
        writer.send(publish("waiting", bytes(20)) * 10_000 + b"\xc0\x00")
        writer.expect(0xD0)
        returned = []
        for name in names:
            client = socket.create_connection(("127.0.0.1", port), timeout=5)
            client.sendall(lasting_connect(name))
            returned.append(client)
        for client in returned:
            client.settimeout(0.5)
            quietly(lambda client=client: [client.recv(1 << 20) for _ in range(20)])
            client.close()


def wrong_passwords(port):
    end = time.monotonic() + 5
    data = connect_packet("guess", user="good", password="wrong")
    while time.monotonic() < end:
        streams = []
        for _ in range(100):
            try:
                stream = socket.create_connection(("127.0.0.1", port), timeout=3)
                stream.sendall(data)
                streams.append(stream)
            except OSError:
                pass
        for stream in streams:
            quietly(lambda stream=stream: stream.recv(100))
            stream.close()


def strangers(port):
    streams = []
    for _ in range(3000):
        quietly(lambda: streams.append(socket.create_connection(("127.0.0.1", port), timeout=1)))
    time.sleep(3)


def trace_unread(port):
    client = Client(port, "chatter")
    for _ in range(100):
        client.send(publish("t", b"hello") * 1000)
        client.send(b"\xc0\x00")
        client.expect(0xD0)


# Options of the broker for some attacks.
OPTIONS = {"QoS 0 messages that wait for 10 Clients, which reconnect": ["queue_qos_0=yes"]}

# name: the attack, and whether it is on the WebSocket port.
ATTACKS = {
    "one SUBSCRIBE with 2,000 times r/# on 10,000 retained messages": (equal_filters, False),
    "1,000 filters +/+/+/y on 50,000 retained messages": (wide_searches, False),
    "100,000 share groups that match one PUBLISH, and leave": (share_groups, False),
    "100,000 share groups of 100 Clients, and 20 that publish to them": (share_groups_of_many, False),
    "65,536 filters with identifiers that match one topic": (overlapping_filters, False),
    "150 filters with 65,500 levels": (many_levels, False),
    "WebSocket: fragments that never end": (websocket_fragments, True),
    "WebSocket: giant frames": (websocket_giant, True),
    "WebSocket: Pings whose answers are not read": (websocket_pings, True),
    "60 packets of 16 MiB that are not completed": (unfinished_packets, False),
    "300 MiB to 200 Clients that do not read": (large_messages, False),
    "as many delayed Wills as there is memory for, due in one second": (wills_at_once, False),
    "as many Sessions as there is memory for, which expire in one second": (sessions_that_expire, False),
    "messages to as many Sessions as there is memory for": (many_receivers, False),
    "a Shared Subscription of as many Sessions as there is memory for": (many_members, False),
    "Sessions with 60 MiB in flight whose Clients reconnect, and do not read": (returning, False),
    "SUBSCRIBE and UNSUBSCRIBE with 10,000 filters of 200 levels": (deep_filters, False),
    "Clean Start of a Client with 100,000 Subscriptions": (clean_start, False),
    "QoS 0 messages that wait for 10 Clients, which reconnect": (waiting_qos_0, False),
    "wrong passwords on 100 connections at once": (wrong_passwords, False),
    "3,000 connections that say nothing": (strangers, False),
    "--trace to an output that is not read": (trace_unread, False),
}


def memory_of(process, row):
    with open(f"/proc/{process}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(row))


def play(broker, name, seconds, folder):
    attack, on_websocket = ATTACKS[name]
    users = tempfile.NamedTemporaryFile("w", suffix=".users")
    users.write("user good scram-sha-256 4096 W22ZaJ0SNY7soEsUEjb6gQ== "
                "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY= wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n"
                "user good2 password x\nanonymous\n")
    users.flush()
    # The verifier of RFC 7677: its password is "pencil".
    command = [broker, "serve", "--listen", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--users", users.name]
    if "--trace" in name:
        command.append("--trace")
    for option in OPTIONS.get(name, []):
        command += ["--option", option]
    if folder:
        store = os.path.join(folder, "store")
        if os.path.exists(store):
            os.remove(store)
        command += ["--store", store]

    def limit_memory():
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    errors = tempfile.TemporaryFile()
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, preexec_fn=limit_memory)
    ready = server.stdout.readline().decode().split()
    port = int(ready[1].rsplit(":", 1)[1])
    ws_port = int(ready[2].split("/")[2].rsplit(":", 1)[1])
    stop = multiprocessing.Event()
    slowest, most_work = multiprocessing.Value("d", 0.0), multiprocessing.Value("d", 0.0)
    other = multiprocessing.Process(target=bystander, args=(port, server.pid, stop, slowest, most_work))
    other.start()
    time.sleep(0.5)
    slowest.value = most_work.value = 0.0
    idle = memory_of(server.pid, "VmRSS")
    attacker = multiprocessing.Process(target=attack, args=(ws_port if on_websocket else port,))
    start = time.monotonic()
    attacker.start()
    attacker.join(seconds)
    took = time.monotonic() - start
    if attacker.is_alive():
        attacker.kill()
    attacker.join()
    alive = server.poll() is None
    grown = memory_of(server.pid, "VmHWM") - idle if alive else float("inf")
    stop.set()
    other.join(35)
    waited = slowest.value if not other.is_alive() else float("inf")
    if other.is_alive():
        other.kill()
    server.send_signal(signal.SIGKILL)
    server.wait()
    return took, grown, waited, most_work.value, alive


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("broker", help="the mqttspec program")
    arguments.add_argument("--only", default="", help="only attacks whose name contains this")
    arguments.add_argument("--seconds", type=float, default=60, help="the longest time of one attack")
    arguments.add_argument("--store", metavar="FOLDER", help="the broker has a store in this folder")
    arguments = arguments.parse_args()
    print("| attack | seconds | more memory | slowest answer to another Client | most work before an answer |")
    print("|---|--:|--:|--:|--:|")
    bad = 0
    for name in ATTACKS:
        if arguments.only not in name:
            continue
        took, grown, waited, work, alive = play(arguments.broker, name, arguments.seconds, arguments.store)
        held = alive and grown <= MOST_MEMORY and waited <= MOST_WAIT
        bad += not held
        memory = f"{grown / MIB:,.0f} MiB" if alive else "aborted"
        wait = f"{waited * 1000:,.0f} ms" if waited != float("inf") else "none"
        print(f"| {name} | {took:.1f} | {memory} | {wait} | {work * 1000:,.0f} ms |{'' if held else ' <- too much'}", flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
