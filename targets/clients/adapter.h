// The lines of the adapter protocol of mqttspec, for adapters in C. Needs cJSON.
#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What a command comes to: NULL if the library has accepted it.
typedef struct { const char *kind; char why[256]; } Refusal;
typedef Refusal *Result;

static Result refuse(const char *kind, const char *format, va_list values) {
  static Refusal refusal;
  refusal.kind = kind;
  vsnprintf(refusal.why, sizeof refusal.why, format, values);
  return &refusal;
}

static Result unsupported(const char *format, ...) {
  va_list values;
  va_start(values, format);
  return refuse("unsupported", format, values);
}

static Result failed(const char *format, ...) {
  va_list values;
  va_start(values, format);
  return refuse("error", format, values);
}

// One write for each line, because the thread of the library speaks too.
static void say(cJSON *line) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  char *text = cJSON_PrintUnformatted(line);
  pthread_mutex_lock(&mutex);
  printf("%s\n", text);
  fflush(stdout);
  pthread_mutex_unlock(&mutex);
  free(text);
  cJSON_Delete(line);
}

static cJSON *event(const char *name) {
  cJSON *line = cJSON_CreateObject();
  cJSON_AddStringToObject(line, "event", name);
  return line;
}

static cJSON *with(cJSON *line, const char *name, double value) {
  cJSON_AddNumberToObject(line, name, value);
  return line;
}

static cJSON *with_text(cJSON *line, const char *name, const char *value) {
  cJSON_AddStringToObject(line, name, value ? value : "");
  return line;
}

static cJSON *with_bool(cJSON *line, const char *name, int value) {
  cJSON_AddBoolToObject(line, name, value);
  return line;
}

static int has(const cJSON *fields, const char *name) { return cJSON_GetObjectItem(fields, name) != NULL; }

static const char *text(const cJSON *fields, const char *name) {
  return cJSON_GetStringValue(cJSON_GetObjectItem(fields, name));
}

// A number; those that are options of the scenario come as text.
static double number(const cJSON *fields, const char *name) {
  const cJSON *item = cJSON_GetObjectItem(fields, name);
  if (cJSON_IsString(item)) return atof(item->valuestring);
  return item ? item->valuedouble : 0;
}

static int is_true(const cJSON *fields, const char *name) { return cJSON_IsTrue(cJSON_GetObjectItem(fields, name)); }

// A field that is none of these words; NULL if there is none.
static const char *other(const cJSON *fields, const char *words) {
  for (const cJSON *item = fields ? fields->child : NULL; item; item = item->next) {
    char word[64];
    snprintf(word, sizeof word, " %s ", item->string);
    if (!strstr(words, word)) return item->string;
  }
  return NULL;
}

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char *encoded(const void *data, size_t length) {
  const unsigned char *in = data;
  char *out = malloc(length / 3 * 4 + 5), *at = out;
  for (size_t i = 0; i < length; i += 3) {
    unsigned long bits = (unsigned long)in[i] << 16;
    if (i + 1 < length) bits |= (unsigned long)in[i + 1] << 8;
    if (i + 2 < length) bits |= in[i + 2];
    *at++ = BASE64[bits >> 18];
    *at++ = BASE64[bits >> 12 & 63];
    *at++ = i + 1 < length ? BASE64[bits >> 6 & 63] : '=';
    *at++ = i + 2 < length ? BASE64[bits & 63] : '=';
  }
  *at = 0;
  return out;
}

static unsigned char *decoded(const char *in, int *length) {
  unsigned char *out = malloc(strlen(in) + 1);
  unsigned long bits = 0;
  int count = 0;
  for (*length = 0; *in && *in != '='; in++) {
    bits = bits << 6 | (unsigned long)(strchr(BASE64, *in) - BASE64);
    if (++count % 4 != 1) out[(*length)++] = (unsigned char)(bits >> (count % 4 == 2 ? 4 : count % 4 == 3 ? 2 : 0));
  }
  return out;
}

// `properties` is NULL if the library does not report any.
static void say_received(const char *topic, const void *payload, size_t length, int qos, int retain, int dup, cJSON *properties) {
  char *data = encoded(payload, length);
  cJSON *line = with(with_text(with_text(event("received"), "topic", topic), "payload", data), "qos", qos);
  if (properties) cJSON_AddItemToObject(line, "properties", properties);
  say(with_bool(with_bool(line, "retain", retain), "dup", dup));
  free(data);
}

static cJSON *list(cJSON *fields, const char *name) {
  if (!has(fields, name)) cJSON_AddArrayToObject(fields, name);
  return cJSON_GetObjectItem(fields, name);
}

static void add_pair(cJSON *fields, const char *name, const char *value) {
  const char *pair[] = {name, value};
  cJSON_AddItemToArray(list(fields, "user_property"), cJSON_CreateStringArray(pair, 2));
}

// The commands, in the adapter's own file.
static cJSON *hello(void);
static Result new_client(const cJSON *fields);
static Result connect_client(int id, const cJSON *fields);
static Result publish(int id, const cJSON *fields);
static Result subscribe(int id, const cJSON *fields);
static Result unsubscribe(int id, const cJSON *fields);
static Result disconnect_client(const cJSON *fields);
static void drop(void);
// What is done after the reply to a command.
static void replied(int id);

static Result done(const char *name, int id, const cJSON *fields) {
  if (!strcmp(name, "new")) return new_client(fields);
  if (!strcmp(name, "connect")) return connect_client(id, fields);
  if (!strcmp(name, "publish")) return publish(id, fields);
  if (!strcmp(name, "subscribe")) return subscribe(id, fields);
  if (!strcmp(name, "unsubscribe")) return unsubscribe(id, fields);
  if (!strcmp(name, "disconnect")) return disconnect_client(fields);
  if (!strcmp(name, "drop")) return drop(), NULL;
  return unsupported("the library has no command for it");
}

int main(void) {
  char *line = NULL;
  size_t size = 0;
  while (getline(&line, &size, stdin) > 0) {
    cJSON *command = cJSON_Parse(line), *fields = command->child;
    while (!strcmp(fields->string, "id")) fields = fields->next;
    int id = (int)number(command, "id");
    cJSON *reply = with(cJSON_CreateObject(), "id", id);
    if (!strcmp(fields->string, "hello")) {
      cJSON_AddItemToObject(reply, "ok", hello());
    } else {
      Result result = done(fields->string, id, fields);
      if (result) with_text(reply, result->kind, result->why);
      else cJSON_AddObjectToObject(reply, "ok");
    }
    say(reply);
    replied(id);
    cJSON_Delete(command);
  }
  return 0;
}
