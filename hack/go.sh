#!/bin/bash
# hack/go.sh ARG...: runs `go ARG...` with a Go that is new enough for hack/tools and for the module in
# the working directory, and fetches one where the machine has none: the toolchain is a module like any
# other, so even Debian's Go 1.19, which does not know how to switch by itself, can download and check
# it.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
modules=("$here/tools/go.mod")
[[ ! -f go.mod ]] || modules+=(go.mod)
wanted=$(sed -n "s/^go //p" "${modules[@]}" | sort -V | tail -1)

# at_least A B: whether version A is B or newer.
at_least() { [[ $(printf '%s\n' "$1" "$2" | sort -V | head -1) == "$2" ]]; }

best='' best_version=0
for go in "$(command -v go || true)" /usr/local/go/bin/go /usr/lib/go-*/bin/go; do
  [[ -x $go ]] || continue
  version=$(GOTOOLCHAIN=local "$go" env GOVERSION | sed 's/^go//')
  if ! at_least "$best_version" "$version"; then best=$go best_version=$version; fi
done
if [[ -z $best ]]; then
  echo "go.sh: there is no Go at all: run hack/deps.sh" >&2
  exit 1
fi

if ! at_least "$best_version" "$wanted"; then
  # go.sum beside this go.mod pins the toolchain's hash, so no checksum database is asked.
  cd "$here/tools/toolchain"
  module=golang.org/toolchain@v0.0.1-go$wanted.linux-$("$best" env GOARCH)
  root=$("$best" env GOMODCACHE)/$module
  if [[ ! -x $root/bin/go ]]; then
    GOTOOLCHAIN=local GONOSUMDB=golang.org/toolchain GOFLAGS=-mod=readonly \
      "$best" mod download "$module"
    # A module's files are stored without their modes.
    chmod -R u+w "$root"
    chmod +x "$root"/bin/* "$root"/pkg/tool/*/*
  fi
  best=$root/bin/go
  cd "$OLDPWD"
fi
export GOTOOLCHAIN=local
unset GOROOT
exec "$best" "$@"
