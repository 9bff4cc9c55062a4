#include "runtime/cgroup/cgroup_devices.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace crisp::runtime {
namespace {

struct Rule {
  bool allow = false;
  char type = 'a';
  int64_t major = -1, minor = -1;  // -1: any
  uint32_t access = 0;             // BPF_DEVCG_ACC_*
};

constexpr uint32_t kAllAccess = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;

absl::StatusOr<Rule> Parse(const OciDeviceRule& rule) {
  auto refuse = [](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("resources.devices: ", why));
  };
  Rule parsed{
      .allow = rule.allow, .major = rule.major.value_or(-1), .minor = rule.minor.value_or(-1)};
  if (rule.type == "b" || rule.type == "c" || rule.type == "u") {
    parsed.type = rule.type == "b" ? 'b' : 'c';
  } else if (!rule.type.empty() && rule.type != "a") {
    return refuse(absl::StrCat("unknown type \"", rule.type, "\""));
  }
  if (parsed.major < -1 || parsed.minor < -1 || parsed.major > INT32_MAX ||
      parsed.minor > INT32_MAX) {
    return refuse("a device number is out of range");
  }
  for (char c : rule.access) {
    if (c == 'r')
      parsed.access |= BPF_DEVCG_ACC_READ;
    else if (c == 'w')
      parsed.access |= BPF_DEVCG_ACC_WRITE;
    else if (c == 'm')
      parsed.access |= BPF_DEVCG_ACC_MKNOD;
    else
      return refuse(absl::StrCat("unknown access \"", rule.access, "\""));
  }
  if (parsed.access == 0) parsed.access = kAllAccess;
  return parsed;
}

bool IsEverything(const Rule& rule) {
  return rule.type == 'a' && rule.major < 0 && rule.minor < 0 && rule.access == kAllAccess;
}

std::string AccessText(uint32_t access) {
  std::string text;
  if (access & BPF_DEVCG_ACC_READ) text += 'r';
  if (access & BPF_DEVCG_ACC_WRITE) text += 'w';
  if (access & BPF_DEVCG_ACC_MKNOD) text += 'm';
  return text;
}

std::string NumberText(int64_t number) { return number < 0 ? "*" : absl::StrCat(number); }

bpf_insn Insn(uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm) {
  bpf_insn insn = {.code = code, .off = off, .imm = imm};
  insn.dst_reg = dst & 0xf;
  insn.src_reg = src & 0xf;
  return insn;
}

// The kernel passes access_type = (access << 16) | type, major, minor in r1. The program collects
// in r6 the access bits that are still undecided; walking the rules from the last to the first, the
// first that matches decides its bits. Denying an undecided bit denies the access.
class Program {
 public:
  Program() {
    Add(BPF_LDX | BPF_MEM | BPF_W, 2, 1, offsetof(bpf_cgroup_dev_ctx, access_type), 0);
    Add(BPF_ALU | BPF_MOV | BPF_X, 6, 2, 0, 0);
    Add(BPF_ALU | BPF_RSH | BPF_K, 6, 0, 0, 16);
    Add(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
    Add(BPF_LDX | BPF_MEM | BPF_W, 4, 1, offsetof(bpf_cgroup_dev_ctx, major), 0);
    Add(BPF_LDX | BPF_MEM | BPF_W, 5, 1, offsetof(bpf_cgroup_dev_ctx, minor), 0);
  }

  void Match(const Rule& rule) {
    std::vector<size_t> skips;
    auto unless_equal = [&](uint8_t reg, int64_t value) {
      skips.push_back(code_.size());
      Add(BPF_JMP | BPF_JNE | BPF_K, reg, 0, 0, static_cast<int32_t>(value));
    };
    if (rule.type != 'a')
      unless_equal(2, rule.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
    if (rule.major >= 0) unless_equal(4, rule.major);
    if (rule.minor >= 0) unless_equal(5, rule.minor);
    if (rule.allow) {
      // These bits are settled; when none is left the access is allowed.
      Add(BPF_ALU | BPF_AND | BPF_K, 6, 0, 0, static_cast<int32_t>(kAllAccess & ~rule.access));
      Add(BPF_JMP | BPF_JNE | BPF_K, 6, 0, 2, 0);
      Return(1);
    } else {
      Add(BPF_JMP | BPF_JSET | BPF_K, 6, 0, 1, static_cast<int32_t>(rule.access));
      Add(BPF_JMP | BPF_JA, 0, 0, 2, 0);
      Return(0);
    }
    for (size_t skip : skips) code_[skip].off = static_cast<int16_t>(code_.size() - skip - 1);
  }

  void Return(int32_t value) {
    Add(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, value);
    Add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  }

  std::vector<uint64_t> Take() const {
    std::vector<uint64_t> raw(code_.size());
    static_assert(sizeof(bpf_insn) == sizeof(uint64_t));
    std::memcpy(raw.data(), code_.data(), raw.size() * sizeof(uint64_t));
    return raw;
  }

 private:
  void Add(uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm) {
    code_.push_back(Insn(code, dst, src, off, imm));
  }
  std::vector<bpf_insn> code_;
};

constexpr char kProgramName[] = "crisp_devices";

int Bpf(int command, bpf_attr& attr) {
  return static_cast<int>(syscall(SYS_bpf, command, &attr, sizeof(attr)));
}

absl::StatusOr<UniqueFd> LoadProgram(const std::vector<uint64_t>& program) {
  bpf_attr attr = {};
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = reinterpret_cast<uint64_t>(program.data());
  attr.insn_cnt = static_cast<uint32_t>(program.size());
  attr.license = reinterpret_cast<uint64_t>("Apache");
  std::strncpy(attr.prog_name, kProgramName, sizeof(attr.prog_name) - 1);
  UniqueFd fd(Bpf(BPF_PROG_LOAD, attr));
  if (!fd.valid()) return ErrnoError(errno, "load the device rules as a BPF program");
  return fd;
}

std::vector<uint32_t> AttachedIds(int cgroup) {
  std::vector<uint32_t> ids(64);
  bpf_attr attr = {};
  attr.query.target_fd = cgroup;
  attr.query.attach_type = BPF_CGROUP_DEVICE;
  attr.query.prog_ids = reinterpret_cast<uint64_t>(ids.data());
  attr.query.prog_cnt = static_cast<uint32_t>(ids.size());
  if (Bpf(BPF_PROG_QUERY, attr) != 0) return {};
  ids.resize(attr.query.prog_cnt);
  return ids;
}

UniqueFd ProgramById(uint32_t id) {
  bpf_attr attr = {};
  attr.prog_id = id;
  return UniqueFd(Bpf(BPF_PROG_GET_FD_BY_ID, attr));
}

bool IsOurs(int program) {
  bpf_prog_info info = {};
  bpf_attr attr = {};
  attr.info.bpf_fd = program;
  attr.info.info_len = sizeof(info);
  attr.info.info = reinterpret_cast<uint64_t>(&info);
  return Bpf(BPF_OBJ_GET_INFO_BY_FD, attr) == 0 &&
         std::strncmp(info.name, kProgramName, sizeof(info.name)) == 0;
}

absl::Status Detach(int cgroup, int program) {
  bpf_attr attr = {};
  attr.target_fd = cgroup;
  attr.attach_bpf_fd = program;
  attr.attach_type = BPF_CGROUP_DEVICE;
  if (Bpf(BPF_PROG_DETACH, attr) != 0) return ErrnoError(errno, "detach former device rules");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<CgroupWrite>> DeviceWritesV1(const std::vector<OciDeviceRule>& rules) {
  std::vector<CgroupWrite> writes;
  for (const OciDeviceRule& rule : rules) {
    CRISP_ASSIGN_OR_RETURN(Rule parsed, Parse(rule));
    const char* file = parsed.allow ? "devices.allow" : "devices.deny";
    auto add = [&](char type) {
      writes.push_back(
          {.controller = "devices",
           .file = file,
           .value = absl::StrCat(absl::string_view(&type, 1), " ", NumberText(parsed.major), ":",
                                 NumberText(parsed.minor), " ", AccessText(parsed.access))});
    };
    // The kernel takes "a" as all of everything, whatever follows it.
    if (IsEverything(parsed)) {
      writes.push_back({.controller = "devices", .file = file, .value = "a"});
    } else if (parsed.type == 'a') {
      add('b');
      add('c');
    } else {
      add(parsed.type);
    }
  }
  return writes;
}

absl::StatusOr<std::vector<uint64_t>> DeviceProgramV2(const std::vector<OciDeviceRule>& rules) {
  // A rule for everything makes what stands before it void.
  std::vector<Rule> parsed;
  for (const OciDeviceRule& rule : rules) {
    CRISP_ASSIGN_OR_RETURN(Rule one, Parse(rule));
    if (IsEverything(one)) parsed.clear();
    parsed.push_back(one);
  }
  Program program;
  for (auto rule = parsed.rbegin(); rule != parsed.rend(); ++rule) program.Match(*rule);
  program.Return(0);
  return program.Take();
}

absl::Status AttachDeviceProgram(const std::string& cgroup_dir,
                                 const std::vector<uint64_t>& program) {
  CRISP_ASSIGN_OR_RETURN(UniqueFd cgroup, Open(cgroup_dir, O_RDONLY | O_DIRECTORY));
  CRISP_ASSIGN_OR_RETURN(UniqueFd loaded, LoadProgram(program));
  const std::vector<uint32_t> before = AttachedIds(cgroup.get());
  bpf_attr attr = {};
  attr.target_fd = cgroup.get();
  attr.attach_bpf_fd = loaded.get();
  attr.attach_type = BPF_CGROUP_DEVICE;
  attr.attach_flags = BPF_F_ALLOW_MULTI;
  if (Bpf(BPF_PROG_ATTACH, attr) != 0) {
    return ErrnoError(errno, absl::StrCat("attach device rules to ", cgroup_dir));
  }
  for (uint32_t id : before) {
    UniqueFd old = ProgramById(id);
    if (!old.valid() || !IsOurs(old.get())) continue;
    CRISP_RETURN_IF_ERROR(Detach(cgroup.get(), old.get()));
  }
  return absl::OkStatus();
}

}  // namespace crisp::runtime
