#ifndef CRISP_STORAGE_LAYER_TAR_H_
#define CRISP_STORAGE_LAYER_TAR_H_

#include "absl/status/status.h"
#include "storage/decompressor.h"
#include "storage/layer_sink.h"

namespace crisp::storage {

// Reads an uncompressed tar (ustar, pax, GNU; long names, sparse files) from `source` and hands each
// member to `sink`, up to the archive's end marker; what follows it is left in the source. Names
// are kept as they are, except that libarchive composes Unicode (NFC) in those of pax headers; pax
// names that are no UTF-8 are refused. DataLoss for a malformed or truncated archive, else the
// sink's errors. An empty source is an empty layer. Does not call sink.Finish().
absl::Status ApplyTar(const ByteSource& source, LayerSink& sink);

// What ApplyTar needs of the C library's locale data; call it once before confining a process.
void PrepareTarReader();

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_LAYER_TAR_H_
