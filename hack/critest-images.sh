#!/bin/bash
# hack/critest-images.sh: builds every image that critest pulls, from Debian's packages and sources, into the storage of a
# docker-registry under the paths that they have upstream. Prints that storage folder. Cached in
# build/critest-images.
#
# One image cannot be built: test-image-digest is asked for by the digest of the upstream file.
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/..")
out=$root/build/critest-images
source "$root/hack/lib/upstream_images.sh"
source "$root/hack/lib/usage.sh"
answer_help "$@"
bin=$("$root/hack/tools.sh")

build_trees() {
  rm -rf "$out/trees"
  busybox_tree "$out/trees/busybox" "$out/busybox"
  nginx_tree "$out/trees/nginx" 80
  nginx_tree "$out/trees/hostnet-nginx" 12003
  mkdir -p "$out"/trees/{httpd/www,httpd/bin,pause,group/etc}
  echo '<h1>It works</h1>' >"$out/trees/httpd/www/index.html"
  # critest looks for the program's name in its log, where Apache says its command line.
  printf '%s\n' '#!/bin/sh' 'echo "httpd serves /www"' 'exec httpd -f -p 80 -h /www' \
    >"$out/trees/httpd/bin/serve"
  chmod 755 "$out/trees/httpd/bin/serve"
  install -m 755 "$out/pause" "$out/trees/pause/pause"
  cp "$out"/trees/busybox/etc/{passwd,group} "$out/trees/group/etc/"
  echo default-user:x:1000:1000::/home:/bin/sh >>"$out/trees/group/etc/passwd"
  printf '%s\n' default-user:x:1000: group-defined-in-image:x:50000:default-user \
    >>"$out/trees/group/etc/group"
}

marker() { jq -n --arg name "$1" '{entries: [{path: "image-name", content: $name}]}'; }

publish_all() {
  local e2e=e2e-test-images staging=k8s-staging-cri-tools name
  image "$shell_config" busybox | publish "$e2e/busybox:1.29-2"
  image "$nginx_config" busybox nginx | publish "$e2e/nginx:1.14-2"
  image "$nginx_config" busybox hostnet-nginx | publish "$staging/hostnet-nginx-$(dpkg --print-architecture):latest"
  image "{\"Cmd\":[\"/bin/serve\"],$image_path}" busybox httpd | publish "$e2e/httpd:2.4.39-4"
  image '{"Entrypoint":["/nnp"]}' busybox "$(jq -n --arg source "$out/nnp" \
    '{entries: [{path: "nnp", source: $source, mode: "4755"}]}')" | publish "$e2e/nonewprivs:1.3"
  image '{"Entrypoint":["/pause"]}' pause | publish pause:3.9
  image "{\"User\":\"1002\",\"Cmd\":[\"sh\"]}" busybox | publish "$staging/test-image-user-uid:latest"
  image "{\"User\":\"www-data\",\"Cmd\":[\"sh\"]}" busybox | publish "$staging/test-image-user-username:latest"
  image "{\"User\":\"1003:1004\",\"Cmd\":[\"sh\"]}" busybox | publish "$staging/test-image-user-uid-group:latest"
  image "{\"User\":\"www-data:1004\",\"Cmd\":[\"sh\"]}" busybox | publish "$staging/test-image-user-username-group:latest"
  image "{\"User\":\"1000\",\"Cmd\":[\"sh\"],$image_path}" busybox group | publish "$staging/test-image-predefined-group:latest"
  for name in test-image-latest:latest test-image-tag:test test-image-tag:all test-image-{1,2,3}:latest; do
    image "$shell_config" busybox "$(marker "$name")" | publish "$staging/$name"
  done
  image "$shell_config" busybox "$(marker test-image-tags)" | publish "$staging"/test-image-tags:{1,2,3}
}

make_images "$bin/mkimage"
