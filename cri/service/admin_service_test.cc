#include "cri/service/admin_service.h"

#include <grpcpp/create_channel.h>
#include <signal.h>

#include <string>

#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "cri/service/server.h"
#include "cri/testing/fakes.h"

namespace crisp::cri {
namespace {

class ExplainingPods : public PodApi {
 public:
  absl::StatusOr<Json> Explain(absl::string_view id) override {
    if (id != "c1") return absl::NotFoundError("container is not known");
    return Json{{"spec", {{"ociVersion", "1.2.0"}}}};
  }
  int PodCount() const override { return 3; }
  absl::Status PauseContainer(const admin::PauseContainerRequest& request,
                              admin::PauseContainerResponse*,
                              const Operation&) override {
    asked = "pause " + request.container_id();
    return absl::OkStatus();
  }
  absl::Status ContainerChanges(const admin::ContainerChangesRequest&,
                                admin::ContainerChangesResponse* reply,
                                const Operation&) override {
    admin::ContainerChange* const change = reply->add_changes();
    change->set_path("/\xff");
    change->set_kind(admin::ContainerChange::DELETED);
    return absl::OkStatus();
  }
  std::string asked;
};

class AdminServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);  // as crispd does
    auto listener = Listener::Bind(path_);
    ASSERT_OK(listener);
    auto server = Server::Start(*std::move(listener), {&service_}, registry_);
    ASSERT_OK(server);
    server_ = *std::move(server);
    stub_ = admin::Admin::NewStub(
        grpc::CreateChannel("unix://" + path_, grpc::InsecureChannelCredentials()));
    images_.Add({.id = "sha256:" + std::string(64, 'a'), .repo_tags = {"a:1"}, .size_bytes = 1});
  }

  TempDir dir_;
  std::string path_ = dir_.path() + "/s";
  Config config_;
  FakeImageStore images_;
  ExplainingPods pods_;
  metrics::Registry registry_;
  Workers threads_{kRpcThreads};
  AdminService service_{threads_, config_, images_, pods_, {.release = "6.1.0"}};
  std::unique_ptr<Server> server_;
  std::unique_ptr<admin::Admin::Stub> stub_;
};

TEST_F(AdminServiceTest, ImportGivesTheStoreEveryByteInOrder) {
  std::string archive;
  for (int i = 0; i < 100000; ++i) archive += std::to_string(i) + "\n";
  grpc::ClientContext context;
  admin::ImportImageResponse reply;
  auto writer = stub_->ImportImage(&context, &reply);
  for (size_t at = 0; at < archive.size(); at += 100001) {
    admin::ImportImageRequest request;
    request.set_chunk(archive.substr(at, 100001));
    if (at == 0) request.set_name("mine:1");
    ASSERT_TRUE(writer->Write(request));
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(images_.imported, archive);
  EXPECT_EQ(images_.import_name, "mine:1");
  ASSERT_EQ(reply.references_size(), 1);
  EXPECT_EQ(reply.references(0), "registry.local/imported:1");
}

TEST_F(AdminServiceTest, AnImageGetsATagAndLosesIt) {
  admin::TagImageRequest tag;
  tag.set_reference("a:1");
  tag.set_name("b:2");
  admin::TagImageResponse tagged;
  grpc::ClientContext tagging;
  ASSERT_TRUE(stub_->TagImage(&tagging, tag, &tagged).ok());
  EXPECT_EQ(tagged.name(), "b:2");
  EXPECT_OK(images_.Find("b:2"));
  admin::UntagImageRequest untag;
  untag.set_name("b:2");
  admin::UntagImageResponse reply;
  grpc::ClientContext untagging;
  ASSERT_TRUE(stub_->UntagImage(&untagging, untag, &reply).ok());
  EXPECT_EQ(images_.Find("b:2").status().code(), absl::StatusCode::kNotFound);
  grpc::ClientContext again;
  EXPECT_EQ(stub_->UntagImage(&again, untag, &reply).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(AdminServiceTest, ImportThatTheStoreRefusesEndsEarlyWithItsError) {
  images_.import_error = absl::DataLossError("layer digest differs");
  grpc::ClientContext context;
  admin::ImportImageResponse reply;
  auto writer = stub_->ImportImage(&context, &reply);
  admin::ImportImageRequest request;
  request.set_chunk(std::string(1 << 20, 'x'));
  // The server stops reading; writes fail at some point instead of hanging.
  for (int i = 0; i < 200 && writer->Write(request); ++i) {
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(status.error_message(), "layer digest differs");
}

TEST_F(AdminServiceTest, ExportStreamsEveryByte) {
  images_.exported = std::string(1 << 20, 'y') + "end";
  grpc::ClientContext context;
  admin::ExportImageRequest request;
  request.add_references("a:1");
  auto reader = stub_->ExportImage(&context, request);
  admin::ExportImageResponse chunk;
  std::string got;
  while (reader->Read(&chunk)) got += chunk.chunk();
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(got, images_.exported);
}

TEST_F(AdminServiceTest, ExportErrors) {
  for (const auto& [reference, code] : {std::pair("", grpc::StatusCode::INVALID_ARGUMENT),
                                        std::pair("b:1", grpc::StatusCode::NOT_FOUND)}) {
    grpc::ClientContext context;
    admin::ExportImageRequest request;
    if (*reference) request.add_references(reference);
    auto reader = stub_->ExportImage(&context, request);
    admin::ExportImageResponse chunk;
    EXPECT_FALSE(reader->Read(&chunk));
    EXPECT_EQ(reader->Finish().error_code(), code);
  }
}

TEST_F(AdminServiceTest, ExportToAClientThatHangsUpEnds) {
  images_.exported = std::string(64 << 20, 'y');
  {
    grpc::ClientContext context;
    admin::ExportImageRequest request;
    request.add_references("a:1");
    auto reader = stub_->ExportImage(&context, request);
    admin::ExportImageResponse chunk;
    ASSERT_TRUE(reader->Read(&chunk));
    context.TryCancel();
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  const absl::Time begin = absl::Now();
  server_.reset();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
}

TEST_F(AdminServiceTest, HistoryCarriesEveryField) {
  images_.history = {{.created_by = "ADD",
                      .comment = "c",
                      .created = absl::FromUnixSeconds(7),
                      .diff_id = "sha256:d",
                      .digest = "sha256:e",
                      .size_bytes = 5,
                      .unpacked_bytes = 9,
                      .containers = {"c1", "c2"}},
                     {.created_by = "ENV", .empty_layer = true}};
  grpc::ClientContext context;
  admin::ImageHistoryRequest request;
  request.set_reference("a:1");
  admin::ImageHistoryResponse reply;
  ASSERT_TRUE(stub_->ImageHistory(&context, request, &reply).ok());
  ASSERT_EQ(reply.entries_size(), 2);
  const admin::ImageHistoryEntry& first = reply.entries(0);
  EXPECT_EQ(first.created_by(), "ADD");
  EXPECT_EQ(first.comment(), "c");
  EXPECT_EQ(first.created_at(), 7000000000);
  EXPECT_EQ(first.diff_id(), "sha256:d");
  EXPECT_EQ(first.digest(), "sha256:e");
  EXPECT_EQ(first.size_bytes(), 5u);
  EXPECT_EQ(first.unpacked_bytes(), 9u);
  EXPECT_EQ(first.containers_size(), 2);
  EXPECT_TRUE(reply.entries(1).empty_layer());
}

TEST_F(AdminServiceTest, ExplainAndInfo) {
  admin::ExplainRequest request;
  admin::ExplainResponse reply;
  request.set_id("c1");
  {
    grpc::ClientContext context;
    ASSERT_TRUE(stub_->Explain(&context, request, &reply).ok());
  }
  ASSERT_OK_AND_ASSIGN(const Json explained, ParseJson(reply.json()));
  EXPECT_EQ(explained["spec"]["ociVersion"], "1.2.0");
  request.set_id("other");
  {
    grpc::ClientContext context;
    EXPECT_EQ(stub_->Explain(&context, request, &reply).error_code(), grpc::StatusCode::NOT_FOUND);
  }
  grpc::ClientContext context;
  admin::InfoResponse info;
  ASSERT_TRUE(stub_->Info(&context, {}, &info).ok());
  ASSERT_OK_AND_ASSIGN(const Json json, ParseJson(info.json()));
  EXPECT_EQ(json["pods"], 3);
  EXPECT_EQ(json["images"], 1);
  EXPECT_EQ(json["kernel"], "6.1.0");
}

TEST_F(AdminServiceTest, PausesAndTellsChanges) {
  {
    grpc::ClientContext context;
    admin::PauseContainerRequest request;
    admin::PauseContainerResponse reply;
    EXPECT_EQ(stub_->PauseContainer(&context, request, &reply).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
  }
  {
    grpc::ClientContext context;
    admin::PauseContainerRequest request;
    request.set_container_id("c1");
    admin::PauseContainerResponse reply;
    EXPECT_TRUE(stub_->PauseContainer(&context, request, &reply).ok());
    EXPECT_EQ(pods_.asked, "pause c1");
  }
  {
    grpc::ClientContext context;
    admin::UnpauseContainerRequest request;
    request.set_container_id("c1");
    admin::UnpauseContainerResponse reply;
    EXPECT_EQ(stub_->UnpauseContainer(&context, request, &reply).error_code(),
              grpc::StatusCode::UNIMPLEMENTED);
  }
  grpc::ClientContext context;
  admin::ContainerChangesRequest request;
  request.set_container_id("c1");
  admin::ContainerChangesResponse reply;
  ASSERT_TRUE(stub_->ContainerChanges(&context, request, &reply).ok());
  ASSERT_EQ(reply.changes_size(), 1);
  EXPECT_EQ(reply.changes(0).path(), "/\xff");
}

}  // namespace
}  // namespace crisp::cri
