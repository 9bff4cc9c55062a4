#!/bin/bash
# hack/node-images.sh: builds the images that Kubernetes' own tests (hack/node-conformance.sh, hack/conformance.sh) pull, from
# Debian's packages and sources and Kubernetes' own test programs, into the storage of a docker-registry
# under the paths that they have upstream. Prints that storage folder. Cached in build/node-images.
set -euo pipefail
root=$(readlink -f "$(dirname "$0")/..")
out=$root/build/node-images
source "$root/hack/lib/upstream_images.sh"
source "$root/hack/lib/usage.sh"
answer_help "$@"
bin=$("$root/hack/tools.sh")
programs=$("$root/hack/kubernetes.sh" images)

# Where the sources of upstream's images are.
images_source() {
  (cd "$root/hack/tools/kubernetes" && GOFLAGS=-mod=readonly "$root/hack/go.sh" list -f '{{.Module.Dir}}/test/images' \
    k8s.io/kubernetes/test/images/agnhost)
}

build_trees() {
  local program source name
  source=$(images_source)
  rm -rf "$out/trees"
  busybox_tree "$out/trees/busybox" "$out/busybox"
  nginx_tree "$out/trees/nginx" 80
  mkdir -p "$out"/trees/{pause,agnhost/uploads,agnhost/etc,linux}
  install -m 755 "$out/pause" "$out/trees/pause/pause"
  install -m 755 "$programs/agnhost" "$out/trees/agnhost/agnhost"
  ln -s agnhost "$out/trees/agnhost/agnhost-2"
  install -m 644 "$source"/agnhost/porter/localhost.{crt,key} "$out/trees/agnhost/"
  cp "$out"/trees/busybox/etc/{passwd,group} "$out/trees/agnhost/etc/"
  echo user-defined-in-image:x:1000:1000::/home:/bin/sh >>"$out/trees/agnhost/etc/passwd"
  printf '%s\n' user-defined-in-image:x:1000: group-defined-in-image:x:50000:user-defined-in-image \
    >>"$out/trees/agnhost/etc/group"
  for program in /usr/bin/{curl,dig,getent} /bin/{bash,nc.openbsd}; do copy_program "$out/trees/agnhost" "$program"; done
  ln -s /bin/nc.openbsd "$out/trees/agnhost/usr/bin/nc" # before busybox's, which lacks options
  for program in /usr/bin/{ipcs,ipcmk,ipcrm,lscpu}; do copy_program "$out/trees/linux" "$program"; done
  # Pages for agnhost to serve. Tests mount these images, too, and look for the name of upstream's system then.
  for name in kitten nautilus; do
    mkdir -p "$out/trees/$name/etc"
    install -m 644 "$source/$name"/html/* "$out/trees/$name/"
    echo 'NAME="Alpine Linux"' >"$out/trees/$name/etc/os-release"
  done
  mkdir -p "$out/trees/apiserver"
  install -m 755 "$programs/sample-apiserver" "$out/trees/apiserver/sample-apiserver"
  copy_program "$out/trees/etcd" /usr/bin/etcd
  mkdir -p "$out/trees/etcd/usr/local"
  ln -s ../bin "$out/trees/etcd/usr/local/bin"
  # The resolver of glibc, not busybox's own.
  account_files "$out/trees/glibc"
  ln -s usr/bin "$out/trees/glibc/bin"
  for program in /usr/bin/{bash,cat,dig,getent,hostname,seq,sleep}; do copy_program "$out/trees/glibc" "$program"; done
  ln -s bash "$out/trees/glibc/usr/bin/sh"
  echo 'hosts: files dns' >"$out/trees/glibc/etc/nsswitch.conf"
}

# agnhost_registry IMAGE TAG NAME: what agnhost's registry serves, IMAGE of the registry here as NAME.
agnhost_registry() {
  local folder=$out/trees/registry/var/registry/$1 digest file
  mkdir -p "$folder/manifests"
  digest=$(curl -fsS -o "$out/manifest" -D - -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
    "http://$registry/v2/$1/manifests/$2" | tr -d '\r' | sed -n 's/^docker-content-digest: //Ip')
  echo "$digest" >"$folder/manifests/$3"
  for file in "manifests $digest" $(jq -r '.config, .layers[] | "blobs/" + .digest' "$out/manifest"); do
    file=${file/ //}
    digest=${file#*/sha256:}
    mkdir -p "$folder/${file%%/*}/sha256/${digest:0:2}/$digest"
    curl -fsS -H 'Accept: application/vnd.oci.image.manifest.v1+json' -o \
      "$folder/${file%%/*}/sha256/${digest:0:2}/$digest/data" "http://$registry/v2/$1/$file"
  done
  rm -f "$out/manifest"
}

publish_all() {
  local e2e=e2e-test-images page
  local agnhost="{\"Entrypoint\":[\"/agnhost\"],\"Cmd\":[\"pause\"],$image_path}"
  image '{"Entrypoint":["/pause"],"User":"65535:65535"}' pause | publish pause:3.10.2
  agnhost_registry pause 3.10.2 testing
  image "$shell_config" busybox | publish "$e2e"/busybox:{1.37.0-2,1.29-2}
  image "{\"User\":\"1234\",\"Cmd\":[\"sh\"],$image_path}" busybox | publish "$e2e/nonroot:1.5"
  image "$shell_config" busybox linux | publish "$e2e/ipc-utils:1.4"
  image "$shell_config" glibc | publish "$e2e/glibc-dns-testing:2.1.1"
  image "$nginx_config" busybox nginx | publish "$e2e/nginx:1.27.0-2"
  image "$nginx_config" busybox nginx '{"entries": [{"path": "newer", "content": "1.28"}]}' | publish "$e2e/nginx:1.28.0-2"
  image "$agnhost" busybox agnhost registry | publish "$e2e/agnhost:2.66.1"
  image "$agnhost" busybox agnhost registry '{"entries": [{"path": "older", "content": "2.55"}]}' | publish "$e2e/agnhost:2.55"
  for page in kitten nautilus; do
    image "{\"Entrypoint\":[\"/agnhost\"],\"Cmd\":[\"test-webserver\"],$image_path}" busybox agnhost "$page" | publish "$e2e/$page:1.8"
  done
  image '{"Entrypoint":["/sample-apiserver"]}' busybox apiserver | publish "$e2e/sample-apiserver:1.29.2"
  image "{\"Cmd\":[\"etcd\"],$image_path}" busybox etcd | publish etcd:3.7.0-0
  image "{\"Cmd\":[\"nnp\"],$image_path}" busybox "$(jq -n --arg source "$out/nnp" \
    '{entries: [{path: "usr/local/bin/nnp", source: $source, mode: "6755"}]}')" | publish "$e2e/nonewprivs:1.4"
}

make_images "$bin/mkimage" "$programs"/{agnhost,sample-apiserver} /usr/bin/etcd
