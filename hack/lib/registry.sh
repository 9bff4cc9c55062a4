# Sourced. Local registries for tests, each a docker-registry process on a free loopback port with a
# folder of its own.
#
#   address=$(start_registry [--tls] [--auth USER:PASSWORD] [--storage FOLDER])
#   folder=$(registry_folder "$address")     # log; with --tls also ca.crt
#   mirror_registry [--upstream URL] "$address" FOLDER HOST...   # in place of HOST
#   stop_registry "$address"                 # and forget all but --storage

registry_folder() { readlink -f "${TMPDIR:-/tmp}/crisp-registry.${1##*:}"; }

# Prints HOST:PORT once the registry listens; fails, having printed its log, when it does not.
start_registry() {
  local tls='' auth='' storage='' folder port=''
  while [[ $# -gt 0 ]]; do
    case $1 in
      --tls) tls=yes ;;
      --auth) auth=$2; shift ;;
      --storage) storage=$2; shift ;;
      *) echo "start_registry: $1?" >&2; return 2 ;;
    esac
    shift
  done
  folder=$(mktemp -d "${TMPDIR:-/tmp}/crisp-registry.XXXXXXXX")
  {
    echo 'version: 0.1'
    echo 'log: {level: info, accesslog: {disabled: true}}'
    echo "storage: {filesystem: {rootdirectory: ${storage:-$folder/storage}}, delete: {enabled: true}}"
    if [[ -n $auth ]]; then
      htpasswd -Bbn "${auth%%:*}" "${auth#*:}" >"$folder/htpasswd"
      echo "auth: {htpasswd: {realm: test, path: $folder/htpasswd}}"
    fi
    if [[ -n $tls ]]; then
      _registry_certificate "$folder" >&2
      echo "http: {addr: \"127.0.0.1:0\", secret: s, tls: {certificate: $folder/tls.crt, key: $folder/tls.key}}"
    else
      echo 'http: {addr: "127.0.0.1:0", secret: s}'
    fi
  } >"$folder/config.yml"
  docker-registry serve "$folder/config.yml" >"$folder/log" 2>&1 </dev/null &
  echo $! >"$folder/pid"
  for _ in {1..100}; do
    port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$folder/log" 2>/dev/null || true)
    [[ -n $port ]] && break
    sleep 0.05
  done
  if [[ -z $port ]]; then
    cat "$folder/log" >&2
    kill "$(cat "$folder/pid")" 2>/dev/null
    rm -rf "$folder"
    return 1
  fi
  ln -sfn "$folder" "${TMPDIR:-/tmp}/crisp-registry.$port"
  echo "127.0.0.1:$port"
}

stop_registry() {
  local folder pid
  folder=$(registry_folder "$1") || return 0
  # It may have ended before, and its number be another's.
  pid=$(cat "$folder/pid" 2>/dev/null) && grep -qsx docker-registry "/proc/$pid/comm" && kill "$pid" 2>/dev/null || true
  rm -rf "$folder" "${TMPDIR:-/tmp}/crisp-registry.${1##*:}"
}

# mirror_registry [--upstream URL] ADDRESS FOLDER HOST...: writes what makes a runtime whose
# registry_config_dirs have FOLDER take HOST's images from the registry at ADDRESS. It takes those that are
# not there from URL.
mirror_registry() {
  local upstream='' address folder host
  if [[ $1 == --upstream ]]; then upstream=$2; shift 2; fi
  address=$1 folder=$2
  shift 2
  for host; do
    mkdir -p "$folder/$host"
    printf 'server = "%s"\n\n[host."http://%s"]\n  capabilities = ["pull", "resolve"]\n' \
      "${upstream:-http://$address}" "$address" >"$folder/$host/hosts.toml"
  done
}

_registry_certificate() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=crisp test CA' \
    -keyout "$1/ca.key" -out "$1/ca.crt" 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj '/CN=localhost' \
    -keyout "$1/tls.key" -out "$1/tls.csr" 2>/dev/null
  openssl x509 -req -in "$1/tls.csr" -CA "$1/ca.crt" -CAkey "$1/ca.key" -CAcreateserial -days 2 \
    -extfile <(echo 'subjectAltName=IP:127.0.0.1,DNS:localhost') -out "$1/tls.crt" 2>/dev/null
}
