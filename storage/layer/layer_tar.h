#ifndef CRISP_STORAGE_LAYER_LAYER_TAR_H_
#define CRISP_STORAGE_LAYER_LAYER_TAR_H_

#include "absl/status/status.h"
#include "storage/layer/decompressor.h"
#include "storage/layer/layer_sink.h"

namespace crisp::storage {

// Reads an uncompressed tar (ustar, pax, GNU; long names, sparse files) from `source` and hands
// each member to `sink`, up to the archive's end marker. Bytes behind the marker are left in the
// source. Names are bytes and kept as they are. DataLoss for a malformed or truncated archive,
// naming the last member that could be read, else the sink's errors. An empty source is an empty
// layer. Does not call sink.Finish().
absl::Status ApplyTar(const ByteSource& source, LayerSink& sink);

// Loads the parts of the C library that ApplyTar needs. Call it once before confining a process.
void PrepareTarReader();

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_LAYER_LAYER_TAR_H_
