// Drives MQTT.js by the adapter protocol of mqttspec. Needs: npm install mqtt@5.14.1
const mqtt = require('mqtt')
const { version } = require('mqtt/package.json')

class Unsupported extends Error {}

// Ends of commands come after their replies: both go out in the order of the calls.
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const later = (line) => setImmediate(() => say(line))
const without = (fields, what) => {
  const names = Object.keys(fields)
  if (names.length) throw new Unsupported(`${what} ${names.join(', ')}`)
}

let place, client

// The properties of a message, from the protocol to the library and back.
const given = (fields) => {
  if (!fields) return undefined
  const pairs = (all) => all.reduce((of, [name, value]) => ({ ...of, [name]: name in of ? [of[name], value].flat() : value }), {})
  const { payload_format, correlation_data, user_property, subscription_identifier, ...others } = fields
  const names = { message_expiry: 'messageExpiryInterval', content_type: 'contentType', response_topic: 'responseTopic' }
  const properties = {}
  if (payload_format !== undefined) properties.payloadFormatIndicator = payload_format === 1
  if (correlation_data !== undefined) properties.correlationData = Buffer.from(correlation_data, 'base64')
  if (user_property) properties.userProperties = pairs(user_property)
  if (subscription_identifier) properties.subscriptionIdentifier = subscription_identifier[0]
  for (const [name, value] of Object.entries(others)) properties[names[name]] = value
  return properties
}
// The library has a list for a property that came twice.
const first = (value) => [value].flat()[0]
const seen = ({ payloadFormatIndicator, messageExpiryInterval, contentType, responseTopic, correlationData, userProperties, subscriptionIdentifier }) => ({
  payload_format: payloadFormatIndicator === undefined ? undefined : Number(payloadFormatIndicator),
  message_expiry: first(messageExpiryInterval), content_type: first(contentType), response_topic: first(responseTopic),
  correlation_data: correlationData && correlationData.toString('base64'),
  user_property: userProperties && Object.entries(userProperties).flatMap(([name, values]) => [values].flat().map((value) => [name, value])),
  subscription_identifier: subscriptionIdentifier === undefined ? undefined : [subscriptionIdentifier].flat(),
})

const adapter = {
  hello: () => ({ name: 'MQTT.js', version, language: 'JavaScript', versions: ['3.1.1', '5.0'], supports: ['reconnect'] }),

  new({ version, address, port, options }) {
    const { reconnect = '1', ...others } = options
    without(others, 'MQTT.js has no')
    place = { is5: version === '5.0', url: `mqtt://${address}:${port}`, period: reconnect === '1' ? 1000 : 0 }
    client = undefined
  },

  connect({ client_id, clean_start, keep_alive, session_expiry, will, user_name, password, ...fields }) {
    if (client) throw new Unsupported('MQTT.js makes a new client for each connect')
    const options = {
      clientId: client_id, clean: clean_start, keepalive: keep_alive, protocolVersion: place.is5 ? 5 : 4,
      reconnectPeriod: place.period, username: user_name, password, resubscribe: true,
    }
    if (will) {
      const { topic, payload, qos, retain, ...others } = will
      without(others, 'this adapter sets no Will with')
      options.will = { topic, payload: Buffer.from(payload, 'base64'), qos, retain }
    }
    if (place.is5) {
      const { receive_maximum, maximum_packet_size, topic_alias_maximum, ...others } = fields
      fields = others
      const properties = { receiveMaximum: receive_maximum, maximumPacketSize: maximum_packet_size, topicAliasMaximum: topic_alias_maximum }
      options.properties = { sessionExpiryInterval: session_expiry }
      for (const [name, value] of Object.entries(properties)) if (value) options.properties[name] = Number(value)
    }
    without(fields, 'this adapter sets no')
    let connected = false
    const mine = (client = mqtt.connect(place.url, options))
    const tell = (line) => mine === client && say(line)
    mine.on('connect', (connack) => {
      connected = true
      tell({ event: 'connected', session_present: connack.sessionPresent })
    })
    mine.on('close', () => {
      if (connected) tell({ event: 'disconnected' })
      connected = false
    })
    mine.on('error', (error) => {
      if (error.code > 0) tell({ event: 'failed', reason: error.code, text: error.message })
      else process.stderr.write(`${error.message}\n`)
    })
    mine.on('message', (topic, payload, { qos, retain, dup, properties }) =>
      tell({ event: 'received', topic, payload: payload.toString('base64'), qos, retain, dup, properties: place.is5 ? seen(properties || {}) : undefined }))
  },

  publish({ topic, payload, qos, retain, properties }, id) {
    const mine = client
    mine.publish(topic, Buffer.from(payload, 'base64'), { qos, retain, properties: given(properties) }, (error, packet) => {
      if (mine !== client) return
      if (error) later({ event: 'failed', id, text: error.message, reason: error.code > 0 ? error.code : undefined })
      else later({ event: 'published', id, reason: (qos && packet.reasonCode) || 0 })
    })
  },

  subscribe({ subscriptions, properties }, id) {
    const topics = {}
    for (const s of subscriptions) topics[s.filter] = { qos: s.qos, nl: s.no_local, rap: s.retain_as_published, rh: s.retain_handling }
    const mine = client
    mine.subscribe(topics, { properties: given(properties) }, (error, granted, packet) => {
      if (mine !== client) return
      if (error && !packet) later({ event: 'failed', id, text: error.message })
      else later({ event: 'subscribed', id, reasons: packet ? packet.granted : granted.map((g) => g.qos) })
    })
  },

  unsubscribe({ filters, properties }, id) {
    const mine = client
    mine.unsubscribe(filters, { properties: given(properties) }, (error) => {
      if (mine === client) later(error ? { event: 'failed', id, text: error.message } : { event: 'unsubscribed', id })
    })
  },

  acknowledge() { throw new Unsupported('MQTT.js has no command for it') },

  disconnect({ reason = 0, session_expiry }) {
    const options = place.is5 ? { reasonCode: reason } : {}
    if (session_expiry !== undefined) options.properties = { sessionExpiryInterval: session_expiry }
    client.end(false, options)
  },

  drop() {
    if (client) client.end(true)
    client = undefined
  },
}

require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, ...command } = JSON.parse(line)
  const [name] = Object.keys(command)
  try {
    say({ id, ok: adapter[name](command[name], id) || {} })
  } catch (error) {
    say(error instanceof Unsupported ? { id, unsupported: error.message } : { id, error: error.message })
  }
}).on('close', () => process.exit())
