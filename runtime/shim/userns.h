#ifndef CRISP_RUNTIME_SHIM_USERNS_H_
#define CRISP_RUNTIME_SHIM_USERNS_H_

#include "runtime/shim/child.h"
#include "runtime/shim/sys.h"

namespace crisp::shim {

// A new namespace set owned by a new user namespace, held by a child that only waits.
struct UsernsHolder {
  Process child;
  Fd gate;  // closing it ends the child
  ~UsernsHolder();
};

// `flags` are clone(2)'s. False, with g_error, on failure.
bool StartHolder(uint64_t flags, UsernsHolder* holder);
bool MapHolder(const UsernsHolder& holder,
               const List<IdMapView>& uids,
               const List<IdMapView>& gids);

// A descriptor of a new user namespace with these maps; -1 with g_error.
int MakeUserns(const List<IdMapView>& uid_maps, const List<IdMapView>& gid_maps);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_USERNS_H_
