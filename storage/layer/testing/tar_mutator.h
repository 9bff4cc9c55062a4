#ifndef CRISP_STORAGE_LAYER_TESTING_TAR_MUTATOR_H_
#define CRISP_STORAGE_LAYER_TESTING_TAR_MUTATOR_H_

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <numeric>

// Changes archives for libFuzzer; part of the targets that read them.

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// A header whose checksum is wrong ends the archive, so nearly every mutation would be lost there.
// A block that says "ustar" where a header does gets the right checksum.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned) {
  constexpr size_t kBlock = 512, kSum = 148, kSumSize = 8, kMagic = 257;
  size = LLVMFuzzerMutate(data, size, max_size);
  for (size_t at = 0; at + kBlock <= size; at += kBlock) {
    uint8_t* header = data + at;
    if (memcmp(header + kMagic, "ustar", 5) != 0) continue;
    memset(header + kSum, ' ', kSumSize);
    const unsigned sum = std::accumulate(header, header + kBlock, 0u);
    snprintf(reinterpret_cast<char*>(header + kSum), kSumSize, "%06o", sum);
    header[kSum + kSumSize - 1] = ' ';
  }
  return size;
}

#endif  // CRISP_STORAGE_LAYER_TESTING_TAR_MUTATOR_H_
