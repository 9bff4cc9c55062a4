#include "storage/registry/registry_blob.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "storage/registry/registry_throttle.h"

namespace crisp::storage {
namespace {

// Tries on one host that brought nothing new; more than that and the next host is asked.
constexpr int kMaxFruitlessTries = 3;
// Over all hosts: a peer that breaks off after every few bytes is no registry.
constexpr int kMaxResumes = 100;
constexpr absl::Duration kFirstBackoff = absl::Milliseconds(200);
// Servers that ignore Range cost at most one more blob's worth of bytes, and never O(n²).
constexpr uint64_t kFreeDiscard = 1u << 20;

}  // namespace

std::optional<uint64_t> ContentRangeStart(absl::string_view value) {
  uint64_t start = 0;
  if (!absl::ConsumePrefix(&value, "bytes ")) return std::nullopt;
  const size_t dash = value.find('-');
  if (dash == absl::string_view::npos || dash == 0 || !absl::ascii_isdigit(value[0]) ||
      !absl::SimpleAtoi(value.substr(0, dash), &start)) {
    return std::nullopt;
  }
  return start;
}

absl::StatusOr<BlobFetch> BlobFetch::Create(const Descriptor& blob, const Sink& sink) {
  CRISP_ASSIGN_OR_RETURN(Verifier verifier, Verifier::Create(blob.digest, blob.size));
  return BlobFetch(blob, sink, std::move(verifier));
}

absl::Status BlobFetch::CheckHead(const HttpReply& head) {
  uint64_t begin = 0;
  if (head.status == 206) {
    const std::optional<uint64_t> start = ContentRangeStart(head.Header("content-range"));
    if (!start.has_value() || *start > offset_) {
      return absl::UnavailableError("the partial reply is not the range that was asked for");
    }
    begin = *start;
  }
  uint64_t length = 0;
  const uint64_t wanted = blob_.size - begin;
  // A server may cut a range short, and is then asked for the rest; a whole blob has one length.
  const bool sized = absl::SimpleAtoi(head.Header("content-length"), &length);
  // Of the right size it is only called so.
  if (head.IsEncoded() && (!sized || length != wanted)) {
    return absl::UnavailableError(
        absl::StrCat("sends it with Content-Encoding: ",
                     absl::CHexEscape(head.Header("content-encoding").substr(0, 32)),
                     ", though asked for it as it is (a proxy between?)"));
  }
  if (sized && (length > wanted || (length < wanted && head.status == 200))) {
    return absl::DataLossError(absl::StrCat("offers ", length, " bytes instead of ", wanted));
  }
  skip_ = offset_ - begin;
  if (discarded_ + skip_ > blob_.size + kFreeDiscard) {
    return absl::UnavailableError("ignores ranges, and too much was read twice already");
  }
  discarded_ += skip_;
  return absl::OkStatus();
}

absl::Status BlobFetch::Take(const HttpReply& head, absl::string_view bytes) {
  if (!head_seen_) {
    head_seen_ = true;
    if (absl::Status sound = CheckHead(head); !sound.ok()) {
      unsuitable_ = true;
      return sound;
    }
  }
  const size_t dropped = static_cast<size_t>(std::min<uint64_t>(skip_, bytes.size()));
  skip_ -= dropped;
  bytes.remove_prefix(dropped);
  if (bytes.empty()) return absl::OkStatus();
  CRISP_RETURN_IF_ERROR(verifier_.Update(bytes));
  offset_ += bytes.size();
  return sink_(bytes);
}

HostClient::Outcome BlobFetch::Ask(HostClient* host, const Operation& operation) {
  head_seen_ = false;
  unsuitable_ = false;
  skip_ = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  if (offset_ > 0 && !whole_only_)
    headers.emplace_back("Range", absl::StrCat("bytes=", offset_, "-"));
  return host->Get(
      absl::StrCat("blobs/", blob_.digest), headers, /*verified=*/true,
      [this](const HttpReply& head, absl::string_view bytes) { return Take(head, bytes); },
      operation);
}

std::optional<absl::Status> BlobFetch::TryHost(HostClient* host, const Operation& operation) {
  bool delivered = false;
  whole_only_ = false;
  for (int fruitless = 0;;) {
    const uint64_t before = offset_;
    HostClient::Outcome outcome = Ask(host, operation);
    // The host that sent the first bytes is the likelier culprit of wrong ones.
    const bool refused = outcome.reply.end == HttpEnd::kSinkFailed && !unsuitable_;
    if (sender_ == nullptr && (offset_ > before || refused)) sender_ = host;
    const HttpEnd end = outcome.reply.end;
    // The sink's own error, or bytes that cannot be taken back.
    if (end == HttpEnd::kSinkFailed && !unsuitable_) return outcome.status;
    // However the connection ended: there is nothing more to ask for.
    if (offset_ == blob_.size && (outcome.status.ok() || offset_ > 0)) return verifier_.Finish();
    if (end == HttpEnd::kCancelled) return outcome.status;
    if (absl::Status fired = operation.Check("fetch " + blob_.digest); !fired.ok()) return fired;

    if (outcome.status.ok()) {
      outcome.status = absl::DataLossError(
          absl::StrCat("the blob ended after ", offset_, " of ", blob_.size, " bytes"));
    }
    delivered |= offset_ > before;
    fruitless = offset_ > before ? 0 : fruitless + 1;
    // After a cut some servers answer so whatever the range is.
    if (end == HttpEnd::kComplete && outcome.reply.status == 416 && offset_ > 0 && !whole_only_) {
      whole_only_ = true;
      continue;
    }
    const bool failed_in_between = end == HttpEnd::kComplete && outcome.reply.status >= 500;
    const bool cut = end == HttpEnd::kBroken || absl::IsDataLoss(outcome.status);
    const bool lost = delivered && (end == HttpEnd::kNotReached || end == HttpEnd::kTlsFailed);
    const bool again = !unsuitable_ && (failed_in_between || cut || lost) &&
                       fruitless < kMaxFruitlessTries && ++resumes_ <= kMaxResumes;
    if (!again) {
      attempts_.Add(host->host(), outcome.status);
      return std::nullopt;
    }
    if (fruitless == 0) continue;
    absl::Status slept = SleepUnlessCancelled(kFirstBackoff * (1 << (fruitless - 1)), operation);
    if (!slept.ok()) return slept;
  }
}

absl::Status BlobFetch::Run(const std::vector<HostClient*>& hosts, const Operation& operation) {
  for (HostClient* host : hosts) {
    std::optional<absl::Status> done = TryHost(host, operation);
    if (done.has_value()) return *std::move(done);
  }
  return attempts_.Verdict(absl::StrCat("fetch ", blob_.digest));
}

}  // namespace crisp::storage
