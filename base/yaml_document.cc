#include "base/yaml_document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp {
namespace {

absl::Status At(const YAML::Mark& mark, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("line ", mark.line + 1, ": ", what));
}

// Thrown to leave the parser from inside one of its callbacks.
struct Refusal {
  absl::Status status;
};

// Builds the document while it is parsed, so that the limits hold before the memory is spent. (For
// some malformed texts yaml-cpp announces documents without end; LoadAll would collect them.)
class Builder : public YAML::EventHandler {
 public:
  explicit Builder(const YamlLimits& limits) : limits_(limits) {}

  Json Take() { return std::move(root_.value); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) throw Refusal{At(mark, "only one document may be given")};
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Scalar(mark, anchor, Json());
  }
  void OnScalar(const YAML::Mark& mark,
                const std::string&,
                YAML::anchor_t anchor,
                const std::string& text) override {
    Scalar(mark, anchor, Json(text));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchored_.find(anchor);
    if (found == anchored_.end()) throw Refusal{At(mark, "an alias stands inside what it names")};
    Spend(mark, found->second.nodes, found->second.height);
    Add(mark, found->second);
  }
  void OnSequenceStart(const YAML::Mark& mark,
                       const std::string&,
                       YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, anchor, Json::array());
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark,
                  const std::string&,
                  YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, anchor, Json::object());
  }
  void OnMapEnd() override { Close(); }

 private:
  struct Subtree {
    Json value;
    size_t nodes = 1;
    int height = 1;
  };
  struct Frame {
    Subtree tree;
    YAML::Mark mark;
    YAML::anchor_t anchor;
    std::optional<std::string> key;  // of a map, while its value is awaited
  };

  void Spend(const YAML::Mark& mark, size_t nodes, int height) {
    nodes_ += nodes;
    if (nodes_ > limits_.max_nodes ||
        static_cast<int>(open_.size()) + height > limits_.max_depth + 1) {
      throw Refusal{absl::ResourceExhaustedError(
          absl::StrCat("line ", mark.line + 1, ": too deep or too large a document"))};
    }
  }

  void Scalar(const YAML::Mark& mark, YAML::anchor_t anchor, Json value) {
    Spend(mark, 1, 1);
    Finish(mark, anchor, {.value = std::move(value)});
  }

  void Open(const YAML::Mark& mark, YAML::anchor_t anchor, Json empty) {
    Spend(mark, 1, 1);
    open_.push_back(
        {.tree = {.value = std::move(empty)}, .mark = mark, .anchor = anchor, .key = {}});
  }

  void Close() {
    Frame frame = std::move(open_.back());
    open_.pop_back();
    Finish(frame.mark, frame.anchor, std::move(frame.tree));
  }

  void Finish(const YAML::Mark& mark, YAML::anchor_t anchor, Subtree tree) {
    if (anchor != YAML::NullAnchor) anchored_[anchor] = tree;
    Add(mark, std::move(tree));
  }

  void Add(const YAML::Mark& mark, Subtree tree) {
    if (open_.empty()) {
      root_ = std::move(tree);
      return;
    }
    Frame& frame = open_.back();
    frame.tree.nodes += tree.nodes;
    frame.tree.height = std::max(frame.tree.height, tree.height + 1);
    if (frame.tree.value.is_array()) {
      frame.tree.value.push_back(std::move(tree.value));
    } else if (!frame.key.has_value()) {
      if (!tree.value.is_string()) throw Refusal{At(mark, "a key must be a plain word")};
      frame.key = tree.value.get<std::string>();
    } else {
      if (!frame.tree.value.emplace(*frame.key, std::move(tree.value)).second) {
        throw Refusal{At(mark, absl::StrCat("key ", *frame.key, " is given twice"))};
      }
      frame.key.reset();
    }
  }

  const YamlLimits limits_;
  Subtree root_;
  std::vector<Frame> open_;
  std::map<YAML::anchor_t, Subtree> anchored_;
  size_t nodes_ = 0;
  int documents_ = 0;
};

}  // namespace

absl::StatusOr<Json> ParseYaml(absl::string_view text, const YamlLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("more than ", limits.max_bytes, " bytes"));
  }
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    Builder builder(limits);
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.Take();
  } catch (const Refusal& refusal) {
    return refusal.status;
  } catch (const YAML::Exception& error) {
    return At(error.mark, error.msg);
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
}

absl::StatusOr<int64_t> YamlInt(const Json& value,
                                absl::string_view what,
                                int64_t min,
                                int64_t max) {
  const auto bad = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": must be an integer from ", min, " to ", max));
  };
  if (!value.is_string()) return bad();
  std::string text = value.get<std::string>();
  if (text.empty() || !(absl::ascii_isdigit(text[0]) || text[0] == '-')) return bad();
  if (text.size() > 2 && text[0] == '0' && text[1] == 'o') text.erase(1, 1);
  char* end = nullptr;
  errno = 0;
  const int64_t number = std::strtoll(text.c_str(), &end, 0);
  if (errno != 0 || end != text.c_str() + text.size() || number < min || number > max) return bad();
  return number;
}

absl::StatusOr<std::string> YamlString(const Json& value, absl::string_view what) {
  if (!value.is_string())
    return absl::InvalidArgumentError(absl::StrCat(what, ": must be a string"));
  std::string text = value.get<std::string>();
  if (text.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": holds a NUL byte"));
  }
  return text;
}

absl::StatusOr<std::vector<std::string>> YamlStrings(const Json& value, absl::string_view what) {
  std::vector<std::string> strings;
  if (value.is_null()) return strings;
  if (!value.is_array()) return absl::InvalidArgumentError(absl::StrCat(what, ": must be a list"));
  for (const Json& item : value) {
    CRISP_ASSIGN_OR_RETURN(std::string text, YamlString(item, what));
    strings.push_back(std::move(text));
  }
  return strings;
}

}  // namespace crisp
