#!/usr/bin/env bash
# What the tests need from the system: a Modbus master and slave that pymodbus did not write, an MQTT broker with its
# clients, two time-series servers (vmalert comes with the first), node for the OPC UA client, a browser, and an RTSP
# camera.
set -eu
missing=()
command -v mbpoll >/dev/null || missing+=(mbpoll)
ldconfig -p 2>/dev/null | grep -q 'libmodbus\.so\.5' || missing+=(libmodbus5)
command -v mosquitto >/dev/null || missing+=(mosquitto)
command -v mosquitto_sub >/dev/null || missing+=(mosquitto-clients)
command -v victoria-metrics >/dev/null || missing+=(victoria-metrics)
command -v influxd >/dev/null || missing+=(influxdb)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v chromium >/dev/null || missing+=(chromium)
/usr/bin/python3 -c 'import gi; gi.require_version("GstRtspServer", "1.0")' 2>/dev/null \
  || missing+=(python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good)
[ ${#missing[@]} -eq 0 ] && exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "==> installing system packages: ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "error: the tests need ${missing[*]}; on Debian and Ubuntu: sudo apt-get install ${missing[*]}" >&2
  exit 1
fi
