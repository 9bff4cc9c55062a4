#ifndef CRISP_RUNTIME_WIRE_PLAN_VIEW_H_
#define CRISP_RUNTIME_WIRE_PLAN_VIEW_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "runtime/wire/plan_enums.h"
#include "runtime/wire/plan_schema.h"

namespace crisp::runtime {

// Plans read in place: nothing is copied, strings are NUL-terminated inside the buffer, lists
// decode an element as it is asked for. ParsePlan() has walked every byte once, so what it accepted
// can be read without further checks. The buffer must outlive the views.

struct Str {
  const char* data = "";
  uint32_t size = 0;
  const char* c_str() const { return data; }
  bool empty() const { return size == 0; }
  bool operator==(const char* other) const { return strcmp(data, other) == 0; }
};

// Bytes that may hold NULs.
struct Bytes {
  const char* data = "";
  uint32_t size = 0;
};

class PlanReader;

template <class T>
class List {
 public:
  class Iterator;
  Iterator begin() const { return Iterator(begin_, end_, count_, version_); }
  Iterator end() const { return Iterator(end_, end_, 0, version_); }
  uint32_t size() const { return count_; }
  bool empty() const { return count_ == 0; }

 private:
  friend class PlanReader;
  const char* begin_ = nullptr;
  const char* end_ = nullptr;
  uint32_t count_ = 0;
  uint16_t version_ = kPlanVersion;
};

struct IdMapView {
  uint32_t container_id = 0, host_id = 0, size = 0;
};

struct KeyValueView {
  Str key, value;
};

struct RlimitView {
  int32_t resource = 0;
  uint64_t soft = 0, hard = 0;
};

struct ProcessView {
  List<Str> argv, env;
  Str cwd;
  uint32_t uid = 0, gid = 0;
  List<uint32_t> groups;
  uint64_t cap_bounding = 0, cap_effective = 0, cap_permitted = 0, cap_inheritable = 0;
  uint64_t cap_ambient = 0;
  bool no_new_privileges = false, terminal = false;
  uint16_t terminal_rows = 0, terminal_columns = 0;
  int32_t oom_score_adj = 0;
  uint32_t umask = 0;
  List<RlimitView> rlimits;
  Bytes seccomp_bpf;
  uint32_t seccomp_flags = 0;
  Str apparmor_profile, selinux_label;
  uint16_t io_priority = 0;
};

struct MountView {
  MountKind kind = MountKind::kBind;
  Str destination, source, type;
  List<Str> options, lowers;
  Str sub_path;
  uint64_t attributes = 0;
  bool recursive_attributes = false, recursive = true;
  Propagation propagation = Propagation::kPrivate;
  bool idmap = false;
  List<IdMapView> uid_maps, gid_maps;
  bool optional = false, copy_up = false;
};

struct DeviceView {
  Str path;
  char type = 'c';
  uint32_t major = 0, minor = 0, mode = 0, uid = 0, gid = 0;
  Str host_path;
};

struct ContainerView {
  Str container_id;
  ProcessView process;
  List<Str> lower_dirs;
  Str upper_dir, work_dir;
  bool rootfs_readonly = false;
  Str mount_label;
  Propagation rootfs_propagation = Propagation::kPrivate;
  List<MountView> mounts;
  List<DeviceView> devices;
  List<Str> masked_paths, readonly_paths;
  NamespaceMode pid = NamespaceMode::kPrivate;
  int32_t target_pid = 0;
  NamespaceMode ipc = NamespaceMode::kPod, net = NamespaceMode::kPod, uts = NamespaceMode::kPod;
  bool private_cgroup_namespace = true;
  List<Str> cgroup_dirs;
  bool cgroup_v2 = false;
  Str log_path;
  uint32_t max_log_line = 0;
  bool stdin_open = false, stdin_once = false;
  Str exit_record;
};

struct ExecView {
  Str exec_id, container_id;
  ProcessView process;
  List<Str> cgroup_dirs;
  bool cgroup_v2 = false;
};

struct PodView {
  Str pod_id, hostname;
  bool new_net = true, new_ipc = true, new_uts = true, shared_pid = false;
  List<IdMapView> uid_maps, gid_maps;
  List<KeyValueView> sysctls;
  Str state_dir;
  uint64_t shm_bytes = 0;
  Str mount_label, init_label;
  List<Str> cgroup_dirs;
  bool cgroup_v2 = false;
};

template <class Io>
void Describe(Io& io, Str& value) {
  io(value);
}
template <class Io>
void Describe(Io& io, uint32_t& value) {
  io(value);
}
template <class Io>
void Describe(Io& io, IdMapView& value) {
  DescribeIdMap(io, value);
}
template <class Io>
void Describe(Io& io, ProcessView& value) {
  DescribeProcess(io, value);
}
template <class Io>
void Describe(Io& io, MountView& value) {
  DescribeMount(io, value);
}
template <class Io>
void Describe(Io& io, DeviceView& value) {
  DescribeDevice(io, value);
}
template <class Io>
void Describe(Io& io, ContainerView& value) {
  DescribeContainer(io, value);
}
template <class Io>
void Describe(Io& io, ExecView& value) {
  DescribeExec(io, value);
}
template <class Io>
void Describe(Io& io, PodView& value) {
  DescribePod(io, value);
}
template <class Io>
void Describe(Io& io, KeyValueView& value) {
  io(value.key);
  io(value.value);
}
template <class Io>
void Describe(Io& io, RlimitView& value) {
  io(value.resource);
  io(value.soft);
  io(value.hard);
}

// A cursor over the bytes of a plan of `version`, or of a message, whose fields have no versions.
// After the first field that does not fit, ok() is false and every later read leaves its target as
// it was.
class PlanReader {
 public:
  PlanReader(const char* begin, const char* end, uint16_t version = kPlanVersion)
      : at_(begin), end_(end), version_(version) {}
  bool ok() const { return ok_; }
  bool at_end() const { return at_ == end_; }
  const char* position() const { return at_; }

  void operator()(uint16_t& value) { Scalar(value); }
  void operator()(uint32_t& value) { Scalar(value); }
  void operator()(int32_t& value) { Scalar(value); }
  void operator()(uint64_t& value) { Scalar(value); }
  void operator()(char& value) { Scalar(value); }
  void operator()(bool& value) {
    uint8_t byte = 0;
    Scalar(byte);
    Check(byte <= 1);
    value = byte != 0;
  }
  void operator()(MountKind& value) { Enum(value, MountKind::kDev); }
  void operator()(Propagation& value) { Enum(value, Propagation::kShared); }
  void operator()(NamespaceMode& value) { Enum(value, NamespaceMode::kTarget); }
  void operator()(Bytes& value) {
    uint32_t size = 0;
    Scalar(size);
    Check(static_cast<size_t>(end_ - at_) > size);  // > : the NUL
    if (!ok_) return;
    Check(at_[size] == '\0');
    if (!ok_) return;
    value = Bytes{at_, size};
    at_ += size + 1;
  }
  void operator()(Str& value) {
    Bytes bytes;
    (*this)(bytes);
    Check(ok_ && memchr(bytes.data, 0, bytes.size) == nullptr);
    if (ok_) value = Str{bytes.data, bytes.size};
  }
  void operator()(ProcessView& value) { DescribeProcess(*this, value); }
  // A field that an older plan does not have keeps its default.
  template <class View, class T>
  void Since(uint16_t version, const char*, View& view, T View::*member) {
    if (version_ >= version) (*this)(view.*member);
  }
  template <class T>
  void operator()(List<T>& list) {
    uint32_t count = 0, bytes = 0;
    Scalar(count);
    Scalar(bytes);
    Check(static_cast<size_t>(end_ - at_) >= bytes && count <= bytes);
    if (!ok_) return;
    PlanReader elements(at_, at_ + bytes, version_);
    for (uint32_t i = 0; i < count && elements.ok(); ++i) {
      T element{};
      Describe(elements, element);
    }
    Check(elements.ok() && elements.at_end());
    if (!ok_) return;
    list.begin_ = at_;
    list.end_ = at_ + bytes;
    list.count_ = count;
    list.version_ = version_;
    at_ += bytes;
  }

 private:
  void Check(bool good) { ok_ = ok_ && good; }
  template <class T>
  void Scalar(T& value) {
    Check(static_cast<size_t>(end_ - at_) >= sizeof(T));
    if (!ok_) return;
    memcpy(&value, at_, sizeof(T));
    at_ += sizeof(T);
  }
  template <class E>
  void Enum(E& value, E last) {
    uint8_t byte = 0;
    Scalar(byte);
    Check(byte <= static_cast<uint8_t>(last));
    if (ok_) value = static_cast<E>(byte);
  }

  const char* at_;
  const char* end_;
  uint16_t version_;
  bool ok_ = true;
};

template <class T>
class List<T>::Iterator {
 public:
  Iterator(const char* begin, const char* end, uint32_t left, uint16_t version)
      : reader_(begin, end, version), left_(left) {
    Load();
  }
  const T& operator*() const { return value_; }
  const T* operator->() const { return &value_; }
  Iterator& operator++() {
    --left_;
    Load();
    return *this;
  }
  bool operator!=(const Iterator& other) const { return left_ != other.left_; }

 private:
  void Load() {
    value_ = T{};
    if (left_ > 0) Describe(reader_, value_);
  }
  PlanReader reader_;
  uint32_t left_;
  T value_{};
};

// True if [data, data+size) begins as a plan of a later version than this program reads.
inline bool IsLaterPlan(const char* data, size_t size) {
  PlanHeader header;
  if (size < sizeof(header)) return false;
  memcpy(&header, data, sizeof(header));
  return header.magic == kPlanMagic && header.version > kPlanVersion;
}

// Parses [data, data+size) into `view`. True if it is a well-formed plan of `kind`, of this version
// or an earlier one.
template <class View>
bool ParsePlan(const char* data, size_t size, PlanKind kind, View* view) {
  PlanHeader header;
  if (size < sizeof(header)) return false;
  memcpy(&header, data, sizeof(header));
  if (header.magic != kPlanMagic || header.version < kFirstPlanVersion ||
      header.version > kPlanVersion || header.size != size ||
      header.kind != static_cast<uint16_t>(kind)) {
    return false;
  }
  PlanReader reader(data + sizeof(header), data + size, header.version);
  Describe(reader, *view);
  return reader.ok() && reader.at_end();
}

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_WIRE_PLAN_VIEW_H_
