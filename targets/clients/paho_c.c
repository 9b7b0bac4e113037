// Drives Eclipse Paho for C by the adapter protocol of mqttspec. Needs Debian's libpaho-mqtt-dev and
// libcjson-dev: cc -o paho_c targets/clients/paho_c.c -lpaho-mqtt3a -lcjson -lpthread
#include "adapter.h"
#include <MQTTAsync.h>

static MQTTAsync client;
static struct { int is5, port, reconnect; char url[96], state[512]; } place;
// Of the last CONNACK.
static int session_present;

static Result code(int error) { return error ? failed("%s", MQTTAsync_strerror(error)) : NULL; }

// What the library tells its application, in its threads.

static void on_connected(void *context, char *cause) {
  say(with_bool(event("connected"), "session_present", session_present));
}

static void on_lost(void *context, char *cause) { say(with_text(event("disconnected"), "text", cause)); }

static void on_disconnected(void *context, MQTTProperties *properties, enum MQTTReasonCodes reason) {
  say(with(event("disconnected"), "reason", reason));
}

static cJSON *seen_properties(MQTTProperties *properties) {
  cJSON *seen = cJSON_CreateObject();
  for (int i = 0; i < properties->count; i++) {
    MQTTProperty *one = &properties->array[i];
    char data[65536], value[65536];
    int length = one->value.data.len;
    int is_text = MQTTProperty_getType(one->identifier) > MQTTPROPERTY_TYPE_VARIABLE_BYTE_INTEGER;
    if (is_text) snprintf(data, sizeof data, "%.*s", length, one->value.data.data);
    switch (one->identifier) {
    case MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR: with(seen, "payload_format", one->value.byte); break;
    case MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL: with(seen, "message_expiry", one->value.integer4); break;
    case MQTTPROPERTY_CODE_CONTENT_TYPE: with_text(seen, "content_type", data); break;
    case MQTTPROPERTY_CODE_RESPONSE_TOPIC: with_text(seen, "response_topic", data); break;
    case MQTTPROPERTY_CODE_CORRELATION_DATA: {
      char *base64 = encoded(one->value.data.data, length);
      with_text(seen, "correlation_data", base64);
      free(base64);
      break;
    }
    case MQTTPROPERTY_CODE_USER_PROPERTY:
      snprintf(value, sizeof value, "%.*s", one->value.value.len, one->value.value.data);
      add_pair(seen, data, value);
      break;
    case MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER:
      cJSON_AddItemToArray(list(seen, "subscription_identifier"), cJSON_CreateNumber(one->value.integer4));
      break;
    default: break;
    }
  }
  return seen;
}

static int on_message(void *context, char *topic, int length, MQTTAsync_message *message) {
  cJSON *seen = place.is5 ? seen_properties(&message->properties) : NULL;
  say_received(topic, message->payload, message->payloadlen, message->qos, message->retained, message->dup, seen);
  MQTTAsync_freeMessage(&message);
  MQTTAsync_free(topic);
  return 1;
}

static void connect_success(void *context, MQTTAsync_successData *data) { session_present = data->alt.connect.sessionPresent; }
static void connect_success5(void *context, MQTTAsync_successData5 *data) { session_present = data->alt.connect.sessionPresent; }

static void end_failed(int id, int code, int reason, const char *message) {
  cJSON *line = with_text(event("failed"), "text", message ? message : MQTTAsync_strerror(code));
  if (id) with(line, "id", id);
  if (reason > 0) with(line, "reason", reason);
  say(line);
}

static void failure(void *context, MQTTAsync_failureData *data) {
  // A refused CONNECT has the return code of CONNACK here.
  end_failed((int)(long)context, data->code, context ? 0 : data->code, data->message);
}
static void failure5(void *context, MQTTAsync_failureData5 *data) {
  end_failed((int)(long)context, data->code, data->reasonCode, data->message);
}

static void published(void *context, MQTTAsync_successData *data) { say(with(event("published"), "id", (long)context)); }
static void published5(void *context, MQTTAsync_successData5 *data) {
  say(with(with(event("published"), "id", (long)context), "reason", data->reasonCode));
}

static void end_subscribed(long id, cJSON *reasons) {
  cJSON *line = with(event("subscribed"), "id", id);
  cJSON_AddItemToObject(line, "reasons", reasons);
  say(line);
}
static int filters_of[65536];
static void subscribed(void *context, MQTTAsync_successData *data) {
  int count = filters_of[(long)context & 65535];
  end_subscribed((long)context, cJSON_CreateIntArray(count == 1 ? &data->alt.qos : data->alt.qosList, count));
}
static void subscribed5(void *context, MQTTAsync_successData5 *data) {
  cJSON *reasons = cJSON_CreateArray();
  int count = data->alt.sub.reasonCodeCount;
  for (int i = 0; i < count; i++)
    cJSON_AddItemToArray(reasons, cJSON_CreateNumber(count == 1 ? data->reasonCode : data->alt.sub.reasonCodes[i]));
  end_subscribed((long)context, reasons);
}

static void unsubscribed(void *context, MQTTAsync_successData *data) { say(with(event("unsubscribed"), "id", (long)context)); }
static void unsubscribed5(void *context, MQTTAsync_successData5 *data) { say(with(event("unsubscribed"), "id", (long)context)); }

static MQTTAsync_responseOptions response(int id, MQTTAsync_onSuccess *success, MQTTAsync_onSuccess5 *success5) {
  MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
  options.context = (void *)(long)id;
  if (place.is5) options.onSuccess5 = success5, options.onFailure5 = failure5;
  else options.onSuccess = success, options.onFailure = failure;
  return options;
}

static cJSON *hello(void) {
  const char *version = "";
  for (MQTTAsync_nameValue *info = MQTTAsync_getVersionInfo(); info->name; info++)
    if (!strcmp(info->name, "Version")) version = info->value;
  cJSON *line = cJSON_Parse("{\"name\":\"paho.mqtt.c\",\"language\":\"C\",\"versions\":[\"3.1\",\"3.1.1\",\"5.0\"],"
                            "\"supports\":[\"reconnect\",\"disk\"]}");
  return with_text(line, "version", version);
}

static int mqtt_version;

static Result new_client(const cJSON *fields) {
  const cJSON *options = cJSON_GetObjectItem(fields, "options");
  if (other(options, " reconnect ")) return unsupported("paho.mqtt.c has no %s", other(options, " reconnect "));
  place.reconnect = !has(options, "reconnect") || number(options, "reconnect");
  place.is5 = !strcmp(text(fields, "version"), "5.0");
  mqtt_version = place.is5 ? MQTTVERSION_5 : !strcmp(text(fields, "version"), "3.1") ? MQTTVERSION_3_1 : MQTTVERSION_3_1_1;
  snprintf(place.url, sizeof place.url, "tcp://%s:%d", text(fields, "address"), (int)number(fields, "port"));
  snprintf(place.state, sizeof place.state, "%s", text(fields, "state_dir"));
  return NULL;
}

static Result make(const char *client_id) {
  MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
  if (place.is5) options = (MQTTAsync_createOptions)MQTTAsync_createOptions_initializer5;
  options.MQTTVersion = mqtt_version;
  // Messages of an application that goes on while the connection is lost.
  options.sendWhileDisconnected = 1;
  int error = MQTTAsync_createWithOptions(&client, place.url, client_id, MQTTCLIENT_PERSISTENCE_DEFAULT, place.state, &options);
  if (error) return client = NULL, code(error);
  MQTTAsync_setCallbacks(client, NULL, on_lost, on_message, NULL);
  MQTTAsync_setConnected(client, NULL, on_connected);
  if (place.is5) MQTTAsync_setDisconnected(client, NULL, on_disconnected);
  return NULL;
}

static void add(MQTTProperties *properties, int identifier, const cJSON *fields, const char *name) {
  MQTTProperty property = {.identifier = identifier};
  if (!number(fields, name)) return;
  if (MQTTProperty_getType(identifier) == MQTTPROPERTY_TYPE_TWO_BYTE_INTEGER) property.value.integer2 = (unsigned short)number(fields, name);
  else property.value.integer4 = (unsigned int)number(fields, name);
  MQTTProperties_add(properties, &property);
}

static Result connect_client(int id, const cJSON *fields) {
  static const char *KNOWN = " client_id clean_start keep_alive session_expiry will user_name password receive_maximum "
                             "maximum_packet_size topic_alias_maximum ";
  const cJSON *will = cJSON_GetObjectItem(fields, "will");
  if (other(fields, KNOWN)) return unsupported("this adapter sets no %s", other(fields, KNOWN));
  if (other(will, " topic payload qos retain ")) return unsupported("this adapter sets no properties of a Will");
  if (!client) {
    Result result = make(text(fields, "client_id"));
    if (result) return result;
  }
  MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
  if (place.is5) options = (MQTTAsync_connectOptions)MQTTAsync_connectOptions_initializer5;
  options.MQTTVersion = mqtt_version;
  options.keepAliveInterval = (int)number(fields, "keep_alive");
  if (place.is5) options.cleanstart = is_true(fields, "clean_start");
  else options.cleansession = is_true(fields, "clean_start");
  options.automaticReconnect = place.reconnect;
  options.minRetryInterval = options.maxRetryInterval = 1;
  options.username = text(fields, "user_name");
  options.password = text(fields, "password");
  if (place.is5) options.onSuccess5 = connect_success5, options.onFailure5 = failure5;
  else options.onSuccess = connect_success, options.onFailure = failure;
  MQTTProperties properties = MQTTProperties_initializer;
  add(&properties, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, fields, "session_expiry");
  add(&properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, fields, "receive_maximum");
  add(&properties, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE, fields, "maximum_packet_size");
  add(&properties, MQTTPROPERTY_CODE_TOPIC_ALIAS_MAXIMUM, fields, "topic_alias_maximum");
  if (place.is5) options.connectProperties = &properties;
  MQTTAsync_willOptions last = MQTTAsync_willOptions_initializer;
  unsigned char *payload = NULL;
  if (will) {
    payload = decoded(text(will, "payload"), &last.payload.len);
    last.payload.data = payload;
    last.topicName = text(will, "topic");
    last.qos = (int)number(will, "qos");
    last.retained = is_true(will, "retain");
    options.will = &last;
  }
  session_present = 0;
  int error = MQTTAsync_connect(client, &options);
  free(payload);
  MQTTProperties_free(&properties);
  return code(error);
}

static MQTTLenString string(const char *text) { return (MQTTLenString){(int)strlen(text), (char *)text}; }

// The properties of a packet that the application sets. The library copies them.
static void given(MQTTProperties *properties, const cJSON *fields) {
  const cJSON *given = cJSON_GetObjectItem(fields, "properties");
  add(properties, MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL, given, "message_expiry");
  MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR};
  property.value.byte = (unsigned char)number(given, "payload_format");
  if (has(given, "payload_format")) MQTTProperties_add(properties, &property);
  for (int i = 0; i < 2; i++) {
    const char *name = i ? "response_topic" : "content_type";
    property = (MQTTProperty){.identifier = i ? MQTTPROPERTY_CODE_RESPONSE_TOPIC : MQTTPROPERTY_CODE_CONTENT_TYPE};
    if (has(given, name)) property.value.data = string(text(given, name)), MQTTProperties_add(properties, &property);
  }
  property = (MQTTProperty){.identifier = MQTTPROPERTY_CODE_CORRELATION_DATA};
  if (has(given, "correlation_data")) {
    property.value.data.data = (char *)decoded(text(given, "correlation_data"), &property.value.data.len);
    MQTTProperties_add(properties, &property);
    free(property.value.data.data);
  }
  const cJSON *pairs = cJSON_GetObjectItem(given, "user_property");
  for (const cJSON *pair = pairs ? pairs->child : NULL; pair; pair = pair->next) {
    property = (MQTTProperty){.identifier = MQTTPROPERTY_CODE_USER_PROPERTY};
    property.value.data = string(pair->child->valuestring);
    property.value.value = string(pair->child->next->valuestring);
    MQTTProperties_add(properties, &property);
  }
  const cJSON *identifiers = cJSON_GetObjectItem(given, "subscription_identifier");
  property = (MQTTProperty){.identifier = MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER};
  if (identifiers) property.value.integer4 = (unsigned int)identifiers->child->valuedouble, MQTTProperties_add(properties, &property);
}

static Result publish(int id, const cJSON *fields) {
  int length;
  unsigned char *payload = decoded(text(fields, "payload"), &length);
  MQTTAsync_responseOptions options = response(id, published, published5);
  given(&options.properties, fields);
  int error = MQTTAsync_send(client, text(fields, "topic"), length, payload, (int)number(fields, "qos"), is_true(fields, "retain"), &options);
  free(payload);
  MQTTProperties_free(&options.properties);
  return code(error);
}

static Result subscribe(int id, const cJSON *fields) {
  char *filters[64];
  int qos[64], count = 0;
  MQTTSubscribe_options of_filter[64];
  for (const cJSON *one = cJSON_GetObjectItem(fields, "subscriptions")->child; one && count < 64; one = one->next, count++) {
    filters[count] = (char *)text(one, "filter");
    qos[count] = (int)number(one, "qos");
    of_filter[count] = (MQTTSubscribe_options)MQTTSubscribe_options_initializer;
    of_filter[count].noLocal = is_true(one, "no_local");
    of_filter[count].retainAsPublished = is_true(one, "retain_as_published");
    of_filter[count].retainHandling = (unsigned char)number(one, "retain_handling");
  }
  MQTTAsync_responseOptions options = response(id, subscribed, subscribed5);
  filters_of[id & 65535] = count;
  if (place.is5) options.subscribeOptions = of_filter[0], options.subscribeOptionsList = of_filter, options.subscribeOptionsCount = count;
  given(&options.properties, fields);
  int error = MQTTAsync_subscribeMany(client, count, filters, qos, &options);
  MQTTProperties_free(&options.properties);
  return code(error);
}

static Result unsubscribe(int id, const cJSON *fields) {
  char *filters[64];
  int count = 0;
  for (const cJSON *one = cJSON_GetObjectItem(fields, "filters")->child; one && count < 64; one = one->next)
    filters[count++] = one->valuestring;
  MQTTAsync_responseOptions options = response(id, unsubscribed, unsubscribed5);
  given(&options.properties, fields);
  int error = MQTTAsync_unsubscribeMany(client, count, filters, &options);
  MQTTProperties_free(&options.properties);
  return code(error);
}

static void closed(void *context, MQTTAsync_successData *data) { say(event("disconnected")); }
static void closed5(void *context, MQTTAsync_successData5 *data) { say(event("disconnected")); }

static Result disconnect_client(const cJSON *fields) {
  MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
  if (place.is5) {
    options = (MQTTAsync_disconnectOptions)MQTTAsync_disconnectOptions_initializer5;
    options.reasonCode = (enum MQTTReasonCodes)number(fields, "reason");
    MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL};
    property.value.integer4 = (unsigned int)number(fields, "session_expiry");
    if (has(fields, "session_expiry")) MQTTProperties_add(&options.properties, &property);
    options.onSuccess5 = closed5;
  } else {
    options.onSuccess = closed;
  }
  options.timeout = 1000;
  int error = MQTTAsync_disconnect(client, &options);
  MQTTProperties_free(&options.properties);
  return code(error);
}

static void drop(void) { if (client) MQTTAsync_destroy(&client); client = NULL; }
static void replied(int id) {}
