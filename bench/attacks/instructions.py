#!/usr/bin/env python3
"""Counts the instructions of `mqttspec serve` for each message of ordinary traffic.

    instructions.py MQTTSPEC [BEFORE]

The broker runs under valgrind's callgrind. The count for a message is the difference of a run with
10,000 messages and one with 2,000, so that the start and the end of the program do not count. With
a second program, the script prints both counts, and the exit code is 1 if the first program needs
over 5 % more for any kind of message.
"""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

FEW, MANY = 2_000, 10_000
# Messages that are sent before the answers to them are awaited.
WINDOW = 64
PAYLOAD = b'x' * 64
TOPIC = b'\x00\x05a/b/c'
LIMIT = 1.05
# Name, QoS, and whether there is a subscriber.
LOADS = [
    ('QoS 0, no subscriber', 0, False),
    ('QoS 1, no subscriber', 1, False),
    ('QoS 2, no subscriber', 2, False),
    ('QoS 0 to one subscriber', 0, True),
    ('QoS 1 to one subscriber', 1, True),
]


class Client:
    """A Client of MQTT 3.1.1, which reads whole packets with a length below 128 bytes."""

    def __init__(self, port, name):
        self.socket = socket.create_connection(('127.0.0.1', port))
        self.socket.settimeout(120)
        self.buffer = b''
        body = b'\x00\x04MQTT\x04\x02\x00\x00' + len(name).to_bytes(2, 'big') + name
        self.send(bytes([0x10, len(body)]) + body)
        self.expect(0x20)

    def send(self, data):
        self.socket.sendall(data)

    def read(self):
        while len(self.buffer) < 2 or len(self.buffer) < 2 + self.buffer[1]:
            data = self.socket.recv(1 << 16)
            if not data:
                sys.exit('the broker closed the connection')
            self.buffer += data
        length = 2 + self.buffer[1]
        packet, self.buffer = self.buffer[:length], self.buffer[length:]
        return packet

    def expect(self, first):
        packet = self.read()
        if packet[0] != first:
            sys.exit(f'expected a packet that begins with {first:02x}, got {packet.hex()}')
        return packet


def publish(qos, number):
    identifier = number.to_bytes(2, 'big') if qos else b''
    body = TOPIC + identifier + PAYLOAD
    return bytes([0x30 | qos << 1, len(body)]) + body


def send_messages(port, count, qos, has_subscriber):
    writer, reader = Client(port, b'writer'), None
    if has_subscriber:
        reader = Client(port, b'reader')
        body = b'\x00\x01' + TOPIC + bytes([qos])
        reader.send(bytes([0x82, len(body)]) + body)
        reader.expect(0x90)
    for _ in range(0, count, WINDOW):
        numbers = range(1, WINDOW + 1)
        writer.send(b''.join(publish(qos, number) for number in numbers))
        if qos:
            acknowledged = [writer.expect(0x40 if qos == 1 else 0x50)[2:4] for _ in numbers]
        if qos == 2:
            writer.send(b''.join(b'\x62\x02' + number for number in acknowledged))
            for _ in numbers:
                writer.expect(0x70)
        if reader:
            received = [reader.expect(0x30 | qos << 1) for _ in numbers]
            if qos:
                at = 2 + len(TOPIC)
                reader.send(b''.join(b'\x40\x02' + packet[at:at + 2] for packet in received))
    # The broker has processed everything that was sent before these.
    for client in (writer, reader):
        if client:
            client.send(b'\xc0\x00')
            client.expect(0xd0)


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def instructions(program, count, qos, has_subscriber):
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, 'log')
        command = ['valgrind', '--tool=callgrind', f'--callgrind-out-file={folder}/out', f'--log-file={log}',
                   program, 'serve', '--listen', f'127.0.0.1:{port}']
        broker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(600):
                try:
                    socket.create_connection(('127.0.0.1', port)).close()
                    break
                except ConnectionRefusedError:
                    time.sleep(0.1)
            send_messages(port, count, qos, has_subscriber)
            broker.send_signal(signal.SIGTERM)
            broker.wait(60)
        finally:
            broker.kill()
        with open(log) as file:
            return int(re.search(r'Collected : (\d+)', file.read()).group(1))


def for_each_message(program, *load):
    few, many = (instructions(program, count, *load) for count in (FEW, MANY))
    rounds = -(-MANY // WINDOW) - -(-FEW // WINDOW)
    return (many - few) / (rounds * WINDOW)


def main():
    parser = argparse.ArgumentParser(description='Counts the instructions of `serve` for each message.')
    parser.add_argument('program')
    parser.add_argument('before', nargs='?')
    arguments = parser.parse_args()
    failed = False
    if arguments.before:
        print('| messages | before | after | |\n|---|--:|--:|--:|')
    else:
        print('| messages | instructions |\n|---|--:|')
    for name, *load in LOADS:
        after = for_each_message(arguments.program, *load)
        if arguments.before:
            before = for_each_message(arguments.before, *load)
            failed |= after > before * LIMIT
            print(f'| {name} | {before:,.0f} | {after:,.0f} | {after / before - 1:+.1%} |', flush=True)
        else:
            print(f'| {name} | {after:,.0f} |', flush=True)
    return 1 if failed else 0


sys.exit(main())
