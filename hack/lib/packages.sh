# Sourced. Debian's packages.

# missing_packages PACKAGE...: prints those that are not installed, one on a line. It asks no network.
missing_packages() {
  local package
  for package; do
    [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) == ii* ]] || echo "$package"
  done
}

# install_packages PACKAGE...: installs them, as root. Nothing that comes with a service may start it meanwhile.
install_packages() (
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  install=(apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "$@")
  echo "${0##*/}: installing $*"
  # The first try fails where the package lists are old.
  "${install[@]}" >/dev/null 2>&1 || { apt-get update -qq && "${install[@]}"; }
) >&2
