"""Drives Eclipse Paho for Python by the adapter protocol of mqttspec. Needs: pip install paho-mqtt==2.1.0"""

import base64
import json
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

try:
    from importlib.metadata import version
    VERSION = version("paho-mqtt")
except ImportError:
    VERSION = "unknown"


# The properties of a message, as the protocol and as the library names them.
NAMES = {"payload_format": "PayloadFormatIndicator", "message_expiry": "MessageExpiryInterval",
         "content_type": "ContentType", "response_topic": "ResponseTopic"}


class Unsupported(Exception):
    pass


def say(**line):
    # One write, because the network thread speaks too.
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Adapter:
    def __init__(self):
        self.client, self.manual, self.messages, self.ids, self.early = None, False, {}, {}, {}

    def hello(self, protocol):
        return {"name": "paho-mqtt", "version": VERSION, "language": "Python", "versions": ["3.1.1", "5.0"],
                "supports": ["reconnect", "manual-acknowledgement"]}

    def new(self, version, address, port, options, state_dir):
        self.__init__()
        self.is5, self.address, self.options = version == "5.0", (address, port), dict(options)
        self.manual = self.options.pop("acknowledgement", "") == "manual"
        self.reconnect = self.options.pop("reconnect", "1") == "1"
        if self.options:
            raise Unsupported("paho-mqtt has no " + ", ".join(self.options))

    def make(self, client_id, clean_start):
        options = {} if self.is5 else {"clean_session": clean_start}
        self.clean = clean_start
        self.client = client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5 if self.is5 else mqtt.MQTTv311,
            manual_ack=self.manual, reconnect_on_failure=self.reconnect, **options)
        client.reconnect_delay_set(1, 2)
        client.on_connect, client.on_disconnect = self.connected, self.disconnected
        client.on_message, client.on_publish = self.received, self.published
        client.on_subscribe, client.on_unsubscribe = self.subscribed, self.unsubscribed

    def connect(self, client_id, clean_start, keep_alive, session_expiry=None, will=None, **fields):
        if self.client is None:
            self.make(client_id, clean_start)
        elif not self.is5 and clean_start != self.clean:
            raise Unsupported("paho-mqtt sets Clean Session when the client is made")
        client = self.client
        if "user_name" in fields:
            client.username_pw_set(fields.pop("user_name"), fields.pop("password", None))
        if will:
            if set(will) - {"topic", "payload", "qos", "retain"}:
                raise Unsupported("this adapter sets no properties of a Will")
            client.will_set(will["topic"], base64.b64decode(will["payload"]), will["qos"], will["retain"])
        properties = None
        if self.is5:
            properties = Properties(PacketTypes.CONNECT)
            if session_expiry:
                properties.SessionExpiryInterval = session_expiry
            for name in ["receive_maximum", "maximum_packet_size", "topic_alias_maximum"]:
                if name in fields:
                    setattr(properties, name.title().replace("_", ""), int(fields.pop(name)))
        if fields:
            raise Unsupported("this adapter sets no " + ", ".join(fields))
        options = {"clean_start": clean_start, "properties": properties} if self.is5 else {}
        client.connect(*self.address, keepalive=keep_alive, **options)
        client.loop_start()

    def properties_of(self, packet, fields):
        properties = Properties(packet)
        for name, value in (fields or {}).items():
            if name == "user_property":
                for pair in value:
                    properties.UserProperty = tuple(pair)
            elif name == "subscription_identifier":
                properties.SubscriptionIdentifier = value[0]
            else:
                value = base64.b64decode(value) if name == "correlation_data" else value
                setattr(properties, NAMES.get(name, "CorrelationData"), value)
        return properties if fields else None

    def publish(self, topic, payload, qos, retain, properties=None):
        properties = self.properties_of(PacketTypes.PUBLISH, properties)
        return self.client.publish(topic, base64.b64decode(payload), qos, retain, properties).mid

    def subscribe(self, subscriptions, properties=None):
        if self.is5:
            topics = [(s["filter"], SubscribeOptions(s["qos"], s["no_local"], s["retain_as_published"],
                                                     s["retain_handling"])) for s in subscriptions]
        else:
            topics = [(s["filter"], s["qos"]) for s in subscriptions]
        return self.mid(self.client.subscribe(
            topics, properties=self.properties_of(PacketTypes.SUBSCRIBE, properties)))

    def unsubscribe(self, filters, properties=None):
        return self.mid(self.client.unsubscribe(filters, self.properties_of(PacketTypes.UNSUBSCRIBE, properties)))

    def mid(self, result):
        if result[0] != mqtt.MQTT_ERR_SUCCESS:
            raise RuntimeError(mqtt.error_string(result[0]))
        return result[1]

    def acknowledge(self, message, reason):
        if reason:
            raise Unsupported("paho-mqtt acknowledges with success only")
        if message != next(iter(self.messages)):
            raise Unsupported("paho-mqtt leaves the order of acknowledgements to the application")
        self.client.ack(*self.messages.pop(message))
        return "acknowledged"

    def disconnect(self, reason=0, session_expiry=None):
        if self.is5:
            properties = Properties(PacketTypes.DISCONNECT)
            if session_expiry is not None:
                properties.SessionExpiryInterval = session_expiry
            self.client.disconnect(mqtt.ReasonCode(PacketTypes.DISCONNECT, identifier=reason), properties)
        else:
            self.client.disconnect()

    def drop(self):
        if self.client is not None:
            client, self.client = self.client, None
            client.on_connect = client.on_disconnect = client.on_message = client.on_publish = None
            client.on_subscribe = client.on_unsubscribe = None
            client.disconnect()
            client.loop_stop()

    # What the library tells its application, in its network thread.

    def connected(self, client, userdata, flags, reason, properties):
        if reason.is_failure:
            say(event="failed", reason=reason.value, text=str(reason))
        else:
            say(event="connected", session_present=bool(flags.session_present))

    def disconnected(self, client, userdata, flags, reason, properties):
        say(event="disconnected", reason=reason.value, text=str(reason))

    def received(self, client, userdata, message):
        line = {"message": message.mid} if self.manual and message.qos else {}
        self.messages[message.mid] = (message.mid, message.qos)
        if self.is5:
            line["properties"] = self.seen(message.properties)
        say(event="received", topic=message.topic, payload=base64.b64encode(message.payload).decode(),
            qos=message.qos, retain=bool(message.retain), dup=bool(message.dup), **line)

    def seen(self, properties):
        seen = {}
        for short, name in NAMES.items():
            if hasattr(properties, name):
                seen[short] = getattr(properties, name)
        if hasattr(properties, "CorrelationData"):
            seen["correlation_data"] = base64.b64encode(properties.CorrelationData).decode()
        if hasattr(properties, "UserProperty"):
            seen["user_property"] = [list(pair) for pair in properties.UserProperty]
        if hasattr(properties, "SubscriptionIdentifier"):
            seen["subscription_identifier"] = properties.SubscriptionIdentifier
        return seen

    def end(self, mid, **event):
        # The answer may come before the command has returned its number.
        if mid in self.ids:
            say(id=self.ids.pop(mid), **event)
        else:
            self.early[mid] = event

    def published(self, client, userdata, mid, reason, properties):
        self.end(mid, event="published", reason=reason.value)

    def subscribed(self, client, userdata, mid, reasons, properties):
        self.end(mid, event="subscribed", reasons=[reason.value for reason in reasons])

    def unsubscribed(self, client, userdata, mid, reasons, properties):
        self.end(mid, event="unsubscribed")


def main():
    adapter = Adapter()
    for line in sys.stdin:
        command = json.loads(line)
        number = command.pop("id")
        (name, fields), = command.items()
        try:
            result = getattr(adapter, name)(**fields)
        except Unsupported as reason:
            say(id=number, unsupported=str(reason))
            continue
        except Exception as error:  # What the library says to its application.
            say(id=number, error=f"{type(error).__name__}: {error}")
            continue
        say(id=number, ok=result if name == "hello" else {})
        if result == "acknowledged":
            say(event="acknowledged", id=number)
        elif name != "hello" and isinstance(result, int):
            adapter.ids[result] = number
            if result in adapter.early:
                adapter.end(result, **adapter.early.pop(result))


main()
