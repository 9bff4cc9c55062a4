#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/status.h"
#include "cri/config/config.h"
#include "cri/config/config_schema.h"

namespace crisp::cri {
namespace {

std::string Place(absl::string_view name, const YAML::Mark& mark) {
  return absl::StrCat(name, ":", mark.line + 1);
}

// Reads one mapping: Key() and Section() take what they know, Finish() complains about the rest.
// The first error stands.
class Reader {
 public:
  using Places = std::map<std::string, std::string>;

  Reader(const YAML::Node& node,
         std::string file,
         std::string prefix,
         Places& places,
         absl::Status& status)
      : file_(std::move(file)), prefix_(std::move(prefix)), places_(places), status_(status) {
    if (node.IsNull() || !node.IsDefined()) return;
    if (!node.IsMap()) {
      Fail(node.Mark(),
           absl::StrCat(prefix_.empty() ? "the document" : prefix_, " must be a mapping"));
      return;
    }
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) {
        Fail(entry.first.Mark(), "a key must be a plain word");
        return;
      }
      const std::string& key = entry.first.Scalar();
      if (!entries_.emplace(key, std::pair(entry.first.Mark(), entry.second)).second) {
        Fail(entry.first.Mark(), absl::StrCat("key ", Full(key), " is given twice"));
        return;
      }
    }
  }

  template <typename T>
  void Key(const char* name, T& value, const Rule&, const char*) {
    Read(name, value);
  }

  void Section(const char* name, const std::function<void(Reader&)>& visit, const char*) {
    YAML::Node node;
    if (!Take(name, node)) return;
    Reader section(node, file_, Full(name), places_, status_);
    visit(section);
    section.Finish();
  }

  void Finish() {
    for (const auto& [key, entry] : entries_) {
      Fail(entry.first, absl::StrCat("unknown key ", Full(key)));
    }
  }

 private:
  template <typename T>
  void Read(const char* name, T& value) {
    YAML::Node node;
    if (!Take(name, node)) return;
    if (!Parse(node, value)) {
      Fail(node.Mark(), absl::StrCat(Full(name), " must be ", Kind(value)));
    }
    places_[Full(name)] = Place(file_, node.Mark());
  }

  bool Take(const char* name, YAML::Node& node) {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return false;
    node.reset(found->second.second);
    entries_.erase(found);
    // "key:" without a value leaves the default.
    return status_.ok() && !node.IsNull();
  }

  static bool Parse(const YAML::Node& node, std::string& value) {
    if (!node.IsScalar()) return false;
    value = node.Scalar();
    return true;
  }
  static bool Parse(const YAML::Node& node, bool& value) {
    return node.IsScalar() && YAML::convert<bool>::decode(node, value);
  }
  static bool Parse(const YAML::Node& node, int64_t& value) {
    return node.IsScalar() && YAML::convert<int64_t>::decode(node, value);
  }
  static bool Parse(const YAML::Node& node, absl::Duration& value) {
    return node.IsScalar() && absl::ParseDuration(node.Scalar(), &value) &&
           value >= absl::ZeroDuration();
  }
  static bool Parse(const YAML::Node& node, std::vector<std::string>& value) {
    if (!node.IsSequence()) return false;
    std::vector<std::string> items;
    for (const YAML::Node& item : node) {
      if (!item.IsScalar()) return false;
      items.push_back(item.Scalar());
    }
    value = std::move(items);
    return true;
  }

  // A name stands for a handler of the default type.
  static bool Parse(const YAML::Node& node, std::vector<HandlerConfig>& value) {
    if (!node.IsSequence()) return false;
    std::vector<HandlerConfig> handlers;
    for (const YAML::Node& item : node) {
      HandlerConfig& handler = handlers.emplace_back();
      if (item.IsScalar()) {
        handler.name = item.Scalar();
        continue;
      }
      if (!item.IsMap() || !item["name"].IsDefined()) return false;
      for (const auto& entry : item) {
        if (!entry.first.IsScalar() || !entry.second.IsScalar()) return false;
        if (entry.first.Scalar() == "name") {
          handler.name = entry.second.Scalar();
        } else if (entry.first.Scalar() == "type") {
          handler.type = entry.second.Scalar();
        } else {
          return false;
        }
      }
    }
    value = std::move(handlers);
    return true;
  }

  static const char* Kind(const std::string&) { return "a string"; }
  static const char* Kind(bool) { return "true or false"; }
  static const char* Kind(int64_t) { return "an integer"; }
  static const char* Kind(absl::Duration) { return "a duration such as 30s or 5m"; }
  static const char* Kind(const std::vector<std::string>&) { return "a list of strings"; }
  static const char* Kind(const std::vector<HandlerConfig>&) {
    return "a list of mappings with a name and a type, or of names";
  }

  std::string Full(absl::string_view key) const {
    return prefix_.empty() ? std::string(key) : absl::StrCat(prefix_, ".", key);
  }
  void Fail(const YAML::Mark& mark, const std::string& message) {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(absl::StrCat(Place(file_, mark), ": ", message));
  }

  std::string file_;
  std::string prefix_;
  Places& places_;
  absl::Status& status_;
  std::map<std::string, std::pair<YAML::Mark, YAML::Node>> entries_;
};

class Printer {
 public:
  template <typename T>
  void Key(const char* name, const T& value, const Rule&, const char*) {
    Print(name, value);
  }
  void Section(const char* name, const std::function<void(Printer&)>& visit, const char*) {
    out_ << YAML::Key << name << YAML::Value << YAML::BeginMap;
    visit(*this);
    out_ << YAML::EndMap;
  }
  YAML::Emitter& out() { return out_; }

 private:
  void Print(const char* name, const std::string& value) {
    out_ << YAML::Key << name << YAML::Value << YAML::DoubleQuoted << value;
  }
  void Print(const char* name, bool value) { out_ << YAML::Key << name << YAML::Value << value; }
  void Print(const char* name, int64_t value) { out_ << YAML::Key << name << YAML::Value << value; }
  void Print(const char* name, absl::Duration value) {
    out_ << YAML::Key << name << YAML::Value << absl::FormatDuration(value);
  }
  void Print(const char* name, const std::vector<std::string>& value) {
    out_ << YAML::Key << name << YAML::Value << YAML::Flow << YAML::BeginSeq;
    for (const std::string& item : value) out_ << YAML::DoubleQuoted << item;
    out_ << YAML::EndSeq;
  }
  void Print(const char* name, const std::vector<HandlerConfig>& value) {
    out_ << YAML::Key << name << YAML::Value << YAML::Flow << YAML::BeginSeq;
    for (const HandlerConfig& handler : value) {
      out_ << YAML::Flow << YAML::BeginMap << YAML::Key << "name" << YAML::Value
           << YAML::DoubleQuoted << handler.name << YAML::Key << "type" << YAML::Value
           << YAML::DoubleQuoted << handler.type << YAML::EndMap;
    }
    out_ << YAML::EndSeq;
  }

  YAML::Emitter out_;
};

}  // namespace

absl::Status ApplyConfig(absl::string_view text, absl::string_view name, Config& config) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(text));
    if (documents.size() > 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(Place(name, documents[1].Mark()), ": only one document may be given"));
    }
    absl::Status status;
    if (documents.empty()) return status;
    Reader reader(documents.front(), std::string(name), "", config.places, status);
    VisitConfig(reader, config);
    reader.Finish();
    return status;
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(Place(name, error.mark), ": ", error.msg));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", error.what()));
  }
}

std::string DumpConfig(const Config& config) {
  Printer printer;
  printer.out() << YAML::BeginMap;
  VisitConfig(printer, config);
  printer.out() << YAML::EndMap;
  return absl::StrCat(printer.out().c_str(), "\n");
}

namespace {

// Both have every key.
void Compare(const YAML::Node& one,
             const YAML::Node& other,
             const std::string& prefix,
             std::vector<std::string>* changed) {
  for (const auto& entry : one) {
    const std::string& key = entry.first.Scalar();
    const YAML::Node beside = other[key];
    if (entry.second.IsMap()) {
      Compare(entry.second, beside, absl::StrCat(prefix, key, "."), changed);
    } else if (YAML::Dump(entry.second) != YAML::Dump(beside)) {
      changed->push_back(prefix + key);
    }
  }
}

}  // namespace

std::vector<std::string> ChangedKeys(const Config& config, const Config& other) {
  std::vector<std::string> changed;
  Compare(YAML::Load(DumpConfig(config)), YAML::Load(DumpConfig(other)), "", &changed);
  return changed;
}

absl::StatusOr<Config> LoadConfig(const std::string& path, ConfigFile file) {
  Config config;
  const auto apply = [&](const std::string& name) -> absl::Status {
    CRISP_ASSIGN_OR_RETURN(const std::string text, ReadFile(name, 1u << 20));
    return ApplyConfig(text, name, config);
  };
  const absl::Status main = apply(path);
  if (!main.ok() && (file == ConfigFile::kRequired || !absl::IsNotFound(main))) return main;

  const size_t slash = path.rfind('/');
  const std::string directory =
      absl::StrCat(slash == std::string::npos ? "." : path.substr(0, slash), "/config.d");
  auto names = ListDir(directory);
  if (absl::IsNotFound(names.status())) return config;
  if (!names.ok()) return names.status();
  std::sort(names->begin(), names->end());
  for (const std::string& name : *names) {
    if (!absl::EndsWith(name, ".yaml")) continue;
    CRISP_RETURN_IF_ERROR(apply(absl::StrCat(directory, "/", name)));
  }
  return config;
}

}  // namespace crisp::cri
