#ifndef CRISP_STORAGE_VALUES_CREDENTIALS_H_
#define CRISP_STORAGE_VALUES_CREDENTIALS_H_

#include <string>

namespace crisp::storage {

// Credentials of one pull, as the CRI's AuthConfig gives them. Never logged.
struct RegistryAuth {
  std::string username;
  std::string password;
  std::string auth;            // base64 "user:password"
  std::string server_address;  // if it is another host's, the credentials are not used
  std::string identity_token;  // OAuth2 refresh token
  std::string registry_token;  // bearer token, sent as it is
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_VALUES_CREDENTIALS_H_
