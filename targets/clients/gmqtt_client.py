"""Drives gmqtt by the adapter protocol of mqttspec. Needs: pip install gmqtt==0.7.0"""

import asyncio
import base64
import json
import sys
from importlib.metadata import version

import gmqtt
from gmqtt.mqtt.constants import MQTTv311, MQTTv50


# The properties of a message, as the protocol and as the library names them.
NAMES = {"payload_format": "payload_format_id", "message_expiry": "message_expiry_interval",
         "content_type": "content_type", "response_topic": "response_topic"}


class Unsupported(Exception):
    pass


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Adapter:
    def __init__(self):
        self.client, self.ids = None, {}

    async def hello(self, protocol):
        # It does not tell its application when a message is acknowledged.
        return {"name": "gmqtt", "version": version("gmqtt"), "language": "Python", "versions": ["3.1.1", "5.0"],
                "supports": ["reconnect"], "silent": ["published"]}

    async def new(self, version, address, port, options, state_dir):
        self.__init__()
        self.version, self.address = MQTTv50 if version == "5.0" else MQTTv311, (address, port)
        options = dict(options)
        self.reconnect = options.pop("reconnect", "1") == "1"
        if options:
            raise Unsupported("gmqtt has no " + ", ".join(options))

    async def connect(self, client_id, clean_start, keep_alive, session_expiry=None, will=None, **fields):
        if self.client:
            raise Unsupported("this adapter makes a new client for each connect")
        properties = {}
        if self.version == MQTTv50:
            if session_expiry:
                properties["session_expiry_interval"] = session_expiry
            for name in ["receive_maximum", "maximum_packet_size", "topic_alias_maximum"]:
                if name in fields:
                    properties[name] = int(fields.pop(name))
        if will:
            if set(will) - {"topic", "payload", "qos", "retain"}:
                raise Unsupported("this adapter sets no properties of a Will")
            will = gmqtt.Message(will["topic"], base64.b64decode(will["payload"]), will["qos"], will["retain"])
        self.client = client = gmqtt.Client(client_id, clean_session=clean_start, will_message=will, **properties)
        if "user_name" in fields:
            client.set_auth_credentials(fields.pop("user_name"), fields.pop("password", None))
        if fields:
            raise Unsupported("this adapter sets no " + ", ".join(fields))
        client.set_config({"reconnect_delay": 1, "reconnect_retries": -1 if self.reconnect else 0})
        client.on_connect, client.on_disconnect = self.connected, self.disconnected
        client.on_message, client.on_subscribe, client.on_unsubscribe = self.received, self.subscribed, self.unsubscribed
        self.connecting = asyncio.ensure_future(self.wait(client, keep_alive))

    async def wait(self, client, keep_alive):
        try:
            await client.connect(*self.address, keepalive=keep_alive, version=self.version)
        except gmqtt.mqtt.handler.MQTTConnectError as error:
            if client is self.client:
                say(event="failed", reason=error._code, text=str(error))
        except Exception as error:
            if client is self.client:
                say(event="failed", text=f"{type(error).__name__}: {error}")

    async def publish(self, topic, payload, qos, retain, properties=None):
        properties = {NAMES.get(name, name): value for name, value in (properties or {}).items()}
        if "correlation_data" in properties:
            properties["correlation_data"] = base64.b64decode(properties["correlation_data"])
        self.client.publish(topic, base64.b64decode(payload), qos, retain, **properties)

    async def subscribe(self, subscriptions, properties=None):
        properties = dict(properties or {})
        identifier = properties.pop("subscription_identifier", [None])[0]
        if properties:
            raise Unsupported("this adapter sets no " + ", ".join(properties) + " of SUBSCRIBE")
        if identifier is not None:
            return self.client.subscribe(self.subscriptions(subscriptions), subscription_identifier=identifier)
        return self.client.subscribe(self.subscriptions(subscriptions))

    def subscriptions(self, subscriptions):
        return [
            gmqtt.Subscription(s["filter"], s["qos"], s["no_local"], s["retain_as_published"], s["retain_handling"])
            for s in subscriptions]

    async def unsubscribe(self, filters, properties=None):
        if properties:
            raise Unsupported("this adapter sets no properties of UNSUBSCRIBE")
        return self.client.unsubscribe(filters)

    async def acknowledge(self, message, reason):
        raise Unsupported("gmqtt has no command for it")

    async def disconnect(self, reason=0, session_expiry=None):
        properties = {} if session_expiry is None else {"session_expiry_interval": session_expiry}
        await self.client.disconnect(reason_code=reason, **properties)

    async def drop(self):
        if self.client:
            client, self.client = self.client, None
            self.connecting.cancel()
            client.stop_reconnect()
            client._connection and client._connection._transport.abort()

    # What the library tells its application.

    def connected(self, client, flags, reason, properties):
        if client is self.client:
            say(event="connected", session_present=bool(flags))

    def disconnected(self, client, packet, exc=None):
        if client is self.client:
            say(event="disconnected", text=str(exc or ""))

    def received(self, client, topic, payload, qos, properties):
        if client is self.client:
            line = {"properties": self.seen(properties)} if self.version == MQTTv50 else {}
            say(event="received", topic=topic, payload=base64.b64encode(payload).decode(), qos=qos,
                retain=bool(properties["retain"]), dup=bool(properties["dup"]), **line)

    def seen(self, properties):
        seen = {short: properties[name][0] for short, name in NAMES.items() if name in properties}
        if "correlation_data" in properties:
            data = properties["correlation_data"][0]
            seen["correlation_data"] = base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()
        if "user_property" in properties:
            seen["user_property"] = [list(pair) for pair in properties["user_property"]]
        if "subscription_identifier" in properties:
            seen["subscription_identifier"] = list(properties["subscription_identifier"])
        return seen

    def subscribed(self, client, mid, reasons, properties):
        if mid in self.ids:
            say(event="subscribed", id=self.ids.pop(mid), reasons=list(reasons))

    def unsubscribed(self, client, mid, reasons):
        if mid in self.ids:
            say(event="unsubscribed", id=self.ids.pop(mid))


async def main():
    adapter, lines = Adapter(), asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        command = json.loads(line)
        number = command.pop("id")
        (name, fields), = command.items()
        try:
            result = await getattr(adapter, name)(**fields)
        except Unsupported as reason:
            say(id=number, unsupported=str(reason))
            continue
        except Exception as error:  # What the library says to its application.
            say(id=number, error=f"{type(error).__name__}: {error}")
            continue
        if isinstance(result, int):
            adapter.ids[result] = number
        say(id=number, ok=result if name == "hello" else {})


asyncio.run(main())
