// Runs the situations of `main.rs` with MQTT.js. Exit code 0: success; 77: not supported by MQTT.js.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { createRequire } = require('node:module');
const mqtt = createRequire(`${process.env.MQTTSPEC_FOREIGN}/node/`)('mqtt');

const VERSIONS = [4, 5];
setTimeout(() => { console.error('timed out'); process.exit(1); }, 100_000).unref();

/** A Client that queues received messages. */
async function client(clientId, protocolVersion, options = {}, url = `mqtt://${process.env.MQTTSPEC_MQTT}`) {
  const inner = mqtt.connect(url, { clientId, protocolVersion, reconnectPeriod: 0, ...options });
  const messages = [];
  const waiting = [];
  inner.on('message', (topic, payload, packet) => {
    const message = { ...packet, topic, text: payload.toString() };
    waiting.length ? waiting.shift()(message) : messages.push(message);
  });
  const connack = await new Promise((resolve, reject) => {
    inner.once('connect', resolve);
    inner.once('error', reject);
  });
  return {
    inner,
    sessionPresent: connack.sessionPresent,
    subscribe: (topic, qos) => inner.subscribeAsync(topic, { qos }),
    publish: (topic, text, options) => inner.publishAsync(topic, text, options),
    receive: () => messages.length ? messages.shift() : new Promise((resolve) => waiting.push(resolve)),
    /** Everything that the broker sent before has arrived once the Client's own message has arrived. */
    async nothingMore() {
      await this.subscribe(`fence/${clientId}`, 0);
      await this.publish(`fence/${clientId}`, 'fence');
      assert.equal((await this.receive()).text, 'fence');
    },
    end: () => inner.endAsync(),
  };
}

const situations = {
  async connect() {
    for (const version of VERSIONS) await (await client('connect', version)).end();
  },

  async qos() {
    for (const version of VERSIONS) {
      const one = await client('qos', version);
      for (const qos of [0, 1, 2]) {
        await one.subscribe(`qos/${qos}`, qos);
        for (let number = 0; number < 20; number++) await one.publish(`qos/${qos}`, `${number}`, { qos });
        for (let number = 0; number < 20; number++) {
          const message = await one.receive();
          assert.deepEqual([message.text, message.qos], [`${number}`, qos]);
        }
      }
      await one.nothingMore();
      await one.end();
    }
  },

  async retained() {
    for (const version of VERSIONS) {
      let one = await client('retained', version);
      await one.publish('retained', 'kept', { qos: 1, retain: true });
      await one.subscribe('retained', 1);
      const message = await one.receive();
      assert.deepEqual([message.text, message.retain], ['kept', true]);
      await one.publish('retained', '', { qos: 1, retain: true });
      assert.equal((await one.receive()).text, '');
      await one.end();
      one = await client('retained', version);
      await one.subscribe('retained', 1);
      await one.nothingMore();
      await one.end();
    }
  },

  async will() {
    for (const version of VERSIONS) {
      const watcher = await client('watcher', version);
      await watcher.subscribe('will', 1);
      const owner = await client('owner', version, { will: { topic: 'will', payload: 'gone', qos: 1 } });
      owner.inner.stream.destroy();
      assert.equal((await watcher.receive()).text, 'gone');
      await watcher.end();
    }
  },

  async resume() {
    for (const version of VERSIONS) {
      const session = { clean: false, ...(version === 5 && { properties: { sessionExpiryInterval: 3600 } }) };
      const first = await client(`resume-${version}`, version, session);
      assert.equal(first.sessionPresent, false);
      await first.subscribe('resume', 2);
      await first.end();
      const publisher = await client('publisher', version);
      for (const qos of [1, 2]) await publisher.publish('resume', `${qos}`, { qos });
      await publisher.end();
      const second = await client(`resume-${version}`, version, session);
      assert.equal(second.sessionPresent, true);
      for (const qos of [1, 2]) {
        const message = await second.receive();
        assert.deepEqual([message.text, message.qos], [`${qos}`, qos]);
      }
      await second.end();
    }
  },

  async shared() {
    const members = [await client('member-0', 5), await client('member-1', 5)];
    for (const member of members) {
      await member.subscribe('$share/group/shared', 1);
      await member.subscribe('fence', 0);
    }
    const publisher = await client('publisher', 5);
    for (let number = 0; number < 20; number++) await publisher.publish('shared', `${number}`, { qos: 1 });
    await publisher.publish('fence', 'fence');
    const got = [];
    for (const member of members) {
      const before = got.length;
      for (let message; (message = await member.receive()).topic !== 'fence';) got.push(Number(message.text));
      assert(got.length > before, 'a member got nothing');
    }
    assert.deepEqual(got.sort((a, b) => a - b), [...Array(20).keys()]);
    for (const one of [publisher, ...members]) await one.end();
  },

  async properties() {
    const one = await client('properties', 5);
    await one.subscribe('properties', 1);
    const properties = {
      payloadFormatIndicator: true,
      contentType: 'text/plain',
      responseTopic: 'answers',
      correlationData: Buffer.from([0, 1]),
      messageExpiryInterval: 100,
      userProperties: { b: ['2', '2'], a: '1' },
    };
    await one.publish('properties', 'hi', { qos: 1, properties });
    const got = (await one.receive()).properties;
    assert(got.messageExpiryInterval > 0 && got.messageExpiryInterval <= 100);
    for (const name of ['payloadFormatIndicator', 'contentType', 'responseTopic', 'correlationData']) {
      assert.deepEqual(got[name], properties[name]);
    }
    assert.deepEqual({ ...got.userProperties }, properties.userProperties);
    await one.end();
  },

  tls: () => roundTrip(`mqtts://localhost:${process.env.MQTTSPEC_MQTTS.split(':')[1]}`, {
    ca: fs.readFileSync(process.env.MQTTSPEC_CA),
  }),

  websocket: () => roundTrip(`ws://${process.env.MQTTSPEC_WS}/mqtt`, {}),
};

async function roundTrip(url, options) {
  for (const version of VERSIONS) {
    const one = await client('there', version, options, url);
    await one.subscribe('there', 2);
    await one.publish('there', 'x'.repeat(100_000), { qos: 2 });
    assert.equal((await one.receive()).text, 'x'.repeat(100_000));
    await one.end();
  }
}

situations[process.argv[2]]().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
