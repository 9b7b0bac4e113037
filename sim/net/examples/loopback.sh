#!/usr/bin/env bash
# The same load on `mqttspec serve` and on mosquitto, in the same run: prints the tables of sim/net/README.md.
# usage: sim/net/examples/loopback.sh [throughput|sessions|connections|durable]…    MOSQUITTO=/path/to/mosquitto, if it is not in PATH
set -euo pipefail
cd "$(dirname "$0")/../../.."
[ -n "${NO_BUILD:-}" ] || cargo build --release --quiet -p mqttspec -p mqttspec-net --example loopback --bin mqttspec
release=${CARGO_TARGET_DIR:-target}/release
mosquitto=${MOSQUITTO:-$(command -v mosquitto || true)}
scratch=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$scratch"' EXIT
# The program holds the connections to both brokers.
ulimit -n "$(ulimit -Hn)"

brokers=()
start_ours() { # NAME ARGUMENT…
  : >"$scratch/ready"
  "$release/mqttspec" serve --listen 0 --listen 0 --listen 0 --listen 0 --listen 0 --option queue_maximum=0 "${@:2}" >"$scratch/ready" &
  until grep -q '^ready' "$scratch/ready"; do sleep 0.1; done
  brokers+=("$1=$!:$(grep -o ':[0-9]\+' "$scratch/ready" | tr -d : | paste -sd ,)")
}
start_mosquitto() {
  [ -n "$mosquitto" ] || { echo "mosquitto is not installed and left out" >&2; return; }
  local ports
  ports=$(seq -s ' ' 18831 18835)
  for port in $ports; do echo "listener $port 127.0.0.1"; done >"$scratch/mosquitto.conf"
  printf '%s\n' 'allow_anonymous true' 'set_tcp_nodelay true' 'max_inflight_messages 0' 'max_queued_messages 0' "user root" >>"$scratch/mosquitto.conf"
  "$mosquitto" -c "$scratch/mosquitto.conf" 2>"$scratch/mosquitto.log" &
  sleep 1
  local process=$! version
  version=$("$mosquitto" -h | sed -n 's/^mosquitto version //p' || true)
  brokers+=("mosquitto $version=$process:${ports// /,}")
}

for what in "${@:-throughput}"; do
  brokers=()
  if [ "$what" = durable ]; then
    start_ours "mqttspec --store" --store "$scratch/store.redb"
    "$release/examples/loopback" durable "${brokers[@]}"
  else
    start_ours mqttspec
    start_mosquitto
    "$release/examples/loopback" "$what" "${brokers[@]}"
  fi
  kill $(jobs -p)
  wait || true
  echo
done
