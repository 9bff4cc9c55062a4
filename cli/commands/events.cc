#include <grpcpp/client_context.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/listing.h"
#include "cli/format/render.h"
#include "cli/names/inventory.h"

namespace crisp::cli {
namespace {

namespace v1 = ::runtime::v1;

struct Flags {
  std::string output = "text";
  bool follow = false;
  uint64_t count = 0;  // 0: without an end
};

struct Row {
  v1::ContainerEventResponse event;
  v1::ContainerStatus container;  // empty for an event of a pod
  PodEntry pod;

  bool of_pod() const { return container.id().empty(); }
};

const char* TypeName(v1::ContainerEventType type) {
  switch (type) {
    case v1::CONTAINER_CREATED_EVENT:
      return "created";
    case v1::CONTAINER_STARTED_EVENT:
      return "started";
    case v1::CONTAINER_STOPPED_EVENT:
      return "stopped";
    case v1::CONTAINER_DELETED_EVENT:
      return "deleted";
    default:
      return "unknown";
  }
}

Row RowOf(const v1::ContainerEventResponse& event) {
  Row row{.event = event};
  const v1::PodSandboxStatus& pod = event.pod_sandbox_status();
  row.pod.pod.set_id(pod.id());
  *row.pod.pod.mutable_metadata() = pod.metadata();
  *row.pod.pod.mutable_labels() = pod.labels();
  for (const v1::ContainerStatus& status : event.containers_statuses()) {
    if (status.id() == event.container_id()) row.container = status;
  }
  return row;
}

std::string Name(const Row& row) {
  if (row.pod.pod.id().empty()) return "-";  // of what is gone the daemon knows the id alone
  if (row.of_pod()) return row.pod.name();
  ContainerEntry entry{.pod = row.pod};
  *entry.container.mutable_metadata() = row.container.metadata();
  return entry.name();
}

// How it ended; null if it did not.
Json ExitCode(const Row& row) {
  const bool ended = row.event.container_event_type() == v1::CONTAINER_STOPPED_EVENT ||
                     row.event.container_event_type() == v1::CONTAINER_DELETED_EVENT;
  if (row.of_pod() || !ended || row.container.state() != v1::CONTAINER_EXITED) return nullptr;
  return row.container.exit_code();
}

std::vector<Column<Row>> Columns() {
  return {
      {.name = "Time",
       .cell =
           [](const Row& r) {
             return TextCell(absl::FormatTime("%Y-%m-%d%ET%H:%M:%E3SZ",
                                              absl::FromUnixNanos(r.event.created_at()),
                                              absl::UTCTimeZone()));
           }},
      {.name = "Type",
       .cell = [](const Row& r) { return TextCell(r.of_pod() ? "pod" : "container"); }},
      {.name = "Event",
       .cell = [](const Row& r) { return TextCell(TypeName(r.event.container_event_type())); }},
      {.name = "Id", .cell = [](const Row& r) { return IdCell(r.event.container_id()); }},
      {.name = "Name", .cell = [](const Row& r) { return TextCell(Name(r)); }},
      {.name = "ExitCode",
       .cell =
           [](const Row& r) {
             const Json code = ExitCode(r);
             return Cell{.value = code, .text = code.is_null() ? "" : code.dump()};
           }},
      {.name = "Reason", .cell = [](const Row& r) { return TextCell(r.container.reason()); }},
  };
}

// "2026-12-01T05:30:00.000Z  container stopped  0123456789ab  web  exit code 1 (Error)".
std::string Line(const Row& row, const Colours& colours) {
  const std::vector<Column<Row>> columns = Columns();
  const auto text = [&](size_t i) { return columns[i].cell(row).text; };
  std::string line =
      absl::StrCat(text(0), "  ", text(1), " ", text(2), "  ", text(3), "  ", text(4));
  const Json code = ExitCode(row);
  if (!code.is_null()) {
    absl::StrAppend(
        &line, "  ",
        colours(code == 0 ? Tint::kNone : Tint::kBad, absl::StrCat("exit code ", code.dump())));
    if (!text(6).empty()) absl::StrAppend(&line, " (", text(6), ")");
  }
  return line;
}

absl::StatusOr<std::string> Shown(const Row& row, const Flags& flags, const Colours& colours) {
  if (flags.output == "text") return Line(row, colours) + "\n";
  const Table table = MakeTable(Columns(), std::vector<Row>{row});
  if (flags.output == "json") return DumpJson(RowJson(table, table.rows[0])) + "\n";
  return Render(table, {.output = flags.output});
}

absl::Status Events(const Flags& flags, Context& context) {
  if (flags.output != "text" && flags.output != "json") {
    // A wrong template is said before the first event.
    CRISP_RETURN_IF_ERROR(
        Render(MakeTable(Columns(), std::vector<Row>()), {.output = flags.output}).status());
  }
  grpc::ClientContext call;
  auto reader = context.client.stub<Client::Runtime>().GetContainerEvents(&call, {});
  v1::ContainerEventResponse event;
  uint64_t seen = 0;
  while (reader->Read(&event)) {
    CRISP_ASSIGN_OR_RETURN(const std::string text, Shown(RowOf(event), flags, context.colours));
    context.out << text << std::flush;
    if (++seen == flags.count || !context.out) {
      call.TryCancel();
      (void)reader->Finish();
      return absl::OkStatus();
    }
  }
  return context.client.ToStatus(reader->Finish());
}

}  // namespace

void AddEvents(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* events = commands.Add(
      {.name = "events",
       .help = "Watch the lives of containers and pods",
       .examples = {"crisp events", "crisp events -o json -n 10"},
       .description =
           "Prints an event as it happens: created, started, stopped (with the exit code and "
           "the reason), deleted. There are none of the time before. It ends by ^C, after -n "
           "events, or with the daemon."},
      [flags](Context& context) { return Events(*flags, context); });
  events->add_flag("-f,--follow", flags->follow, "As it does anyway");
  events->add_option("-n,--count", flags->count, "End after so many events")->type_name("COUNT");
  events
      ->add_option("-o,--output", flags->output,
                   "text, json (an object on each line), or template=TEXT with {{.Column}}")
      ->type_name("FORM");
}

}  // namespace crisp::cli
