"""Runs the situations of `main.rs` with Eclipse Paho for Python. Exit code 0: success; 77: not supported by Paho."""

import os
import queue
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

PATIENCE = 30  # seconds; far longer than any situation takes
VERSIONS = [mqtt.MQTTv311, mqtt.MQTTv5]


class Client:
    """A Client whose callbacks fill queues, so that the script can wait for events."""

    def __init__(self, client_id, version, transport="tcp", setup=lambda client: None, place="MQTTSPEC_MQTT",
                 clean=True, expiry=0):
        self.connected, self.messages, self.done = queue.Queue(), queue.Queue(), queue.Queue()
        options = {} if version == mqtt.MQTTv5 else {"clean_session": clean}
        self.client = client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id, protocol=version,
                                           transport=transport, **options)
        client.on_connect = lambda c, u, flags, reason, p: self.connected.put((flags, reason))
        client.on_message = lambda c, u, message: self.messages.put(message)
        client.on_publish = lambda c, u, mid, reason, p: self.done.put(mid)
        client.on_subscribe = lambda c, u, mid, reasons, p: self.done.put(mid)
        if transport == "websockets":
            client.ws_set_options(path="/mqtt")
        setup(client)
        host, port = os.environ[place].rsplit(":", 1)
        options = {}
        if version == mqtt.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)
            if expiry:
                properties.SessionExpiryInterval = expiry
            options = {"clean_start": clean, "properties": properties}
        client.connect("localhost" if place == "MQTTSPEC_MQTTS" else host, int(port), keepalive=20, **options)
        client.loop_start()
        flags, reason = self.connected.get(timeout=PATIENCE)
        assert not reason.is_failure, reason
        self.session_present = flags.session_present

    def wait(self, mid):
        while self.done.get(timeout=PATIENCE) != mid:
            pass

    def subscribe(self, topic, qos=0):
        if self.client.protocol == mqtt.MQTTv5:
            self.wait(self.client.subscribe(topic, options=SubscribeOptions(qos=qos))[1])
        else:
            self.wait(self.client.subscribe(topic, qos)[1])

    def publish(self, topic, payload, qos=1, retain=False, properties=None):
        self.wait(self.client.publish(topic, payload, qos, retain, properties).mid)

    def receive(self):
        return self.messages.get(timeout=PATIENCE)

    def nothing_more(self):
        """Everything that the broker sent before has arrived once the Client's own message has arrived."""
        self.subscribe("fence/" + self.client._client_id.decode())
        self.publish("fence/" + self.client._client_id.decode(), "fence")
        assert self.receive().payload == b"fence"

    def end(self):
        self.client.disconnect()
        self.client.loop_stop()


def connect():
    for version in VERSIONS:
        Client("connect", version).end()


def qos():
    for version in VERSIONS:
        client = Client("qos", version)
        for level in range(3):
            client.subscribe(f"qos/{level}", level)
            for number in range(20):
                client.publish(f"qos/{level}", f"{number}", level)
            for number in range(20):
                message = client.receive()
                assert (message.payload, message.qos) == (f"{number}".encode(), level), (message.payload, message.qos)
        client.nothing_more()
        client.end()


def retained():
    for version in VERSIONS:
        client = Client("retained", version)
        client.publish("retained", "kept", 1, retain=True)
        client.subscribe("retained", 1)
        message = client.receive()
        assert message.retain and message.payload == b"kept"
        client.publish("retained", "", 1, retain=True)
        assert client.receive().payload == b""
        client.end()
        client = Client("retained", version)
        client.subscribe("retained", 1)
        client.nothing_more()
        client.end()


def will():
    for version in VERSIONS:
        watcher = Client("watcher", version)
        watcher.subscribe("will", 1)
        owner = Client("owner", version, setup=lambda client: client.will_set("will", "gone", 1))
        # Closes the Network Connection without a DISCONNECT.
        owner.client.loop_stop()
        owner.client.socket().close()
        assert watcher.receive().payload == b"gone"
        watcher.end()


def resume():
    for version in VERSIONS:
        session = {"clean": False, "expiry": 3600}
        first = Client(f"resume-{version}", version, **session)
        assert not first.session_present
        first.subscribe("resume", 2)
        first.end()
        publisher = Client("publisher", version)
        for level in (1, 2):
            publisher.publish("resume", f"{level}", level)
        publisher.end()
        second = Client(f"resume-{version}", version, **session)
        assert second.session_present
        got = [second.receive() for _ in range(2)]
        assert [(m.payload, m.qos) for m in got] == [(b"1", 1), (b"2", 2)], got
        second.end()


def shared():
    members = [Client(f"member-{number}", mqtt.MQTTv5) for number in range(2)]
    for member in members:
        member.subscribe("$share/group/shared", 1)
    publisher = Client("publisher", mqtt.MQTTv5)
    for number in range(20):
        publisher.publish("shared", f"{number}")
    for member in members:
        member.subscribe("fence")
    publisher.publish("fence", "fence")
    got = []
    for member in members:
        count = len(got)
        while (message := member.receive()).topic != "fence":
            got.append(int(message.payload))
        assert len(got) > count, "a member got no message"
    assert sorted(got) == list(range(20)), got
    for client in [publisher, *members]:
        client.end()


def properties():
    client = Client("properties", mqtt.MQTTv5)
    client.subscribe("properties", 1)
    sent = Properties(PacketTypes.PUBLISH)
    sent.PayloadFormatIndicator = 1
    sent.ContentType = "text/plain"
    sent.ResponseTopic = "answers"
    sent.CorrelationData = b"\x00\x01"
    sent.MessageExpiryInterval = 100
    sent.UserProperty = [("b", "2"), ("a", "1"), ("b", "2")]
    client.publish("properties", "hi", 1, properties=sent)
    got = client.receive().properties
    assert got.UserProperty == [("b", "2"), ("a", "1"), ("b", "2")], got.UserProperty
    assert (got.ContentType, got.ResponseTopic, got.CorrelationData) == ("text/plain", "answers", b"\x00\x01")
    assert got.PayloadFormatIndicator == 1 and 0 < got.MessageExpiryInterval <= 100
    client.end()


def round_trip(**how):
    for version in VERSIONS:
        client = Client("there", version, **how)
        client.subscribe("there", 2)
        client.publish("there", "x" * 100_000, 2)
        assert client.receive().payload == b"x" * 100_000
        client.end()


def tls():
    round_trip(place="MQTTSPEC_MQTTS", setup=lambda client: client.tls_set(os.environ["MQTTSPEC_CA"]))


def websocket():
    round_trip(place="MQTTSPEC_WS", transport="websockets")


if __name__ == "__main__":
    # A stuck thread of Paho must not keep the process alive.
    threading.Timer(100, lambda: os._exit(1)).start()
    globals()[sys.argv[1]]()
    os._exit(0)
