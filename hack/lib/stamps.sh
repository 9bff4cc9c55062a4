# Sourced. What is made once, and again only when that from which it is made has changed.

# make_once FOLDER STAMP COMMAND...: runs COMMAND unless FOLDER has been made under this STAMP. Only one
# process at a time makes a folder. A COMMAND that fails leaves no stamp.
make_once() {
  local folder=$1 stamp=$2
  shift 2
  mkdir -p "$folder"
  exec 8>"$folder/lock"
  flock 8
  if [[ $(cat "$folder/stamp" 2>/dev/null) != "$stamp" ]]; then
    rm -f "$folder/stamp"
    "$@" 8>&-
    echo "$stamp" >"$folder/stamp"
  fi
  exec 8>&-
}

# go_program NAME MODULE ARGUMENT...: runs `go ARGUMENT...` in the folder MODULE, unless $bin/NAME was built by
# the same arguments from the same sources. $root is the tree's.
go_program() {
  local name=$1 module=$2 stamp started=$SECONDS
  shift 2
  stamp=$({ echo "$*"; cat "$module"/{go.mod,go.sum,*.go} 2>/dev/null || true; } | sha256sum)
  [[ $(cat "$bin/.$name.stamp" 2>/dev/null) != "$stamp" ]] || return 0
  echo "${0##*/}: building $name" >&2
  rm -f "$bin/.$name.stamp"
  (cd "$module" && CGO_ENABLED=0 GOFLAGS="-mod=readonly -trimpath" "$root/hack/go.sh" "$@")
  echo "${0##*/}: $name built in $((SECONDS - started)) s" >&2
  echo "$stamp" >"$bin/.$name.stamp"
}
