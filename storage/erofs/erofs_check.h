#ifndef CRISP_STORAGE_EROFS_EROFS_CHECK_H_
#define CRISP_STORAGE_EROFS_EROFS_CHECK_H_

#include "absl/status/statusor.h"
#include "storage/layer/layer_form.h"

namespace crisp::storage {

// Reads the metadata of an EROFS image and checks that it is one that ErofsWriter could have
// written for ErofsSink: no optional feature of the format; inodes of the plain kinds alone, one
// behind the other, with contents inside the file and no attribute that layers do not have;
// directories behind them, each in one place of the tree, with names in order that lead to such
// inodes. So whoever wrote it, the kernel gets to parse nothing else. DataLoss when it is not.
// Takes a byte of memory for each 64 of inodes. The seal's digest is that of the super block and of
// all inodes, names and attributes; files' contents are not looked at, as they are not in
// directories.
absl::StatusOr<LayerSeal> CheckErofs(int file);

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_EROFS_EROFS_CHECK_H_
