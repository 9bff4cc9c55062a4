#ifndef CRISP_STREAMING_SERVER_SERVER_OPTIONS_H_
#define CRISP_STREAMING_SERVER_SERVER_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace crisp::streaming {

// The source of the keys for HTTPS. With neither, the server speaks plain HTTP.
struct TlsOptions {
  // PEM files; both or none. They are read again when they change.
  std::string cert_file;
  std::string key_file;
  // A PEM file. If it is given, clients must show a certificate that it signed.
  std::string client_ca_file;
  // A key pair of our own, made at start and renewed before it expires.
  bool self_signed = false;
};

// The section `streaming` of the configuration. The defaults here are the configuration's.
struct ServerOptions {
  // HOST:PORT to listen on; port 0 takes a free one.
  std::string address = "127.0.0.1:0";
  // HOST or HOST:PORT to put into URLs instead, for clients that reach the node by another name.
  std::string advertise;
  TlsOptions tls;
  // A connection without traffic in either direction for this long ends. Zero means never.
  absl::Duration idle_timeout = absl::Hours(4);
  // The longest time from the TCP connection to the end of the upgrade.
  absl::Duration handshake_timeout = absl::Seconds(30);
  // The longest time from the TCP connection to a request with a token; within handshake_timeout.
  absl::Duration request_timeout = absl::Seconds(10);
  // A URL is good for this long, and this many may wait for their client.
  absl::Duration token_ttl = absl::Minutes(1);
  size_t token_cap = 1000;
  // The most connections at a time, of all pods and of one. Further ones are answered 503.
  int64_t connection_cap = 2000;
  int64_t pod_cap = 200;
  // The most connections at a time that have shown no token yet; they are counted apart. One more
  // makes the oldest of them end.
  size_t stranger_cap = 256;
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SERVER_SERVER_OPTIONS_H_
