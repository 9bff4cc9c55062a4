#include "cri/state/record_copies.h"

#include <unistd.h>

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp::cri {

namespace v1 = ::runtime::v1;

namespace {

constexpr size_t kMaxCopy = 64u << 20;

template <typename Record>
bool ReadCopy(const std::string& path, Record* copy) {
  const absl::StatusOr<std::string> bytes = ReadFile(path, kMaxCopy);
  return bytes.ok() && copy->ParseFromString(*bytes);
}

std::vector<std::string> Names(const std::string& directory) {
  absl::StatusOr<std::vector<std::string>> names = ListDir(directory);
  return names.ok() ? *std::move(names) : std::vector<std::string>();
}

void Restored(const absl::Status& put, absl::string_view kind, const std::string& id) {
  LogError("recover.restored", {{kind, id}, {"row", put.ok() ? "written again" : put.ToString()}});
}

}  // namespace

std::string RecordCopies::PodPath(const std::string& pod_id) const {
  return absl::StrCat(pods_dir_, "/", pod_id, "/record");
}

std::string RecordCopies::ContainersDir(const std::string& pod_id) const {
  return absl::StrCat(pods_dir_, "/", pod_id, "/records");
}

absl::Status RecordCopies::Write(const state::PodRecord& record) const {
  CRISP_RETURN_IF_ERROR(MakeDirs(ContainersDir(record.id()), 0700));
  return AtomicWriteFile(PodPath(record.id()), record.SerializeAsString(), 0600, Durability::kNone);
}

absl::Status RecordCopies::Write(const state::ContainerRecord& record,
                                 const std::string& spec) const {
  state::ContainerCopy copy;
  *copy.mutable_record() = record;
  copy.set_spec(spec);
  const std::string directory = ContainersDir(record.pod_id());
  const std::string path = absl::StrCat(directory, "/", record.id());
  const absl::Status written =
      AtomicWriteFile(path, copy.SerializeAsString(), 0600, Durability::kNone);
  if (!absl::IsNotFound(written)) return written;
  // The pod is of an earlier crispd.
  CRISP_RETURN_IF_ERROR(MakeDirs(directory, 0700));
  return AtomicWriteFile(path, copy.SerializeAsString(), 0600, Durability::kNone);
}

void RecordCopies::ForgetPod(const std::string& pod_id) const {
  (void)::unlink(PodPath(pod_id).c_str());
}

void RecordCopies::ForgetContainer(const std::string& pod_id, const std::string& id) const {
  (void)::unlink(absl::StrCat(ContainersDir(pod_id), "/", id).c_str());
}

void RecordCopies::Restore(RecordStore& store, RecordStore::Records* records) const {
  absl::flat_hash_map<std::string, size_t> pods, containers;
  for (size_t i = 0; i < records->pods.size(); ++i) pods[records->pods[i].id()] = i;
  for (size_t i = 0; i < records->containers.size(); ++i)
    containers[records->containers[i].id()] = i;
  for (const std::string& pod_id : Names(pods_dir_)) {
    const auto row = pods.find(pod_id);
    const bool lacks_pod =
        row == pods.end() || records->pods[row->second].stage() == state::PodRecord::MAKING;
    if (state::PodRecord copy;
        lacks_pod && ReadCopy(PodPath(pod_id), &copy) && copy.id() == pod_id) {
      Restored(store.Put(copy), "pod", pod_id);
      if (row == pods.end())
        records->pods.push_back(std::move(copy));
      else
        records->pods[row->second] = std::move(copy);
    }
    for (const std::string& id : Names(ContainersDir(pod_id))) {
      const auto known = containers.find(id);
      const bool lacks = known == containers.end() || records->containers[known->second].stage() ==
                                                          state::ContainerRecord::MAKING;
      state::ContainerCopy copy;
      if (!lacks || !ReadCopy(absl::StrCat(ContainersDir(pod_id), "/", id), &copy) ||
          copy.record().id() != id) {
        continue;
      }
      (void)store.PutSpec(id, copy.spec());
      Restored(store.Put(copy.record()), "container", id);
      if (known == containers.end())
        records->containers.push_back(copy.record());
      else
        records->containers[known->second] = copy.record();
    }
  }
}

std::vector<std::string> RecordCopies::WithoutRecord(const RecordStore::Records& records) const {
  absl::flat_hash_set<std::string> known;
  for (const state::PodRecord& record : records.pods) known.insert(record.id());
  std::vector<std::string> unknown = Names(pods_dir_);
  std::erase_if(unknown, [&known](const std::string& id) { return known.contains(id); });
  return unknown;
}

state::PodRecord UnknownPod(const std::string& pod_id, std::string cgroup_path) {
  state::PodRecord record;
  record.set_id(pod_id);
  record.set_stage(state::PodRecord::NOT_READY);
  record.set_created_at(absl::ToUnixNanos(absl::Now()));
  record.set_cgroup_path(std::move(cgroup_path));
  v1::PodSandboxMetadata* metadata = record.mutable_config()->mutable_metadata();
  metadata->set_name(absl::StrCat("unknown-", pod_id.substr(0, 12)));
  metadata->set_namespace_("unknown");
  metadata->set_uid(pod_id);
  return record;
}

state::ContainerRecord UnknownContainer(const std::string& pod_id,
                                        const std::string& id,
                                        std::string cgroup_path) {
  state::ContainerRecord record;
  record.set_id(id);
  record.set_pod_id(pod_id);
  record.set_stage(state::ContainerRecord::CREATED);
  record.set_created_at(absl::ToUnixNanos(absl::Now()));
  record.set_cgroup_path(std::move(cgroup_path));
  record.mutable_config()->mutable_metadata()->set_name(absl::StrCat("unknown-", id.substr(0, 12)));
  return record;
}

}  // namespace crisp::cri
