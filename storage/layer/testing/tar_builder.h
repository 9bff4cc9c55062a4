#ifndef CRISP_STORAGE_LAYER_TESTING_TAR_BUILDER_H_
#define CRISP_STORAGE_LAYER_TESTING_TAR_BUILDER_H_

#include <zlib.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"

namespace crisp::storage {

// For tests: writes tar archives byte by byte, so that also hostile ones can be made.
class TarBuilder {
 public:
  struct Member {
    std::string name;
    char type = '0';
    std::string content = "";
    std::string link = "";
    unsigned mode = 0644;
    unsigned uid = 0;
    unsigned gid = 0;
    unsigned long mtime = 1'000'000'000;
    unsigned major = 0;
    unsigned minor = 0;
    std::map<std::string, std::string> pax = {};
  };

  TarBuilder& Add(const Member& member) {
    if (!member.pax.empty()) {
      std::string records;
      for (const auto& [key, value] : member.pax) records += PaxRecord(key, value);
      Header({.name = "pax", .type = 'x', .content = records});
    }
    Header(member);
    return *this;
  }
  TarBuilder& File(const std::string& name, const std::string& content = "x") {
    return Add({.name = name, .content = content});
  }
  TarBuilder& Dir(const std::string& name, unsigned mode = 0755) {
    return Add({.name = name, .type = '5', .mode = mode});
  }
  TarBuilder& Symlink(const std::string& name, const std::string& target) {
    return Add({.name = name, .type = '2', .link = target, .mode = 0777});
  }
  TarBuilder& Hardlink(const std::string& name, const std::string& target) {
    return Add({.name = name, .type = '1', .link = target});
  }
  std::string Build() const { return bytes_ + std::string(1024, '\0'); }

 private:
  static std::string PaxRecord(const std::string& key, const std::string& value) {
    size_t size = key.size() + value.size() + 3;
    size += absl::StrCat(size + absl::StrCat(size).size()).size();
    return absl::StrCat(size, " ", key, "=", value, "\n");
  }

  void Header(const Member& member) {
    char header[512] = {};
    memcpy(header, member.name.data(), std::min<size_t>(member.name.size(), 100));
    snprintf(header + 100, 8, "%07o", member.mode);
    snprintf(header + 108, 8, "%07o", member.uid);
    snprintf(header + 116, 8, "%07o", member.gid);
    snprintf(header + 124, 12, "%011lo", static_cast<unsigned long>(member.content.size()));
    snprintf(header + 136, 12, "%011lo", member.mtime);
    memset(header + 148, ' ', 8);
    header[156] = member.type;
    memcpy(header + 157, member.link.data(), std::min<size_t>(member.link.size(), 100));
    memcpy(header + 257, "ustar\00000", 8);
    snprintf(header + 329, 8, "%07o", member.major);
    snprintf(header + 337, 8, "%07o", member.minor);
    unsigned sum = 0;
    for (const char c : header) sum += static_cast<unsigned char>(c);
    snprintf(header + 148, 8, "%06o", sum);
    bytes_.append(header, sizeof(header));
    bytes_ += member.content;
    bytes_.append((512 - member.content.size() % 512) % 512, '\0');
  }

  std::string bytes_;
};

// For tests: one gzip member.
inline std::string Gzip(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_LAYER_TESTING_TAR_BUILDER_H_
