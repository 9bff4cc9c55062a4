#include "storage/layer/layer_tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <iconv.h>
#include <langinfo.h>
#include <locale.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::storage {
namespace {

constexpr size_t kReadSize = 256 << 10;
constexpr size_t kKept = 8 << 10;
constexpr size_t kBlock = 512;
constexpr long kSecond = 1'000'000'000;
constexpr uint64_t kMaxFileSize = uint64_t{1} << 40;  // apparent; a sparse one may claim anything

// libarchive takes pax names for UTF-8 and converts them to the thread's locale. Names are bytes:
// in this one nothing but ASCII can be converted, and what cannot libarchive hands on as it is,
// with a warning. (In a UTF-8 locale it would compose characters, too, and so rename files.)
locale_t BytesLocale() {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C", nullptr);
  return locale;
}

class ScopedBytes {
 public:
  ScopedBytes() : previous_(BytesLocale() != nullptr ? uselocale(BytesLocale()) : nullptr) {}
  ~ScopedBytes() {
    if (previous_ != nullptr) uselocale(previous_);
  }

 private:
  locale_t previous_;
};

bool IsAboutConversion(struct archive* archive) {
  const char* why = archive_error_string(archive);
  return why != nullptr && absl::StrContains(why, "can't be converted");
}

struct Reader {
  const ByteSource& source;
  const std::unique_ptr<char[]> buffer = std::make_unique_for_overwrite<char[]>(kReadSize);
  absl::Status status;  // of the source
  uint64_t end = 0;     // what was read of the stream so far
  size_t held = 0;      // of that in the buffer
  std::string before;   // what came right before that, a little

  // The bytes of the stream from an offset on that are still known, a header's worth; empty if none
  // are.
  std::string Since(uint64_t offset) const {
    const uint64_t start = end - held;
    if (offset >= end || offset + before.size() < start) return "";
    const absl::string_view here(buffer.get(), held);
    if (offset >= start)
      return std::string(here.substr(static_cast<size_t>(offset - start), kKept));
    return absl::StrCat(
        absl::string_view(before).substr(before.size() - static_cast<size_t>(start - offset)),
        here.substr(0, kKept));
  }

  static la_ssize_t Read(struct archive* archive, void* self, const void** data) {
    auto* reader = static_cast<Reader*>(self);
    const size_t kept = std::min(kKept, reader->held);
    reader->before.assign(reader->buffer.get() + reader->held - kept, kept);
    absl::StatusOr<size_t> n = reader->source(reader->buffer.get(), kReadSize);
    if (!n.ok()) {
      reader->status = n.status();
      archive_set_error(archive, EIO, "the stream failed");
      return -1;
    }
    reader->end += *n;
    reader->held = *n;
    *data = reader->buffer.get();
    return static_cast<la_ssize_t>(*n);
  }
};

using UniqueArchive = std::unique_ptr<struct archive, int (*)(struct archive*)>;

// `last`: the member that was read last, if any.
absl::Status TarError(struct archive* archive, const Reader& reader, absl::string_view last) {
  if (!reader.status.ok()) return reader.status;
  const char* why = archive_error_string(archive);
  std::string where = last.empty() ? "at its beginning"
                                   : absl::StrCat("at or after member '", ShownName(last), "'");
  return absl::DataLossError(
      absl::StrCat("tar: ", where, ": ", why != nullptr && *why != '\0' ? why : "malformed"));
}

absl::StatusOr<UniqueArchive> OpenTar(Reader& reader) {
  UniqueArchive archive(archive_read_new(), archive_read_free);
  if (archive == nullptr) return absl::ResourceExhaustedError("tar: no memory");
  if (archive_read_support_format_tar(archive.get()) != ARCHIVE_OK ||
      archive_read_support_format_empty(archive.get()) != ARCHIVE_OK ||
      archive_read_open(archive.get(), &reader, nullptr, &Reader::Read, nullptr) != ARCHIVE_OK) {
    return TarError(archive.get(), reader, "");
  }
  return archive;
}

std::string Text(const char* text) { return text != nullptr ? text : ""; }

absl::StatusOr<LayerEntry::Type> TypeOf(struct archive_entry* entry) {
  if (archive_entry_hardlink(entry) != nullptr) return LayerEntry::Type::kHardlink;
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
      return LayerEntry::Type::kFile;
    case AE_IFDIR:
      return LayerEntry::Type::kDirectory;
    case AE_IFLNK:
      return LayerEntry::Type::kSymlink;
    case AE_IFCHR:
      return LayerEntry::Type::kCharDevice;
    case AE_IFBLK:
      return LayerEntry::Type::kBlockDevice;
    case AE_IFIFO:
      return LayerEntry::Type::kFifo;
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          "layer entry '", ShownName(Text(archive_entry_pathname(entry))), "': unknown type"));
  }
}

absl::StatusOr<uint32_t> Id(int64_t value, absl::string_view path) {
  if (value < 0 || value >= std::numeric_limits<uint32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("layer entry '", ShownName(path), "': owner ", value, " out of range"));
  }
  return static_cast<uint32_t>(value);
}

void CopyXattrs(struct archive_entry* from, LayerEntry& to) {
  archive_entry_xattr_reset(from);
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  while (archive_entry_xattr_next(from, &name, &value, &size) == ARCHIVE_OK) {
    to.xattrs.emplace_back(name, std::string(static_cast<const char*>(value), size));
  }
}

// True if the pax header with which a member's headers begin has a time with a minus sign.
bool HasNegativeTime(absl::string_view headers) {
  while (headers.size() > kBlock) {
    const char type = headers[156];
    uint64_t size = 0;
    for (const char digit : headers.substr(124, 11))
      size = size * 8 + static_cast<uint64_t>(digit & 7);
    if (type == 'x') return absl::StrContains(headers.substr(kBlock, size), " mtime=-");
    if (type != 'g' && type != 'L' && type != 'K') return false;
    headers.remove_prefix(
        std::min<uint64_t>(headers.size(), kBlock + (size + kBlock - 1) / kBlock * kBlock));
  }
  return false;
}

// libarchive (3.6) reads "-1.25" as a second before the epoch, and a quarter later; "-0.25" has
// lost its sign.
timespec TimeOf(struct archive* archive, struct archive_entry* from, const Reader& reader) {
  timespec time = {archive_entry_mtime(from), archive_entry_mtime_nsec(from)};
  if (time.tv_nsec < 0 || time.tv_nsec >= kSecond) time.tv_nsec = 0;
  const auto is_negative = [&] {
    return HasNegativeTime(
        reader.Since(static_cast<uint64_t>(archive_read_header_position(archive))));
  };
  if (time.tv_nsec > 0 && (time.tv_sec < 0 || (time.tv_sec == 0 && is_negative()))) {
    --time.tv_sec;
    time.tv_nsec = kSecond - time.tv_nsec;
  }
  return time;
}

absl::StatusOr<LayerEntry> Convert(struct archive* archive,
                                   struct archive_entry* from,
                                   const Reader& reader) {
  LayerEntry to;
  CRISP_ASSIGN_OR_RETURN(to.type, TypeOf(from));
  to.path = Text(archive_entry_pathname(from));
  if (to.path.empty()) return absl::DataLossError("tar: a member without a name");
  to.target = Text(to.type == LayerEntry::Type::kHardlink ? archive_entry_hardlink(from)
                                                          : archive_entry_symlink(from));
  to.mode = archive_entry_perm(from) & 07777;
  CRISP_ASSIGN_OR_RETURN(to.uid, Id(archive_entry_uid(from), to.path));
  CRISP_ASSIGN_OR_RETURN(to.gid, Id(archive_entry_gid(from), to.path));
  to.mtime = TimeOf(archive, from, reader);
  to.device = archive_entry_rdev(from);
  const int64_t size = archive_entry_size(from);
  if (size < 0 || static_cast<uint64_t>(size) > kMaxFileSize) {
    return absl::ResourceExhaustedError(
        absl::StrCat("layer entry '", ShownName(to.path), "': too large"));
  }
  to.size = static_cast<uint64_t>(size);
  CopyXattrs(from, to);
  return to;
}

absl::Status CopyData(struct archive* archive,
                      const Reader& reader,
                      const LayerEntry& entry,
                      LayerSink& sink) {
  while (true) {
    const void* data = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int code = archive_read_data_block(archive, &data, &size, &offset);
    if (code == ARCHIVE_EOF) return absl::OkStatus();
    if (code != ARCHIVE_OK) return TarError(archive, reader, entry.path);
    if (offset < 0 || size > entry.size || static_cast<uint64_t>(offset) > entry.size - size) {
      return absl::DataLossError(
          absl::StrCat("tar: data of '", ShownName(entry.path), "' beyond its size"));
    }
    CRISP_RETURN_IF_ERROR(
        sink.Write({static_cast<const char*>(data), size}, static_cast<uint64_t>(offset), entry));
  }
}

}  // namespace

void PrepareTarReader() {
  ScopedBytes locale;
  // The converter that libarchive makes; the C library may look for its configuration.
  const iconv_t converter = iconv_open(nl_langinfo(CODESET), "UTF-8");
  if (converter != reinterpret_cast<iconv_t>(-1)) (void)iconv_close(converter);
}

absl::Status ApplyTar(const ByteSource& source, LayerSink& sink) {
  ScopedBytes locale;
  Reader reader{.source = source};
  CRISP_ASSIGN_OR_RETURN(UniqueArchive archive, OpenTar(reader));
  struct archive_entry* member = nullptr;
  std::string last;
  while (true) {
    const int code = archive_read_next_header(archive.get(), &member);
    if (code == ARCHIVE_EOF) return absl::OkStatus();
    // Other warnings are about damaged attributes: not to be guessed.
    const bool sound =
        code == ARCHIVE_OK || (code == ARCHIVE_WARN && IsAboutConversion(archive.get()));
    if (!sound) return TarError(archive.get(), reader, last);
    CRISP_ASSIGN_OR_RETURN(const LayerEntry entry, Convert(archive.get(), member, reader));
    CRISP_ASSIGN_OR_RETURN(const bool is_file, sink.Add(entry));
    last = entry.path;
    if (!is_file) continue;
    CRISP_RETURN_IF_ERROR(CopyData(archive.get(), reader, entry, sink));
    CRISP_RETURN_IF_ERROR(sink.FinishFile(entry));
  }
}

}  // namespace crisp::storage
