#ifndef CRISP_CLI_CLIENT_TESTING_FAKE_DAEMON_H_
#define CRISP_CLI_CLIENT_TESTING_FAKE_DAEMON_H_

// Test-only: the daemon's services in this process, without pods. Tests fill the lists; the fake
// notes the calls that change something.

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "cli/client/client.h"
#include "cli/client/labels.h"

namespace crisp::cli {

namespace v1 = ::runtime::v1;

class FakeDaemon {
 public:
  FakeDaemon() : runtime_(*this), images_(*this), admin_(*this) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&runtime_);
    builder.RegisterService(&images_);
    builder.RegisterService(&admin_);
    server_ = builder.BuildAndStart();
  }
  ~FakeDaemon() { server_->Shutdown(); }

  std::unique_ptr<Client> Connect() {
    return std::make_unique<Client>(server_->InProcessChannel({}),
                                    Endpoint{.path = "/none/fake.sock"});
  }

  // The calls that were made, without those that only look: "StopContainer c1 10".
  std::vector<std::string> calls() const {
    absl::MutexLock lock(&mutex_);
    return calls_;
  }
  void Note(const std::string& call) {
    absl::MutexLock lock(&mutex_);
    calls_.push_back(call);
  }

  // A pod in the lists. `run`: of `crisp run`.
  v1::PodSandbox& AddPod(const std::string& id,
                         const std::string& name_space,
                         const std::string& name,
                         bool run = false) {
    v1::PodSandbox& pod = pods.emplace_back();
    pod.set_id(id);
    pod.mutable_metadata()->set_name(name);
    pod.mutable_metadata()->set_namespace_(name_space);
    if (run) (*pod.mutable_labels())[kRunLabel] = "true";
    return pod;
  }
  v1::Container& AddContainer(const std::string& id,
                              const std::string& pod,
                              const std::string& name,
                              v1::ContainerState state = v1::CONTAINER_RUNNING) {
    v1::Container& container = containers.emplace_back();
    container.set_id(id);
    container.set_pod_sandbox_id(pod);
    container.mutable_metadata()->set_name(name);
    container.set_state(state);
    return container;
  }
  v1::Image& AddImage(const std::string& id, const std::vector<std::string>& tags, uint64_t size) {
    v1::Image& image = images.emplace_back();
    image.set_id(id);
    for (const std::string& tag : tags) image.add_repo_tags(tag);
    image.set_size(size);
    return image;
  }

  std::vector<v1::PodSandbox> pods;
  std::vector<v1::Container> containers;
  std::vector<v1::Image> images;
  std::map<std::string, v1::ContainerStatusResponse> container_statuses;  // else made of the list's
  std::map<std::string, v1::PodSandboxStatusResponse> pod_statuses;
  std::map<std::string, std::string> image_infos;
  std::vector<v1::ContainerStats> stats;
  std::vector<v1::ContainerEventResponse> events;
  v1::ImageFsInfoResponse image_fs;
  ::crisp::v1::ImageHistoryResponse history;
  ::crisp::v1::ContainerChangesResponse changes;
  std::string info_json = "{}";
  std::string explained_json = "{}";
  // The answer to each call of this name: "StopContainer".
  std::map<std::string, grpc::Status> errors;

 private:
  grpc::Status Answer(const std::string& method) const {
    const auto error = errors.find(method);
    return error == errors.end() ? grpc::Status::OK : error->second;
  }
  grpc::Status Noted(const std::string& method, const std::string& rest) {
    Note(absl::StrCat(method, " ", rest));
    return Answer(method);
  }
  static grpc::Status Absent(const std::string& what) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "no " + what);
  }

  using Call = grpc::ServerContext*;

  class Runtime final : public v1::RuntimeService::Service {
   public:
    explicit Runtime(FakeDaemon& fake) : fake_(fake) {}

    grpc::Status ListPodSandbox(Call,
                                const v1::ListPodSandboxRequest*,
                                v1::ListPodSandboxResponse* reply) override {
      for (const auto& pod : fake_.pods) *reply->add_items() = pod;
      return fake_.Answer("ListPodSandbox");
    }
    grpc::Status ListContainers(Call,
                                const v1::ListContainersRequest*,
                                v1::ListContainersResponse* reply) override {
      for (const auto& container : fake_.containers) *reply->add_containers() = container;
      return fake_.Answer("ListContainers");
    }
    grpc::Status ContainerStatus(Call,
                                 const v1::ContainerStatusRequest* request,
                                 v1::ContainerStatusResponse* reply) override {
      const auto found = fake_.container_statuses.find(request->container_id());
      if (found != fake_.container_statuses.end()) {
        *reply = found->second;
        return grpc::Status::OK;
      }
      for (const auto& container : fake_.containers) {
        if (container.id() != request->container_id()) continue;
        reply->mutable_status()->set_id(container.id());
        *reply->mutable_status()->mutable_metadata() = container.metadata();
        reply->mutable_status()->set_state(container.state());
        return grpc::Status::OK;
      }
      return Absent("container " + request->container_id());
    }
    grpc::Status PodSandboxStatus(Call,
                                  const v1::PodSandboxStatusRequest* request,
                                  v1::PodSandboxStatusResponse* reply) override {
      const auto found = fake_.pod_statuses.find(request->pod_sandbox_id());
      if (found != fake_.pod_statuses.end()) {
        *reply = found->second;
        return grpc::Status::OK;
      }
      for (const auto& pod : fake_.pods) {
        if (pod.id() != request->pod_sandbox_id()) continue;
        reply->mutable_status()->set_id(pod.id());
        *reply->mutable_status()->mutable_metadata() = pod.metadata();
        return grpc::Status::OK;
      }
      return Absent("pod " + request->pod_sandbox_id());
    }
    grpc::Status StopPodSandbox(Call,
                                const v1::StopPodSandboxRequest* request,
                                v1::StopPodSandboxResponse*) override {
      return fake_.Noted("StopPodSandbox", request->pod_sandbox_id());
    }
    grpc::Status RemovePodSandbox(Call,
                                  const v1::RemovePodSandboxRequest* request,
                                  v1::RemovePodSandboxResponse*) override {
      return fake_.Noted("RemovePodSandbox", request->pod_sandbox_id());
    }
    grpc::Status CreateContainer(Call,
                                 const v1::CreateContainerRequest* request,
                                 v1::CreateContainerResponse* reply) override {
      reply->set_container_id("made");
      return fake_.Noted("CreateContainer", absl::StrCat(request->pod_sandbox_id(), " ",
                                                         request->config().metadata().name(), " ",
                                                         request->config().metadata().attempt()));
    }
    grpc::Status StartContainer(Call,
                                const v1::StartContainerRequest* request,
                                v1::StartContainerResponse*) override {
      return fake_.Noted("StartContainer", request->container_id());
    }
    grpc::Status StopContainer(Call,
                               const v1::StopContainerRequest* request,
                               v1::StopContainerResponse*) override {
      return fake_.Noted("StopContainer",
                         absl::StrCat(request->container_id(), " ", request->timeout()));
    }
    grpc::Status RemoveContainer(Call,
                                 const v1::RemoveContainerRequest* request,
                                 v1::RemoveContainerResponse*) override {
      return fake_.Noted("RemoveContainer", request->container_id());
    }
    grpc::Status ListContainerStats(Call,
                                    const v1::ListContainerStatsRequest*,
                                    v1::ListContainerStatsResponse* reply) override {
      for (const auto& stats : fake_.stats) *reply->add_stats() = stats;
      return fake_.Answer("ListContainerStats");
    }
    grpc::Status GetContainerEvents(
        Call,
        const v1::GetEventsRequest*,
        grpc::ServerWriter<v1::ContainerEventResponse>* writer) override {
      for (const auto& event : fake_.events) writer->Write(event);
      return fake_.Answer("GetContainerEvents");
    }

   private:
    FakeDaemon& fake_;
  };

  class Images final : public v1::ImageService::Service {
   public:
    explicit Images(FakeDaemon& fake) : fake_(fake) {}

    grpc::Status ListImages(Call,
                            const v1::ListImagesRequest*,
                            v1::ListImagesResponse* reply) override {
      for (const auto& image : fake_.images) *reply->add_images() = image;
      return fake_.Answer("ListImages");
    }
    // Finds by tag and whole id.
    grpc::Status ImageStatus(Call,
                             const v1::ImageStatusRequest* request,
                             v1::ImageStatusResponse* reply) override {
      const std::string& wanted = request->image().image();
      for (const auto& image : fake_.images) {
        bool found = image.id() == wanted;
        for (const std::string& tag : image.repo_tags()) found = found || tag == wanted;
        if (!found) continue;
        *reply->mutable_image() = image;
        (*reply->mutable_info())["info"] = fake_.image_infos[image.id()];
      }
      return fake_.Answer("ImageStatus");
    }
    grpc::Status PullImage(Call,
                           const v1::PullImageRequest* request,
                           v1::PullImageResponse* reply) override {
      reply->set_image_ref("sha256:pulled");
      return fake_.Noted(
          "PullImage",
          absl::StrCat(request->image().image(),
                       request->has_auth() ? " as " + request->auth().username() : ""));
    }
    grpc::Status RemoveImage(Call,
                             const v1::RemoveImageRequest* request,
                             v1::RemoveImageResponse*) override {
      return fake_.Noted("RemoveImage", request->image().image());
    }
    grpc::Status ImageFsInfo(Call,
                             const v1::ImageFsInfoRequest*,
                             v1::ImageFsInfoResponse* reply) override {
      *reply = fake_.image_fs;
      return fake_.Answer("ImageFsInfo");
    }

   private:
    FakeDaemon& fake_;
  };

  class Admin final : public ::crisp::v1::Admin::Service {
   public:
    explicit Admin(FakeDaemon& fake) : fake_(fake) {}

    grpc::Status Info(Call,
                      const ::crisp::v1::InfoRequest*,
                      ::crisp::v1::InfoResponse* reply) override {
      reply->set_json(fake_.info_json);
      return fake_.Answer("Info");
    }
    grpc::Status Explain(Call,
                         const ::crisp::v1::ExplainRequest* request,
                         ::crisp::v1::ExplainResponse* reply) override {
      reply->set_json(fake_.explained_json);
      return fake_.Noted("Explain", request->id());
    }
    grpc::Status SignalContainer(Call,
                                 const ::crisp::v1::SignalContainerRequest* request,
                                 ::crisp::v1::SignalContainerResponse*) override {
      return fake_.Noted("SignalContainer",
                         absl::StrCat(request->container_id(), " ", request->signal()));
    }
    grpc::Status PauseContainer(Call,
                                const ::crisp::v1::PauseContainerRequest* request,
                                ::crisp::v1::PauseContainerResponse*) override {
      return fake_.Noted("PauseContainer", request->container_id());
    }
    grpc::Status UnpauseContainer(Call,
                                  const ::crisp::v1::UnpauseContainerRequest* request,
                                  ::crisp::v1::UnpauseContainerResponse*) override {
      return fake_.Noted("UnpauseContainer", request->container_id());
    }
    grpc::Status ContainerChanges(Call,
                                  const ::crisp::v1::ContainerChangesRequest*,
                                  ::crisp::v1::ContainerChangesResponse* reply) override {
      *reply = fake_.changes;
      return fake_.Answer("ContainerChanges");
    }
    grpc::Status TagImage(Call,
                          const ::crisp::v1::TagImageRequest* request,
                          ::crisp::v1::TagImageResponse* reply) override {
      reply->set_name(request->name());
      return fake_.Noted("TagImage", absl::StrCat(request->reference(), " ", request->name()));
    }
    grpc::Status UntagImage(Call,
                            const ::crisp::v1::UntagImageRequest* request,
                            ::crisp::v1::UntagImageResponse*) override {
      return fake_.Noted("UntagImage", request->name());
    }
    grpc::Status ImageHistory(Call,
                              const ::crisp::v1::ImageHistoryRequest*,
                              ::crisp::v1::ImageHistoryResponse* reply) override {
      *reply = fake_.history;
      return fake_.Answer("ImageHistory");
    }
    grpc::Status ImportImage(Call,
                             grpc::ServerReader<::crisp::v1::ImportImageRequest>* reader,
                             ::crisp::v1::ImportImageResponse* reply) override {
      ::crisp::v1::ImportImageRequest request;
      std::string archive, name;
      while (reader->Read(&request)) {
        if (!request.name().empty()) name = request.name();
        archive += request.chunk();
      }
      reply->add_references(name.empty() ? "imported" : name);
      return fake_.Noted("ImportImage", absl::StrCat(archive.size(), " bytes"));
    }
    grpc::Status ExportImage(
        Call,
        const ::crisp::v1::ExportImageRequest* request,
        grpc::ServerWriter<::crisp::v1::ExportImageResponse>* writer) override {
      ::crisp::v1::ExportImageResponse chunk;
      chunk.set_chunk("archive of");
      for (const std::string& reference : request->references()) {
        chunk.set_chunk(absl::StrCat(chunk.chunk(), " ", reference));
      }
      writer->Write(chunk);
      return fake_.Noted("ExportImage", request->references(0));
    }

   private:
    FakeDaemon& fake_;
  };

  mutable absl::Mutex mutex_;
  std::vector<std::string> calls_ ABSL_GUARDED_BY(mutex_);
  Runtime runtime_;
  Images images_;
  Admin admin_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace crisp::cli

#endif  // CRISP_CLI_CLIENT_TESTING_FAKE_DAEMON_H_
