// weightkin._core: what Python calls. Each part of csrc/ binds itself.
#include <pybind11/pybind11.h>

void bind_io(pybind11::module_& module);
void bind_ring(pybind11::module_& module);
void bind_cpu(pybind11::module_& module);
void bind_assign(pybind11::module_& module);
void bind_assign_team(pybind11::module_& module);

PYBIND11_MODULE(_core, module) {
    module.doc() = "Native parts of weightkin: guarded file mappings, the ring that copies from them, and CPU kernels.";
    bind_io(module);
    bind_ring(module);
    bind_cpu(module);
    bind_assign(module);
    bind_assign_team(module);
}
