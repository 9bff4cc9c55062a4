// The unpacker as a program of its own, for tests; crispd carries the same main().
#include "storage/image_store.h"

int main(int argc, char** argv) { return crisp::storage::UnpackerMain(argc, argv); }
