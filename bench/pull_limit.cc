// pull-limit: what inflating, hashing and writing an image's layers takes at least on this machine,
// each done alone, with the fastest library for it. Reads the blobs from a
// docker-registry's storage and unpacks into an empty directory. Prints JSON, in seconds.
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "bench/samples/samples.h"

namespace {

using crisp::bench::Now;

struct Totals {
  size_t compressed = 0, plain = 0, files = 0, layers = 0;
  double inflate = 0, hash = 0, write = 0;
};

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "pull-limit: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) Die(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class Registry {
 public:
  explicit Registry(const std::string& storage) : root_(storage + "/docker/registry/v2/") {}
  std::string Blob(const std::string& digest) const {
    const std::string hex = digest.substr(digest.find(':') + 1);
    return ReadFile(root_ + "blobs/sha256/" + hex.substr(0, 2) + "/" + hex + "/data");
  }
  nlohmann::json Manifest(const std::string& repository) const {
    return nlohmann::json::parse(
        Blob(ReadFile(root_ + "repositories/" + repository + "/_manifests/tags/1/current/link")));
  }

 private:
  std::string root_;
};

// Hands what it inflates to `take`, a piece at a time.
void Inflate(const std::string& gzip, const std::function<void(const char*, size_t)>& take) {
  static std::vector<char> piece(1 << 20);
  inflate_state state;
  isal_inflate_init(&state);
  state.crc_flag = ISAL_GZIP;
  state.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(gzip.data()));
  state.avail_in = static_cast<uint32_t>(gzip.size());
  while (state.block_state != ISAL_BLOCK_FINISH) {
    state.next_out = reinterpret_cast<uint8_t*>(piece.data());
    state.avail_out = static_cast<uint32_t>(piece.size());
    if (isal_inflate(&state) != ISAL_DECOMP_OK) Die("inflate");
    const size_t got = piece.size() - state.avail_out;
    take(piece.data(), got);
    if (got == 0 && state.avail_in == 0) Die("inflate: it ends too early");
  }
}

void Hash(const std::string& data) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_Digest(data.data(), data.size(), digest, &size, EVP_sha256(), nullptr) != 1) Die("hash");
}

// The layers hold what mkimage writes: directories and regular files, with short names.
size_t Unpack(const std::string& tar, int directory) {
  size_t files = 0;
  for (size_t at = 0; at + 512 <= tar.size() && tar[at] != '\0';) {
    const char* header = tar.data() + at;
    std::string name(header, strnlen(header, 100));
    const size_t size = std::strtoull(std::string(header + 124, 12).c_str(), nullptr, 8);
    const auto mode =
        static_cast<mode_t>(std::strtoul(std::string(header + 100, 8).c_str(), nullptr, 8));
    at += 512;
    if (header[156] == '5') {
      if (mkdirat(directory, name.c_str(), mode) != 0 && errno != EEXIST) Die(name);
    } else if (header[156] == '0' || header[156] == '\0') {
      const int fd = openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
      if (fd < 0) Die(name);
      if (write(fd, tar.data() + at, size) != static_cast<ssize_t>(size)) Die(name);
      const timespec times[2] = {{}, {}};
      if (futimens(fd, times) != 0) Die(name);
      close(fd);
      ++files;
    }
    at += (size + 511) / 512 * 512;
  }
  return files;
}

// Times what one thread does; the unpacked layer.
std::string AddLayer(const std::string& blob, Totals* totals) {
  std::string tar;
  Inflate(blob, [&tar](const char* data, size_t size) { tar.append(data, size); });
  double started = Now();
  Inflate(blob, [](const char*, size_t) {});
  totals->inflate += Now() - started;
  started = Now();
  Hash(blob);
  Hash(tar);
  totals->hash += Now() - started;
  totals->compressed += blob.size();
  totals->plain += tar.size();
  return tar;
}

// Layers are written side by side, by a thread per core.
void WriteLayers(const std::vector<std::string>& tars,
                 const std::string& directory,
                 Totals* totals) {
  std::atomic<size_t> next = 0, files = 0;
  const double started = Now();
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < std::max(1u, std::thread::hardware_concurrency()); ++t) {
    threads.emplace_back([&] {
      for (size_t i = next++; i < tars.size(); i = next++) {
        const std::string layer = directory + "/" + std::to_string(i);
        std::filesystem::create_directory(layer);
        const int fd = open(layer.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) Die(layer);
        files += Unpack(tars[i], fd);
        close(fd);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  totals->write = Now() - started;
  totals->files = files;
  totals->layers = tars.size();
}

double SyncSeconds(const std::string& directory) {
  const double started = Now();
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || syncfs(fd) != 0) Die("sync");
  close(fd);
  return (Now() - started) / 1e6;
}

}  // namespace

int main(int argc, char** argv) {
  std::string storage, repository, directory;
  CLI::App app("the physical limit of a pull");
  app.add_option("--registry", storage, "storage folder")->required();
  app.add_option("--repository", repository)->required();
  app.add_option("--directory", directory, "empty, on a fresh file system")->required();
  CLI11_PARSE(app, argc, argv);

  const Registry registry(storage);
  Totals totals;
  umask(0);
  const nlohmann::json manifest = registry.Manifest(repository);
  std::vector<std::string> tars;
  for (const auto& layer : manifest["layers"]) {
    tars.push_back(AddLayer(registry.Blob(layer["digest"]), &totals));
  }
  WriteLayers(tars, directory, &totals);
  const double sync = SyncSeconds(directory);
  const nlohmann::ordered_json result = {
      {"layers", totals.layers},         {"files", totals.files},
      {"compressed", totals.compressed}, {"plain", totals.plain},
      {"inflate", totals.inflate / 1e6}, {"hash", totals.hash / 1e6},
      {"write", totals.write / 1e6},     {"sync", sync}};
  std::printf("%s\n", result.dump().c_str());
  return 0;
}
