#include "streaming/server/self_signed.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace crisp::streaming {
namespace {

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* object) const { Free(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509, X509_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION, X509_EXTENSION_free>>;
using Bio = std::unique_ptr<BIO, Deleter<BIO, BIO_free_all>>;

absl::Status OpenSslError(absl::string_view what) {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  return absl::InternalError(absl::StrCat("make a certificate: ", what, ": ", text));
}

std::string AlternativeNames(const std::vector<std::string>& names) {
  std::vector<std::string> entries;
  for (const std::string& name : names) {
    char bytes[16];
    bool address = inet_pton(AF_INET, name.c_str(), bytes) == 1 ||
                   inet_pton(AF_INET6, name.c_str(), bytes) == 1;
    entries.push_back(absl::StrCat(address ? "IP:" : "DNS:", name));
  }
  return absl::StrJoin(entries, ",");
}

bool AddExtension(X509* certificate, int kind, const std::string& value) {
  Extension extension(X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str()));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool SetSerial(X509* certificate) {
  unsigned char bytes[8];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return false;
  uint64_t serial = 0;
  for (unsigned char byte : bytes) serial = serial << 8 | byte;
  return ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1) == 1;
}

std::string Contents(BIO* bio) {
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

}  // namespace

absl::StatusOr<PemPair> MakeSelfSigned(const std::vector<std::string>& names,
                                       absl::Time now,
                                       absl::Duration lifetime) {
  Key key(EVP_EC_gen("P-256"));
  if (key == nullptr) return OpenSslError("generate a key");
  Certificate certificate(X509_new());
  time_t start = absl::ToTimeT(now - absl::Hours(1)), end = absl::ToTimeT(now + lifetime);
  X509* raw = certificate.get();
  if (raw == nullptr || X509_set_version(raw, X509_VERSION_3) != 1 || !SetSerial(raw) ||
      ASN1_TIME_set(X509_getm_notBefore(raw), start) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(raw), end) == nullptr ||
      X509_set_pubkey(raw, key.get()) != 1) {
    return OpenSslError("fill it in");
  }
  X509_NAME* subject = X509_get_subject_name(raw);
  const auto* common = reinterpret_cast<const unsigned char*>("crisp streaming");
  if (X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, common, -1, -1, 0) != 1 ||
      X509_set_issuer_name(raw, subject) != 1 ||
      !AddExtension(raw, NID_basic_constraints, "critical,CA:TRUE") ||
      !AddExtension(raw, NID_subject_alt_name, AlternativeNames(names))) {
    return OpenSslError(absl::StrCat("name ", absl::StrJoin(names, ", ")));
  }
  if (X509_sign(raw, key.get(), EVP_sha256()) == 0) return OpenSslError("sign it");
  Bio certificate_pem(BIO_new(BIO_s_mem())), key_pem(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(certificate_pem.get(), raw) != 1 ||
      PEM_write_bio_PrivateKey(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
          1) {
    return OpenSslError("write it");
  }
  return PemPair{.certificate = Contents(certificate_pem.get()), .key = Contents(key_pem.get())};
}

}  // namespace crisp::streaming
