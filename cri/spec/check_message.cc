#include "cri/spec/check_message.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "google/protobuf/descriptor.h"

namespace crisp::cri {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

class FieldChecker {
 public:
  FieldChecker(const Message& message, const FieldDescriptor* field, const std::string& where)
      : message_(message),
        field_(field),
        reflection_(*message.GetReflection()),
        path_(absl::StrCat(where, ".", field->name())) {}

  absl::Status Check() const {
    if (field_->is_map()) return absl::OkStatus();
    if (!field_->is_repeated()) return One(-1);
    for (int i = 0; i < reflection_.FieldSize(message_, field_); ++i) CRISP_RETURN_IF_ERROR(One(i));
    return absl::OkStatus();
  }

 private:
  // The i-th of a repeated field; -1: the only one.
  absl::Status One(int i) const {
    switch (field_->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return CheckMessage(i < 0 ? reflection_.GetMessage(message_, field_)
                                  : reflection_.GetRepeatedMessage(message_, field_, i),
                            path_);
      case FieldDescriptor::CPPTYPE_STRING: {
        std::string scratch;
        const std::string& text =
            i < 0 ? reflection_.GetStringReference(message_, field_, &scratch)
                  : reflection_.GetRepeatedStringReference(message_, field_, i, &scratch);
        if (text.find('\0') == std::string::npos) return absl::OkStatus();
        return absl::InvalidArgumentError(absl::StrCat(path_, ": holds a NUL byte"));
      }
      case FieldDescriptor::CPPTYPE_ENUM: {
        const int value = i < 0 ? reflection_.GetEnumValue(message_, field_)
                                : reflection_.GetRepeatedEnumValue(message_, field_, i);
        if (field_->enum_type()->FindValueByNumber(value) != nullptr) return absl::OkStatus();
        return absl::InvalidArgumentError(absl::StrCat(
            path_, ": ", value, " is not a ", field_->enum_type()->name(), " that crisp knows"));
      }
      default:
        return absl::OkStatus();
    }
  }

  const Message& message_;
  const FieldDescriptor* field_;
  const google::protobuf::Reflection& reflection_;
  const std::string path_;
};

}  // namespace

absl::Status CheckMessage(const Message& message, const std::string& where) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    CRISP_RETURN_IF_ERROR(FieldChecker(message, field, where).Check());
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
