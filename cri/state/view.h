#ifndef CRISP_CRI_STATE_VIEW_H_
#define CRISP_CRI_STATE_VIEW_H_

namespace crisp::cri {

// What a client is shown, and whose the pods are that it makes. The socket by which it came decides
// that, nothing that it says. A kubelet removes every pod that it did not make, so the operator's
// pods are kept out of its lists. By its id everything answers in either view: a kubelet asks for
// no id that it was not told.
enum class View {
  kKubelet,   // the pods that were made in this view
  kOperator,  // all pods
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_VIEW_H_
