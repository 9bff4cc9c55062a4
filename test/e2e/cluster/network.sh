#!/bin/bash
# Addresses, host ports, the host's network, names and DNS.
. "$(dirname "$0")/lib.sh"
port=$((20000 + RANDOM % 10000))

apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
spec:
  terminationGracePeriodSeconds: 1
  hostname: called
  subdomain: sub
  setHostnameAsFQDN: true
  hostAliases: [{ip: 192.0.2.77, hostnames: [alias.test, other.test]}]
  dnsPolicy: None
  dnsConfig:
    nameservers: [192.0.2.53]
    searches: [one.test, two.test]
    options: [{name: ndots, value: "2"}, {name: edns0}]
  containers:
  - {name: c, image: $web, ports: [{containerPort: 80, hostPort: $port}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 1
  dnsPolicy: Default
  containers: [{name: c, image: $busybox, command: [sleep, "1000"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: cluster-first}
spec:
  terminationGracePeriodSeconds: 1
  dnsConfig: {options: [{name: ndots, value: "3"}]}
  containers: [{name: c, image: $busybox, command: [sleep, "1000"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: host}
spec:
  terminationGracePeriodSeconds: 1
  hostNetwork: true
  containers: [{name: c, image: $busybox, command: [sleep, "1000"]}]
---
apiVersion: v1
kind: Service
metadata: {name: server}
spec: {selector: {app: server}, ports: [{port: 80}]}
YAML
# get ADDRESS PORT: from a pod.
get() { inside client sh -c "printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 5 $1 $2"; }
ready server
ready client
ready host
ready cluster-first
address=$(field pod/server .status.podIP)

echo "- addresses from the node's range, pods that reach each other and the node"
range=$(field node/crisp .spec.podCIDR)
same "range" "${address%.*}" "${range%.*}"
matches "from a pod" "$(get "$address" 80)" "Hello from a pod"
matches "from the node" "$(curl -fsS --max-time 5 "http://$address/")" "Hello from a pod"
node_address=$(field node/crisp '.status.addresses[] | select(.type == "InternalIP") | .address')
matches "the API server from a pod" "$(get "$node_address" 6443)" "HTTP request to an HTTPS server"
same "endpoints" "$(kubectl get endpointslices -l kubernetes.io/service-name=server -o json | jq -r '.items[0].endpoints[0].addresses[0]')" "$address"

echo "- host ports, from the node and from pods, until the pod goes"
matches "by loopback" "$(curl -fsS --max-time 5 "http://127.0.0.1:$port/")" "Hello from a pod"
matches "by the node's address" "$(curl -fsS --max-time 5 "http://$node_address:$port/")" "Hello from a pod"
matches "from a pod" "$(get "$node_address" "$port")" "Hello from a pod"

echo "- host network"
same "namespace" "$(inside host readlink /proc/self/ns/net)" "$(readlink /proc/self/ns/net)"
same "address" "$(field pod/host .status.podIP)" "$node_address"

echo "- names"
same "hostname" "$(inside server hostname)" called.sub.network.svc.cluster.local
matches "own name" "$(inside server cat /etc/hosts)" "${address}[[:space:]]+called.sub"
matches "aliases" "$(inside server cat /etc/hosts)" "192.0.2.77[[:space:]]+alias.test[[:space:]]+other.test"
same "hostname of the client" "$(inside client hostname)" client
# The kubelet keeps options in no order.
same "DNS of its own" "$(inside server cat /etc/resolv.conf | sed 's/options edns0 ndots:2/options ndots:2 edns0/' | sort | tr '\n' ';')" \
  "nameserver 192.0.2.53;options ndots:2 edns0;search one.test two.test;"
same "DNS of the node" "$(inside client cat /etc/resolv.conf | grep ^nameserver)" "$(grep ^nameserver "$CRISP_CLUSTER_DIR/resolv.conf" | head -3)"
matches "the cluster's DNS first" "$(inside cluster-first cat /etc/resolv.conf | tr '\n' ';')" \
  "search network.svc.cluster.local svc.cluster.local cluster.local.*;nameserver 192.0.2.10;options ndots:3;"

kubectl delete pod server --wait >/dev/null
curl -fsS --max-time 2 "http://127.0.0.1:$port/" >/dev/null 2>&1 && fail "the host port still answers"
finish
