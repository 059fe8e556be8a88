//! Makes what PyO3 knows of the Python that is built for (`Py_GIL_DISABLED` and the like) known here.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
