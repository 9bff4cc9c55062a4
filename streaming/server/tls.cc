#include "streaming/server/tls.h"

#include <openssl/ssl.h>
#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "streaming/server/self_signed.h"

namespace crisp::streaming {
namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

constexpr absl::Duration kCheckEvery = absl::Seconds(1);
constexpr absl::Duration kLifetime = absl::Hours(24 * 365);
constexpr absl::Duration kRenewBefore = absl::Hours(24 * 30);

struct Material {
  PemPair pair;
  std::string client_ca;
  std::string origin;  // for errors
};

absl::Status Unusable(const Material& material, absl::string_view what, const error_code& error) {
  return absl::InvalidArgumentError(
      absl::StrCat("streaming TLS: ", what, " of ", material.origin, ": ", error.message()));
}

absl::StatusOr<TlsKeys::Context> MakeContext(const Material& material) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  error_code error;
  auto buffer = [](const std::string& text) { return boost::asio::buffer(text); };
  context->use_certificate_chain(buffer(material.pair.certificate), error);
  if (error) return Unusable(material, "the certificate", error);
  context->use_private_key(buffer(material.pair.key), ssl::context::pem, error);
  if (error) return Unusable(material, "the key", error);
  SSL_CTX* raw = context->native_handle();
  if (SSL_CTX_check_private_key(raw) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "streaming TLS: the key does not belong to the certificate of ", material.origin));
  }
  if (!material.client_ca.empty()) {
    context->add_certificate_authority(buffer(material.client_ca), error);
    if (error) return Unusable(material, "the client CA", error);
    context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert, error);
    if (error) return Unusable(material, "the client CA", error);
  }
  // Connections are few and each is checked afresh: a resumed session would skip the client's
  // certificate.
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(raw, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_num_tickets(raw, 0);
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  return context;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TlsKeys>> TlsKeys::Load(TlsOptions options,
                                                       std::vector<std::string> names,
                                                       absl::Time now) {
  if (options.cert_file.empty() != options.key_file.empty()) {
    return absl::InvalidArgumentError(
        "streaming TLS: a certificate file and a key file belong together");
  }
  std::unique_ptr<TlsKeys> keys(new TlsKeys(std::move(options), std::move(names)));
  absl::MutexLock lock(&keys->mutex_);
  CRISP_RETURN_IF_ERROR(keys->Renew(now));
  return keys;
}

TlsKeys::Context TlsKeys::Get(absl::Time now) {
  absl::MutexLock lock(&mutex_);
  if (!Stale(now)) return context_;
  if (absl::Status renewed = Renew(now); !renewed.ok()) {
    LogWarning("streaming TLS keys stay as they were", {{"error", renewed.message()}});
  } else {
    LogInfo("streaming TLS keys renewed");
  }
  return context_;
}

bool TlsKeys::Stale(absl::Time now) {
  if (options_.cert_file.empty() && options_.client_ca_file.empty()) return now >= renew_at_;
  if (now - checked_ < kCheckEvery) return false;
  checked_ = now;
  return now >= renew_at_ || Fingerprint() != fingerprint_;
}

absl::Status TlsKeys::Renew(absl::Time now) {
  // First the fingerprint: a file that changes while it is read will be read once more. It also
  // keeps an unusable file from being read for every connection.
  fingerprint_ = Fingerprint();
  checked_ = now;
  Material material;
  if (options_.cert_file.empty()) {
    material.origin = "this server";
    CRISP_ASSIGN_OR_RETURN(material.pair, MakeSelfSigned(names_, now, kLifetime));
  } else {
    material.origin = options_.cert_file;
    CRISP_ASSIGN_OR_RETURN(material.pair.certificate, ReadFile(options_.cert_file));
    CRISP_ASSIGN_OR_RETURN(material.pair.key, ReadFile(options_.key_file));
  }
  if (!options_.client_ca_file.empty()) {
    CRISP_ASSIGN_OR_RETURN(material.client_ca, ReadFile(options_.client_ca_file));
  }
  CRISP_ASSIGN_OR_RETURN(context_, MakeContext(material));
  if (options_.cert_file.empty()) renew_at_ = now + kLifetime - kRenewBefore;
  return absl::OkStatus();
}

std::string TlsKeys::Fingerprint() const {
  std::string fingerprint;
  for (const std::string& file : {options_.cert_file, options_.key_file, options_.client_ca_file}) {
    struct stat info {};
    if (file.empty() || stat(file.c_str(), &info) != 0) info = {};
    absl::StrAppend(&fingerprint, info.st_ino, ":", info.st_size, ":", info.st_mtim.tv_sec, ":",
                    info.st_mtim.tv_nsec, ";");
  }
  return fingerprint;
}

}  // namespace crisp::streaming
