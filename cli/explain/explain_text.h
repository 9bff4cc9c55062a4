#ifndef CRISP_CLI_EXPLAIN_EXPLAIN_TEXT_H_
#define CRISP_CLI_EXPLAIN_EXPLAIN_TEXT_H_

#include <string>

#include "absl/time/time.h"
#include "cli/explain/explain_facts.h"
#include "cli/format/colours.h"

namespace crisp::cli {

struct ExplainStyle {
  Colours colours;
  bool show_me = false;  // under each section, commands for a shell that prove it
  absl::Time now;
};

// The page about a container, for people: one section for each thing that makes it a container.
// What the container shares with the host, and what makes it less confined than usual, is tinted.
std::string RenderContainer(const ExplainFacts& facts, const ExplainStyle& style);

// The page about a pod: what its containers share. Of `facts` it takes state, pod, process,
// namespaces, network, containers and steps.
std::string RenderPod(const ExplainFacts& facts, const ExplainStyle& style);

// "exited with code 137 (killed by SIGKILL) 3 minutes ago: OOMKilled".
std::string StateInWords(const ExplainFacts& facts, absl::Time now);

}  // namespace crisp::cli

#endif  // CRISP_CLI_EXPLAIN_EXPLAIN_TEXT_H_
