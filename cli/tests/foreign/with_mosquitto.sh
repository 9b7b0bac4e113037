#!/usr/bin/env bash
# Runs the situations of `main.rs` with mosquitto_pub and mosquitto_sub.
# Exit code 0: success; 77: not supported by these clients.
set -euo pipefail

out=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$out"' EXIT
fail() { echo "$*" >&2; cat "$out"/* >&2 || true; exit 1; }
equal() { [ "$1" = "$2" ] || fail "expected $(printf %q "$2"), got $(printf %q "$1")"; }

place=(-h "${MQTTSPEC_MQTT%:*}" -p "${MQTTSPEC_MQTT##*:}")
pub() { mosquitto_pub "${place[@]}" "$@"; }
# -W is the time-out in seconds, far longer than any situation takes.
sub() { stdbuf -oL mosquitto_sub "${place[@]}" -W 60 "$@"; }

# Starts mosquitto_sub in the background and waits until it is subscribed. Its output is in $out/NAME.
listen() {
  # Not `sub`: a kill must reach the program and not a shell.
  stdbuf -oL mosquitto_sub "${place[@]}" -W 60 -d -F 'got %p' "${@:2}" >"$out/$1" 2>&1 &
  for _ in $(seq 600); do
    grep -q '^Subscribed' "$out/$1" && return
    sleep 0.1
  done
  fail "$1 is not subscribed"
}
# Creates a Session with a Subscription; `fetch` then receives the messages queued for it.
leave() { sub -c -i away -E "$@"; }
fetch() { sub -c -i away "$@"; }

connect() {
  for version in 311 5; do pub -V "mqttv$version" -t nobody -m hi -q 1; done
}

qos() {
  for version in 311 5; do
    for level in 1 2; do
      leave -V "mqttv$version" -x 3600 -q "$level" -t "qos/$level"
      seq 20 | pub -V "mqttv$version" -q "$level" -t "qos/$level" -l
      equal "$(fetch -V "mqttv$version" -x 3600 -q "$level" -t "qos/$level" -C 20 -F '%q %p')" "$(seq -f "$level %g" 20)"
      sub -V "mqttv$version" -i away -E -t forget
    done
    listen "qos-0-$version" -V "mqttv$version" -t qos/0 -C 20
    seq 20 | pub -V "mqttv$version" -q 0 -t qos/0 -l
    wait $!
    equal "$(grep '^got' "$out/qos-0-$version")" "$(seq -f 'got %g' 20)"
  done
}

retained() {
  for version in 311 5; do
    pub -V "mqttv$version" -t retained -m kept -q 1 -r
    equal "$(sub -V "mqttv$version" -t retained -q 1 -C 1 -F '%r %p')" "1 kept"
    pub -V "mqttv$version" -t retained -n -q 1 -r
    # If the old message were still retained, it would arrive before this one, which is sent after the SUBACK.
    listen "retained-$version" -V "mqttv$version" -t retained -C 1
    pub -V "mqttv$version" -t retained -m new -q 1
    wait $!
    equal "$(grep '^got' "$out/retained-$version")" "got new"
  done
}

will() {
  for version in 311 5; do
    listen "watcher-$version" -V "mqttv$version" -t will -C 1
    watcher=$!
    listen "owner-$version" -V "mqttv$version" -t nothing --will-topic will --will-payload gone --will-qos 1
    disown $!
    kill -KILL $!
    wait $watcher
    equal "$(grep '^got' "$out/watcher-$version")" "got gone"
  done
}

resume() {
  for version in 311 5; do
    leave -V "mqttv$version" -x 3600 -q 1 -t "resume/$version"
    pub -V "mqttv$version" -t "resume/$version" -m waited -q 1
    equal "$(fetch -V "mqttv$version" -x 3600 -q 1 -t "resume/$version" -C 1)" waited
  done
}

shared() {
  listen one -V mqttv5 -t '$share/group/shared' -q 1
  listen two -V mqttv5 -t '$share/group/shared' -q 1
  seq 20 | pub -V mqttv5 -q 1 -t shared -l
  for _ in $(seq 600); do
    [ "$(cat "$out/one" "$out/two" | grep -c '^got')" = 20 ] && break
    sleep 0.1
  done
  equal "$(cat "$out/one" "$out/two" | grep '^got' | sort -k 2 -n)" "$(seq -f 'got %g' 20)"
  grep -q '^got' "$out/one" && grep -q '^got' "$out/two" || fail "a member got nothing"
}

properties() {
  leave -V mqttv5 -x 3600 -q 1 -t properties
  pub -V mqttv5 -q 1 -t properties -m hi -D publish user-property b 2 -D publish user-property a 1 \
    -D publish content-type text/plain -D publish response-topic answers -D publish correlation-data 42 \
    -D publish payload-format-indicator 1 -D publish message-expiry-interval 100
  read -r content answers data form user <<<"$(fetch -V mqttv5 -x 3600 -q 1 -t properties -C 1 -F '%C %R %D %F %P')"
  equal "$content $answers $data $form $user" "text/plain answers 42 1 b:2 a:1"
}

tls() {
  place=(-h localhost -p "${MQTTSPEC_MQTTS##*:}" --cafile "$MQTTSPEC_CA")
  retained
}

websocket() {
  echo "mosquitto_pub has no WebSocket" >&2
  exit 77
}

"$1"
