// log-writer MEGABYTES_A_SECOND SECONDS: writes lines of 200 bytes to stdout at that rate, however
// long that takes. Runs inside a container.
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace {

double Seconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

bool WriteAll(const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = write(1, data, size);
    if (n <= 0) return false;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const double rate = std::atof(argv[1]) * 1e6, seconds = std::atof(argv[2]);
  static char lines[64000];
  std::memset(lines, 'x', sizeof(lines));
  for (size_t i = 199; i < sizeof(lines); i += 200) lines[i] = '\n';
  const double began = Seconds();
  for (double sent = 0; sent < rate * seconds; sent += sizeof(lines)) {
    const double early = began + sent / rate - Seconds();
    if (early > 0.001) usleep(static_cast<useconds_t>(early * 1e6));
    if (!WriteAll(lines, sizeof(lines))) return 1;
  }
  return 0;
}
