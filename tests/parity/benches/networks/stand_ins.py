"""Lets torch be imported without CUDA: its wheel is linked to 4 GB of libraries that nothing here calls.

Empty libraries of their names, with the versions of symbols that torch's own ask for, are put beside torch's. Who
imports torch then has to bind symbols when they are called: `sys.setdlopenflags(os.RTLD_LAZY)`.
"""

import pathlib
import subprocess
import sysconfig
import tempfile

LIBRARIES = {  # the version of its symbols, if they have one
    "libcublas.so.13": "libcublas.so.13",
    "libcublasLt.so.13": "libcublasLt.so.13",
    "libcudnn.so.9": "libcudnn.so.9",
    "libcufft.so.12": "libcufft.so.12",
    "libcufile.so.0": None,
    "libcupti.so.13": "libcupti.so.13",
    "libcusolver.so.12": "libcusolver.so.12",
    "libcusparse.so.12": "libcusparse.so.12",
    "libcusparseLt.so.0": None,
    "libnccl.so.2": None,
    "libnvrtc.so.13": "libnvrtc.so.13",
    "libnvshmem_host.so.3": "NVSHMEM",
}
# What is read when the library is loaded.
DATA = ["nvshmem_init", "nvshmem_selected_device_transport", "nvshmemi_device_only_state", "nvshmemi_get_device_state_ptrs"]


def make(folder, name, version):
    """Writes the library `name`."""
    with tempfile.TemporaryDirectory() as temporary:
        source, script = (pathlib.Path(temporary) / file for file in ("empty.c", "versions"))
        source.write_text(f"int {', '.join(DATA)};" if "nvshmem" in name else "int empty;")
        flags = []
        if version:
            script.write_text(f"{version} {{ global: *; }};")
            flags = [f"-Wl,--version-script={script}"]
        subprocess.run(["cc", "-shared", f"-Wl,-soname,{name}", *flags, source, "-o", folder / name], check=True)


def main():
    folder = pathlib.Path(sysconfig.get_paths()["purelib"]) / "torch/lib"
    for name, version in LIBRARIES.items():
        make(folder, name, version)


if __name__ == "__main__":
    main()
