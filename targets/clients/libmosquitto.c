// Drives libmosquitto by the adapter protocol of mqttspec. Needs Debian's libmosquitto-dev and
// libcjson-dev: cc -o libmosquitto targets/clients/libmosquitto.c -lmosquitto -lcjson -lpthread
#include "adapter.h"
#include <mosquitto.h>
#include <mqtt_protocol.h>

static struct mosquitto *client;
static struct { int version, port, clean, reconnect; char address[64]; } place;

// Which command has which Packet Identifier. Its end may come before the library has returned the
// identifier, and waits here for the reply.
static struct { int id; cJSON *early; } of_mid[65536];
static int last_mid;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static Result code(int error) { return error ? failed("%s", mosquitto_strerror(error)) : NULL; }

// The end of a command that was refused is not reported, although the library may still send a message
// that it refused for want of a connection.
static Result code_of_command(int error) {
  if (error) last_mid = 0;
  return code(error);
}

static void end(int mid, cJSON *line) {
  pthread_mutex_lock(&mutex);
  int id = of_mid[mid].id;
  of_mid[mid].id = 0;
  if (!id) of_mid[mid].early = line;
  pthread_mutex_unlock(&mutex);
  if (id) say(with(line, "id", id));
}

static void replied(int id) {
  if (!last_mid) return;
  pthread_mutex_lock(&mutex);
  cJSON *early = of_mid[last_mid].early;
  of_mid[last_mid].early = NULL;
  of_mid[last_mid].id = early ? 0 : id;
  last_mid = 0;
  pthread_mutex_unlock(&mutex);
  if (early) say(with(early, "id", id));
}

// What the library tells its application, in its network thread.

static void on_connect(struct mosquitto *m, void *data, int reason, int flags, const mosquitto_property *p) {
  if (reason) say(with(event("failed"), "reason", reason));
  else say(with_bool(event("connected"), "session_present", flags & 1));
}

static void on_disconnect(struct mosquitto *m, void *data, int reason, const mosquitto_property *p) {
  say(with_text(event("disconnected"), "text", reason < 0x80 ? mosquitto_strerror(reason) : mosquitto_reason_string(reason)));
}

static void on_publish(struct mosquitto *m, void *data, int mid, int reason, const mosquitto_property *p) {
  end(mid, with(event("published"), "reason", reason));
}

static void on_message(struct mosquitto *m, void *data, const struct mosquitto_message *message, const mosquitto_property *p) {
  cJSON *seen = place.version == 5 ? cJSON_CreateObject() : NULL;
  for (; seen && p; p = mosquitto_property_next(p)) {
    char *name = NULL, *value = NULL;
    void *data = NULL;
    uint8_t byte;
    uint16_t length;
    uint32_t four;
    switch (mosquitto_property_identifier(p)) {
    case MQTT_PROP_PAYLOAD_FORMAT_INDICATOR:
      if (mosquitto_property_read_byte(p, MQTT_PROP_PAYLOAD_FORMAT_INDICATOR, &byte, false)) with(seen, "payload_format", byte);
      break;
    case MQTT_PROP_MESSAGE_EXPIRY_INTERVAL:
      if (mosquitto_property_read_int32(p, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, &four, false)) with(seen, "message_expiry", four);
      break;
    case MQTT_PROP_CONTENT_TYPE:
      if (mosquitto_property_read_string(p, MQTT_PROP_CONTENT_TYPE, &value, false)) with_text(seen, "content_type", value);
      break;
    case MQTT_PROP_RESPONSE_TOPIC:
      if (mosquitto_property_read_string(p, MQTT_PROP_RESPONSE_TOPIC, &value, false)) with_text(seen, "response_topic", value);
      break;
    case MQTT_PROP_CORRELATION_DATA:
      if (mosquitto_property_read_binary(p, MQTT_PROP_CORRELATION_DATA, &data, &length, false)) {
        char *base64 = encoded(data, length);
        with_text(seen, "correlation_data", base64);
        free(base64);
      }
      break;
    case MQTT_PROP_USER_PROPERTY:
      if (mosquitto_property_read_string_pair(p, MQTT_PROP_USER_PROPERTY, &name, &value, false)) add_pair(seen, name, value);
      break;
    case MQTT_PROP_SUBSCRIPTION_IDENTIFIER:
      if (mosquitto_property_read_varint(p, MQTT_PROP_SUBSCRIPTION_IDENTIFIER, &four, false))
        cJSON_AddItemToArray(list(seen, "subscription_identifier"), cJSON_CreateNumber(four));
      break;
    }
    free(name), free(value), free(data);
  }
  say_received(message->topic, message->payload, message->payloadlen, message->qos, message->retain, 0, seen);
}

static void on_subscribe(struct mosquitto *m, void *data, int mid, int count, const int *granted, const mosquitto_property *p) {
  cJSON *line = event("subscribed");
  cJSON_AddItemToObject(line, "reasons", cJSON_CreateIntArray(granted, count));
  end(mid, line);
}

static void on_unsubscribe(struct mosquitto *m, void *data, int mid, const mosquitto_property *p) {
  end(mid, event("unsubscribed"));
}

static cJSON *hello(void) {
  int major, minor, revision;
  char version[32];
  mosquitto_lib_init();
  mosquitto_lib_version(&major, &minor, &revision);
  snprintf(version, sizeof version, "%d.%d.%d", major, minor, revision);
  cJSON *line = cJSON_Parse("{\"name\":\"libmosquitto\",\"language\":\"C\",\"versions\":[\"3.1\",\"3.1.1\",\"5.0\"],"
                            "\"supports\":[\"reconnect\"]}");
  return with_text(line, "version", version);
}

static Result new_client(const cJSON *fields) {
  const cJSON *options = cJSON_GetObjectItem(fields, "options");
  if (other(options, " reconnect ")) return unsupported("libmosquitto has no %s", other(options, " reconnect "));
  place.reconnect = !has(options, "reconnect") || number(options, "reconnect");
  place.version = !strcmp(text(fields, "version"), "5.0") ? 5 : !strcmp(text(fields, "version"), "3.1") ? 3 : 4;
  snprintf(place.address, sizeof place.address, "%s", text(fields, "address"));
  place.port = (int)number(fields, "port");
  return NULL;
}

// Whether the library made a client. It takes no identifier, but not an empty one.
static int make(const char *client_id, int clean) {
  client = mosquitto_new(*client_id ? client_id : NULL, clean, NULL);
  if (!client) return 0;
  place.clean = clean;
  mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, place.version);
  mosquitto_reconnect_delay_set(client, 1, 2, false);
  mosquitto_connect_v5_callback_set(client, on_connect);
  mosquitto_disconnect_v5_callback_set(client, on_disconnect);
  mosquitto_publish_v5_callback_set(client, on_publish);
  mosquitto_message_v5_callback_set(client, on_message);
  mosquitto_subscribe_v5_callback_set(client, on_subscribe);
  mosquitto_unsubscribe_v5_callback_set(client, on_unsubscribe);
  return 1;
}

// The network thread of the library connects again for ever; this is that of an application that does not.
static pthread_t thread;
static void *loop(void *data) {
  while (!mosquitto_loop(client, 1000, 1)) {}
  return NULL;
}

static int start_loop(int first) {
  if (place.reconnect) return first ? mosquitto_loop_start(client) : 0;
  if (first) mosquitto_threaded_set(client, true);
  else pthread_join(thread, NULL);
  return pthread_create(&thread, NULL, loop, NULL);
}

static Result connect_client(int id, const cJSON *fields) {
  static const char *KNOWN = " client_id clean_start keep_alive session_expiry will user_name password receive_maximum "
                             "maximum_packet_size topic_alias_maximum ";
  const cJSON *will = cJSON_GetObjectItem(fields, "will");
  if (other(fields, KNOWN)) return unsupported("this adapter sets no %s", other(fields, KNOWN));
  if (other(will, " topic payload qos retain ")) return unsupported("this adapter sets no properties of a Will");
  int keep_alive = (int)number(fields, "keep_alive");
  if (keep_alive && keep_alive < 5) return unsupported("libmosquitto refuses a Keep Alive below 5 s");
  int clean = is_true(fields, "clean_start"), first = !client;
  if (first && !make(text(fields, "client_id"), clean))
    return unsupported("libmosquitto makes no client without an identifier that keeps its Session");
  if (!first && clean != place.clean) return unsupported("libmosquitto sets Clean Start when the client is made");
  if (has(fields, "user_name")) mosquitto_username_pw_set(client, text(fields, "user_name"), text(fields, "password"));
  if (will) {
    int length;
    unsigned char *payload = decoded(text(will, "payload"), &length);
    int error = mosquitto_will_set(client, text(will, "topic"), length, payload, (int)number(will, "qos"), is_true(will, "retain"));
    free(payload);
    if (error) return code(error);
  }
  mosquitto_property *properties = NULL;
  if (place.version == 5) {
    if (number(fields, "session_expiry"))
      mosquitto_property_add_int32(&properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL, (uint32_t)number(fields, "session_expiry"));
    if (has(fields, "receive_maximum"))
      mosquitto_property_add_int16(&properties, MQTT_PROP_RECEIVE_MAXIMUM, (uint16_t)number(fields, "receive_maximum"));
    if (has(fields, "maximum_packet_size"))
      mosquitto_property_add_int32(&properties, MQTT_PROP_MAXIMUM_PACKET_SIZE, (uint32_t)number(fields, "maximum_packet_size"));
    if (has(fields, "topic_alias_maximum"))
      mosquitto_property_add_int16(&properties, MQTT_PROP_TOPIC_ALIAS_MAXIMUM, (uint16_t)number(fields, "topic_alias_maximum"));
  }
  int error = mosquitto_connect_bind_v5(client, place.address, place.port, keep_alive, NULL, properties);
  mosquitto_property_free_all(&properties);
  if (!error) error = start_loop(first);
  return code(error);
}

// The properties of a packet that the application sets. Freed by the caller.
static mosquitto_property *given(const cJSON *fields) {
  mosquitto_property *all = NULL;
  const cJSON *given = cJSON_GetObjectItem(fields, "properties");
  for (const cJSON *one = given ? given->child : NULL; one; one = one->next) {
    const char *name = one->string;
    if (!strcmp(name, "payload_format")) mosquitto_property_add_byte(&all, MQTT_PROP_PAYLOAD_FORMAT_INDICATOR, (uint8_t)one->valuedouble);
    if (!strcmp(name, "message_expiry")) mosquitto_property_add_int32(&all, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, (uint32_t)one->valuedouble);
    if (!strcmp(name, "content_type")) mosquitto_property_add_string(&all, MQTT_PROP_CONTENT_TYPE, one->valuestring);
    if (!strcmp(name, "response_topic")) mosquitto_property_add_string(&all, MQTT_PROP_RESPONSE_TOPIC, one->valuestring);
    if (!strcmp(name, "correlation_data")) {
      int length;
      unsigned char *data = decoded(one->valuestring, &length);
      mosquitto_property_add_binary(&all, MQTT_PROP_CORRELATION_DATA, data, (uint16_t)length);
      free(data);
    }
    if (!strcmp(name, "user_property"))
      for (const cJSON *pair = one->child; pair; pair = pair->next)
        mosquitto_property_add_string_pair(&all, MQTT_PROP_USER_PROPERTY, pair->child->valuestring, pair->child->next->valuestring);
    if (!strcmp(name, "subscription_identifier")) mosquitto_property_add_varint(&all, MQTT_PROP_SUBSCRIPTION_IDENTIFIER, (uint32_t)one->child->valuedouble);
  }
  return all;
}

static Result publish(int id, const cJSON *fields) {
  int length;
  mosquitto_property *properties = given(fields);
  unsigned char *payload = decoded(text(fields, "payload"), &length);
  int error = mosquitto_publish_v5(client, &last_mid, text(fields, "topic"), length, payload, (int)number(fields, "qos"),
                                   is_true(fields, "retain"), properties);
  free(payload);
  mosquitto_property_free_all(&properties);
  return code_of_command(error);
}

static Result subscribe(int id, const cJSON *fields) {
  const cJSON *all = cJSON_GetObjectItem(fields, "subscriptions"), *one = all->child;
  int qos = (int)number(one, "qos"), options = 0;
  if (place.version == 5)
    options = is_true(one, "no_local") << 2 | is_true(one, "retain_as_published") << 3 | (int)number(one, "retain_handling") << 4;
  char *filters[64];
  int count = 0;
  for (; one && count < 64; one = one->next) {
    if ((int)number(one, "qos") != qos) return unsupported("libmosquitto has one QoS for all filters of a SUBSCRIBE");
    filters[count++] = (char *)text(one, "filter");
  }
  mosquitto_property *properties = given(fields);
  int error = mosquitto_subscribe_multiple(client, &last_mid, count, filters, qos, options, properties);
  mosquitto_property_free_all(&properties);
  return code_of_command(error);
}

static Result unsubscribe(int id, const cJSON *fields) {
  char *filters[64];
  int count = 0;
  for (const cJSON *one = cJSON_GetObjectItem(fields, "filters")->child; one && count < 64; one = one->next)
    filters[count++] = one->valuestring;
  mosquitto_property *properties = given(fields);
  int error = mosquitto_unsubscribe_multiple(client, &last_mid, count, filters, properties);
  mosquitto_property_free_all(&properties);
  return code_of_command(error);
}

static Result disconnect_client(const cJSON *fields) {
  mosquitto_property *properties = NULL;
  if (has(fields, "session_expiry"))
    mosquitto_property_add_int32(&properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL, (uint32_t)number(fields, "session_expiry"));
  int error = mosquitto_disconnect_v5(client, (int)number(fields, "reason"), properties);
  mosquitto_property_free_all(&properties);
  return code(error);
}

static void drop(void) {
  if (client) {
    mosquitto_connect_v5_callback_set(client, NULL);
    mosquitto_disconnect_v5_callback_set(client, NULL);
    mosquitto_publish_v5_callback_set(client, NULL);
    mosquitto_message_v5_callback_set(client, NULL);
    mosquitto_subscribe_v5_callback_set(client, NULL);
    mosquitto_unsubscribe_v5_callback_set(client, NULL);
    mosquitto_disconnect(client);
    if (place.reconnect) mosquitto_loop_stop(client, true);
    else pthread_join(thread, NULL);
    mosquitto_destroy(client);
  }
  client = NULL;
  for (int mid = 0; mid < 65536; mid++) cJSON_Delete(of_mid[mid].early), of_mid[mid].early = NULL, of_mid[mid].id = 0;
}
