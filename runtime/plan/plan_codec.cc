#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/lower.h"
#include "base/status.h"
#include "runtime/plan/launch_plan.h"
#include "runtime/wire/lower_text.h"
#include "runtime/wire/plan_schema.h"
#include "runtime/wire/plan_view.h"

namespace crisp::runtime {
namespace {

// Overloads that let plan_schema.h's functions find the parts of a plan, const or not.
#define CRISP_DESCRIBE(Type, Function)           \
  template <class Io>                            \
  void DescribePart(Io& io, const Type& value) { \
    Function(io, value);                         \
  }                                              \
  template <class Io>                            \
  void DescribePart(Io& io, Type& value) {       \
    Function(io, value);                         \
  }
CRISP_DESCRIBE(IdMap, DescribeIdMap)
CRISP_DESCRIBE(ProcessPlan, DescribeProcess)
CRISP_DESCRIBE(MountPlan, DescribeMount)
CRISP_DESCRIBE(DevicePlan, DescribeDevice)
CRISP_DESCRIBE(ContainerPlan, DescribeContainer)
CRISP_DESCRIBE(ExecPlan, DescribeExec)
CRISP_DESCRIBE(PodPlan, DescribePod)
#undef CRISP_DESCRIBE

class Encoder {
 public:
  Encoder(uint16_t version, const std::vector<int>& mounts) : version_(version), mounts_(mounts) {}

  template <class T>
  requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) void operator()(const T& value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void operator()(const std::string& value) {
    (*this)(static_cast<uint32_t>(value.size()));
    out_.append(value);
    out_.push_back('\0');
  }
  void operator()(const Lower& lower) {
    if (!lower.is_mount()) return (*this)(lower.path);
    const auto found = std::find(mounts_.begin(), mounts_.end(), lower.mount_fd);
    if (found == mounts_.end()) {
      lacks_.Update(absl::InvalidArgumentError(
          absl::StrCat("launch plan: the layer ", PathOf(lower), " does not go with it")));
    }
    (*this)(absl::StrCat(kLowerFd, found - mounts_.begin()));
  }
  template <class A, class B>
  void operator()(const std::pair<A, B>& value) {
    (*this)(value.first);
    (*this)(value.second);
  }
  template <class T>
  void operator()(const std::vector<T>& values) {
    (*this)(static_cast<uint32_t>(values.size()));
    const size_t patch = out_.size();
    (*this)(uint32_t{0});
    for (const T& value : values) (*this)(value);
    const uint32_t bytes = static_cast<uint32_t>(out_.size() - patch - sizeof(uint32_t));
    std::memcpy(&out_[patch], &bytes, sizeof(bytes));
  }
  template <class T>
  requires(std::is_class_v<T>) void operator()(const T& value) { DescribePart(*this, value); }
  template <class Owner, class T>
  void Since(uint16_t version, const char* what, const Owner& owner, T Owner::*member) {
    if (version_ >= version) {
      (*this)(owner.*member);
    } else if (lacks_.ok() && !(owner.*member == Owner{}.*member)) {
      lacks_ = absl::FailedPreconditionError(absl::StrCat("plans of version ", version_,
                                                          " have no place for ", what,
                                                          ", which came with version ", version));
    }
  }

  std::string& out() { return out_; }
  const absl::Status& lacks() const { return lacks_; }

 private:
  const uint16_t version_;
  const std::vector<int>& mounts_;
  std::string out_;
  absl::Status lacks_;  // the first of what is asked for and cannot be said
};

class Decoder {
 public:
  Decoder(absl::string_view bytes, uint16_t version)
      : reader_(bytes.data(), bytes.data() + bytes.size()), version_(version) {}

  template <class T>
  requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) void operator()(T& value) {
    reader_(value);
  }
  void operator()(std::string& value) {
    Bytes bytes;
    reader_(bytes);
    value.assign(bytes.data, bytes.size);
  }
  void operator()(Lower& lower) {
    (*this)(lower.path);
    lower.mount_fd = LowerNumber(lower.path.c_str());
    if (lower.is_mount()) lower.path.clear();
  }
  template <class A, class B>
  void operator()(std::pair<A, B>& value) {
    (*this)(value.first);
    (*this)(value.second);
  }
  template <class T>
  void operator()(std::vector<T>& values) {
    uint32_t count = 0, bytes = 0;
    reader_(count);
    reader_(bytes);
    for (uint32_t i = 0; i < count && reader_.ok(); ++i) {
      values.emplace_back();
      (*this)(values.back());
    }
  }
  template <class T>
  requires(std::is_class_v<T>) void operator()(T& value) { DescribePart(*this, value); }
  template <class Owner, class T>
  void Since(uint16_t version, const char*, Owner& owner, T Owner::*member) {
    if (version_ >= version) (*this)(owner.*member);
  }
  bool ok() const { return reader_.ok() && reader_.at_end(); }

 private:
  PlanReader reader_;
  const uint16_t version_;
};

template <class Plan>
absl::StatusOr<std::string> Encode(const Plan& plan,
                                   PlanKind kind,
                                   uint16_t version,
                                   const std::vector<int>& mounts = {}) {
  version = std::min(version, kPlanVersion);
  if (version < kFirstPlanVersion) {
    return absl::InvalidArgumentError(absl::StrCat("there are no plans of version ", version));
  }
  Encoder encoder(version, mounts);
  PlanHeader header = {
      .magic = kPlanMagic, .version = version, .kind = static_cast<uint16_t>(kind), .size = 0};
  encoder.out().append(reinterpret_cast<const char*>(&header), sizeof(header));
  encoder(plan);
  CRISP_RETURN_IF_ERROR(encoder.lacks());
  header.size = static_cast<uint32_t>(encoder.out().size());
  std::memcpy(encoder.out().data(), &header, sizeof(header));
  return std::move(encoder.out());
}

// The view's parser does the checking; the second pass only copies.
template <class Plan, class View>
absl::StatusOr<Plan> Decode(absl::string_view bytes, PlanKind kind) {
  View view;
  if (!ParsePlan(bytes.data(), bytes.size(), kind, &view)) {
    if (IsLaterPlan(bytes.data(), bytes.size())) {
      return absl::InvalidArgumentError(absl::StrCat("the launch plan is of a later version than ",
                                                     kPlanVersion,
                                                     ", the last that is known here"));
    }
    return absl::InvalidArgumentError(
        absl::StrCat("malformed launch plan of ", bytes.size(), " bytes"));
  }
  PlanHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  Plan plan;
  Decoder decoder(bytes.substr(sizeof(PlanHeader)), header.version);
  decoder(plan);
  if (!decoder.ok()) return absl::InternalError("launch plan: the two readers disagree");
  return plan;
}

}  // namespace

absl::StatusOr<std::string> EncodePlan(const PodPlan& plan, uint16_t version) {
  return Encode(plan, PlanKind::kPod, version);
}
absl::StatusOr<std::string> EncodePlan(const ContainerPlan& plan,
                                       uint16_t version,
                                       const std::vector<int>& mounts) {
  return Encode(plan, PlanKind::kContainer, version, mounts);
}
absl::StatusOr<std::string> EncodePlan(const ExecPlan& plan, uint16_t version) {
  return Encode(plan, PlanKind::kExec, version);
}

// This version has a place for everything.
std::string EncodePlan(const PodPlan& plan) { return *EncodePlan(plan, kPlanVersion); }
std::string EncodePlan(const ContainerPlan& plan) { return *EncodePlan(plan, kPlanVersion); }
std::string EncodePlan(const ExecPlan& plan) { return *EncodePlan(plan, kPlanVersion); }

absl::StatusOr<PodPlan> DecodePodPlan(absl::string_view bytes) {
  return Decode<PodPlan, PodView>(bytes, PlanKind::kPod);
}
absl::StatusOr<ContainerPlan> DecodeContainerPlan(absl::string_view bytes) {
  return Decode<ContainerPlan, ContainerView>(bytes, PlanKind::kContainer);
}
absl::StatusOr<ExecPlan> DecodeExecPlan(absl::string_view bytes) {
  return Decode<ExecPlan, ExecView>(bytes, PlanKind::kExec);
}

}  // namespace crisp::runtime
